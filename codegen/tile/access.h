// How the reads of a kernel's expressions meet memory. Worked out with the algebra before any code is built, because kernels are built
// on several threads and the algebra belongs to one.
#pragma once
#include <optional>
#include <set>
#include <unordered_map>
#include <vector>

#include "codegen/tile/interval.h"
#include "ir/algebra.h"

namespace heed {

// A read as one address: the sum of strides * indices in elements, in the algebra's normal form, so that n (x // n) + x % n is x.
struct Access {
  struct Checked {  // an index that depends on data: clamped where it is used, and a Check says so
    Expr index;
    std::int64_t stride, limit;
  };
  ArrayRef array = nullptr;
  LinearForm address;  // of the indices that depend on axes alone
  std::vector<Checked> checked;
  bool inside = false;  // the address cannot leave the array; else the load is clamped or masked
};

// An index that must lie in 0 … limit - 1 wherever `guard` holds (null: everywhere).
struct Check {
  Expr index;
  std::int64_t limit;
  Expr guard;
  int place;  // 1 + index into the program's fault places
  bool operator==(const Check&) const = default;
};

// Fault places of a program, each text once.
class FaultPlaces {
 public:
  int place(const std::string& text);  // from 1
  const std::vector<std::string>& texts() const { return texts_; }
  int asked() const { return asked_; }  // how often, for any text

 private:
  int asked_ = 0;
  std::vector<std::string> texts_;
  std::unordered_map<std::string, int> index_;
};

// Everything the emitter must know of a set of expressions.
class Accesses {
 public:
  explicit Accesses(FaultPlaces& places) : places_(&places) {}
  // A value that the kernel computes itself (Emitter::bind_array): it is no buffer.
  // One with dimensions lies in scratch (Emitter::bind_strip).
  void add_local(ArrayRef array) { locals_.insert(array); }
  bool is_local(ArrayRef array) const { return locals_.contains(array); }
  // The index of an array among the launch's buffers.
  int add_buffer(ArrayRef array);
  int buffer(ArrayRef array) const { return buffer_index_.at(array); }
  const std::vector<ArrayRef>& buffers() const { return buffers_; }
  // Reads of an expression that will be emitted as a whole: `root` is the name under which its checks are found.
  void prepare(Expr root);
  const Access& of(Expr read) const { return accesses_.at(read); }
  // Checks of an expression outside of the reductions in it, and of a reduction's body.
  const std::vector<Check>& checks(Expr owner) const;
  // Arrays of locals_ that an expression reads anywhere.
  const std::vector<ArrayRef>& locals_in(Expr x) const;
  // Conditions around reductions in it that say whether their indices matter: it is computed where they are known.
  const std::vector<Expr>& guards_in(Expr x) const;

 private:
  void note_nodes(Expr root);
  void add_access(Expr read);
  void add_checks(Expr owner, Expr x, Expr guard);
  void add_guards(Expr x, const std::vector<Expr>& guards);

  FaultPlaces* places_;
  std::unordered_map<ArrayRef, int> buffer_index_;
  std::vector<ArrayRef> buffers_;
  std::set<ArrayRef> locals_;  // only looked up
  std::unordered_map<Expr, Access> accesses_;
  std::unordered_map<Expr, std::vector<Check>> checks_;
  std::unordered_map<Expr, std::vector<ArrayRef>> locals_in_;
  std::unordered_map<Expr, std::vector<Expr>> guards_in_;
  std::unordered_map<Expr, bool> has_checked_;
  std::set<std::tuple<Expr, Expr, Expr>> visited_;
  Intervals intervals_;
};

// The address of the indices of a read that depend on axes alone, in elements.
LinearForm affine_address(Expr read);
// How the address moves from lane to lane of vectors along `lane`: nothing if not by a constant.
std::optional<std::int64_t> lane_stride(const LinearForm& address, AxisRef lane);

// Row-major strides in elements.
std::vector<std::int64_t> strides_of(const std::vector<std::int64_t>& shape);
// "table (gpt.heed:34)".
std::string fault_text(ArrayRef array, Expr read);

}  // namespace heed
