// Values of a program in registers, element by element of a thread's fragments: what does not depend on the row, or on the column, is
// computed once for all elements that share it, and indices are a base of the thread plus a constant of the element.
#pragma once
#include <llvm/IR/IRBuilder.h>

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <tuple>
#include <vector>

#include "codegen/cuda/register_accesses.h"
#include "codegen/tile/access.h"
#include "codegen/tile/interval.h"
#include "ir/integer.h"
#include "ir/register_program.h"

namespace heed {

// Elements of a thread: fragments of 16 rows one below the other, of 8 columns side by side. A thread of a warp has rows lane / 4 and 8
// more of each, and columns 2 * (lane % 4) and the next (PTX, mma.m16n8k16). Rows and columns are numbered through all fragments.
namespace fragment {
inline std::int64_t row_of(int r) { return r / 2 * 16 + r % 2 * 8; }
inline std::int64_t column_of(int c) { return c / 2 * 8 + c % 2; }
// Of an element in the order in which products of tensor cores have a thread's sums of 16 rows: four of each 8 columns.
inline std::int64_t place_of(int r, int c) { return c / 2 * 4 + r * 2 + c % 2; }
inline int columns_in(std::int64_t width) { return static_cast<int>(ceil_divide(width, 16) * 4); }  // in whole fragments of 16
}  // namespace fragment

class RegisterValues {
 public:
  RegisterValues(llvm::IRBuilder<>& b, const RegisterProgram& program, const RegisterAccesses& accesses, std::vector<llvm::Value*> buffers)
      : b_(b), program_(program), accesses_(accesses), buffers_(std::move(buffers)) {}

  // Where the thread's first element is on an axis: i32 of rows, columns and widths, i64 of units. Forgets what was computed.
  void bind_axis(AxisRef axis, llvm::Value* base);
  // Elements from the axis's end on exist in fragments alone, and memory has none. `end` 0: there are none such.
  void set_end(AxisRef axis, std::int64_t end);
  // Of a stand-in: by row, or by row and column in fragments of `columns`.
  void bind(ArrayRef stand_in, std::vector<llvm::Value*> values, int columns);
  const std::vector<llvm::Value*>& bound(ArrayRef stand_in) const { return bound_.at(stand_in).values; }
  void forget() { known_ = fixed_, bases_.clear(), insides_.clear(), quads_.clear(); }

  llvm::Value* value(Expr x, int r, int c);
  // What a score begins with.
  llvm::Value* start(Expr x, int r, int c);
  // i1: the element exists; null: all do.
  llvm::Value* inside(AxisRef axis, int r, int c);
  // An address of elements, i64.
  llvm::Value* address(const LinearForm& form, int r, int c);
  llvm::Value* buffer(ArrayRef array) const { return buffers_[accesses_.buffer(array)]; }

  // --- values of one side (register_side_values.cpp)
  llvm::Value* side_value(const SideValue& side, int r, int c);
  // Makes values of rows, which stay known until there are others.
  void keep_rows(const std::vector<SideValue>& sides, int rows);
  void forget_rows() { fixed_.clear(), forget(); }
  // One column beside those of the thread's elements: what is made there is element 0, and stays known there.
  struct Vector {
    llvm::Value* memory;
    bool is_start;
  };
  struct AsideColumn {
    llvm::Value* base;
    std::int64_t end;
    std::map<std::tuple<Expr, int, int>, llvm::Value*> known{};
    std::map<std::pair<std::vector<std::pair<std::int64_t, AxisRef>>, unsigned>, llvm::Value*> bases{};
    std::map<std::tuple<AxisRef, int, int>, llvm::Value*> insides{};
    std::map<std::pair<Expr, bool>, Vector> vectors{};
  };
  void at_column(AsideColumn& aside, const std::function<void()>& make);
  // The reads alone that the value needs.
  void read_ahead(const SideValue& side);
  // Of a block of columns: the value of column `column` (i32) goes to its place, and is read from `memory` of the thread's first column.
  static constexpr std::int64_t vector_step = 8;  // bytes from a column's first place to the next one's, in a fragment
  void store_vector(const SideValue& side, llvm::Value* made, llvm::Value* memory, llvm::Value* column);
  void bind_vector(const SideValue& side, llvm::Value* memory) { vectors_[{side.x, side.is_shift}] = {memory, side.is_start}; }
  void forget_vectors() { vectors_.clear(); }

 private:
  llvm::Value* of_vector(const Vector& vector, const SideValue& side, int r, int c);
  bool is_row(AxisRef axis) const { return axis == program_.row; }
  bool is_unit(AxisRef axis) const;
  std::int64_t constant_of(AxisRef axis, int r, int c) const;
  llvm::Value* integer(Expr x, int r, int c, unsigned bits);
  struct Sum {
    llvm::Value* base;
    std::int64_t constant;
  };
  Sum sum_of(const std::vector<IntegerTerm>& terms, std::int64_t constant, int r, int c, unsigned bits);
  std::optional<Sum> sum_of(Expr x, int r, int c, unsigned bits);
  unsigned bits_of(Expr x);
  llvm::Value* compute(Expr x, int r, int c);
  llvm::Value* linear(Expr x, int r, int c);
  llvm::Value* product(Expr x, int r, int c);
  llvm::Value* divided(Expr x, int r, int c);
  llvm::Value* converted(Expr x, int r, int c);
  llvm::Value* call(Expr x, int r, int c);
  llvm::Value* exponential(Expr x, int r, int c);
  llvm::Value* shift(Expr outer, int r, int c);
  llvm::Value* scaled(Expr x, double factor, int r, int c);
  llvm::Value* fused(llvm::Value* x, llvm::Value* y, llvm::Value* z);
  llvm::Value* times_integer(Expr x, int r, int c);
  llvm::Value* difference_compared(Expr x, int r, int c);
  std::optional<Sum> exact_sum(Expr x, int r, int c);
  bool has_columns(Expr x) const;
  llvm::Value* read(Expr x, int r, int c);
  llvm::Value* real(double value) { return llvm::ConstantFP::get(b_.getFloatTy(), value); }

  struct Bound {
    std::vector<llvm::Value*> values;
    int columns;
  };
  llvm::IRBuilder<>& b_;
  const RegisterProgram& program_;
  const RegisterAccesses& accesses_;
  std::vector<llvm::Value*> buffers_;
  std::map<AxisRef, llvm::Value*> axes_;
  std::map<AxisRef, std::int64_t> ends_;
  std::map<ArrayRef, Bound> bound_;
  std::map<std::pair<Expr, bool>, Vector> vectors_;
  std::map<std::tuple<Expr, bool, int>, llvm::Value*> quads_;
  std::map<std::tuple<Expr, int, int>, llvm::Value*> known_, fixed_;
  std::map<std::pair<std::vector<std::pair<std::int64_t, AxisRef>>, unsigned>, llvm::Value*> bases_;
  std::map<std::tuple<AxisRef, int, int>, llvm::Value*> insides_;
  Intervals intervals_;
};

}  // namespace heed
