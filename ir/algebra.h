// Constructors of expressions and arrays. Each returns canonical form: rebuilding a node from its operands gives the same node.
// The rules are those of algebra and of indices (docs/index-notation.md); none is a heuristic. Floating nodes of one expression have one
// dtype; integer nodes are i64.
#pragma once
#include <functional>
#include <span>
#include <unordered_map>

#include "ir/graph.h"

namespace heed {

// Owns the nodes, axes and arrays of graphs. One thread at a time.
class Arena {
 public:
  Arena();
  ~Arena();
  Arena(const Arena&) = delete;

  // New nodes and arrays are marked with it until the next call.
  void set_origin(Origin origin);
  std::uint32_t origin_index() const { return current_origin_; }
  void set_origin_index(std::uint32_t index) { current_origin_ = index; }
  const Origin& origin(std::uint32_t index) const;
  std::size_t node_count() const;

  struct Tables;  // algebra.cpp
  Tables& tables() { return *tables_; }

 private:
  std::unique_ptr<Tables> tables_;
  std::uint32_t current_origin_ = 0;
};

// --- axes and leaves
AxisRef axis_of(Arena& arena, AxisKind kind, std::int32_t key, std::int64_t size);
AxisRef fresh_axis(Arena& arena, std::int64_t size);
std::vector<AxisRef> positions(ArrayRef array);
Expr value(AxisRef axis);  // the axis as a number; 0 if its size is 1
Expr real(Arena& arena, double value, DType dtype = DType::f32);
Expr integer(Arena& arena, std::int64_t value);
Expr boolean(Arena& arena, bool value);
bool is_constant(Expr x);
bool is_constant(Expr x, double value);  // of any type

// --- linear combinations; both kinds
struct Term {
  double weight;
  Expr x;
};
Expr linear(std::span<const Term> terms, double constant, Arena& arena, DType dtype);
struct IntegerTerm {
  std::int64_t weight;
  Expr x;
};
Expr linear(std::span<const IntegerTerm> terms, std::int64_t constant, Arena& arena);
Expr add(Expr a, Expr b);
Expr subtract(Expr a, Expr b);
Expr scale(double weight, Expr x);          // floating
Expr scale(std::int64_t weight, Expr x);    // integer
Expr shift(Expr x, std::int64_t constant);  // integer x + constant
// An integer expression as terms and a constant; an unlike node is one term.
struct LinearForm {
  std::vector<IntegerTerm> terms;
  std::int64_t constant;
};
LinearForm linear_form(Expr integer);
bool is_affine(Expr index);  // nothing in it depends on data, but on scalar inputs of a known range

// --- products of powers
struct Factor {
  Expr x;
  double power;
};
Expr product(std::span<const Factor> factors, Arena& arena, DType dtype);
Expr multiply(Expr a, Expr b);
Expr divide(Expr a, Expr b);  // floating
Expr power(Expr x, double exponent);

// --- integers
Expr floor_divide(Expr x, std::int64_t n);  // n > 0
Expr remainder(Expr x, std::int64_t n);     // n > 0
Interval bounds(Expr integer);

// --- conditions. Of integers they are put into one form; of floating values NaN makes each false.
Expr at_least(Expr a, Expr b);
Expr greater(Expr a, Expr b);
Expr equal(Expr a, Expr b);  // of integers, floating values or booleans
Expr both(Expr a, Expr b);
Expr both(std::span<const Expr> conditions, Arena& arena);
Expr either(Expr a, Expr b);
Expr negate(Expr condition);
Expr inside(Expr index, std::int64_t size);  // 0 <= index < size
Expr select(Expr condition, Expr a, Expr b);
std::vector<Expr> conjuncts(Expr condition);

// --- functions, casts, reductions
Expr apply(const ScalarFunction& function, std::span<const Expr> arguments);
Expr apply(const ScalarFunction& function, std::initializer_list<Expr> arguments);
Expr cast(DType to, Expr x);
Expr reduce(Reduction reduction, std::span<const AxisRef> axes, Expr body);
Expr sum(std::span<const AxisRef> axes, Expr body);
// The axes in an order that does not depend on their names: by what reads at them in the body, then size, then first use.
std::vector<AxisRef> axes_by_use(Expr body, const AxisSet& axes);

// --- arrays
// Interned by dtype, shape and body. An array that reads another at its own positions and is otherwise the same is that array.
ArrayRef define(std::span<const AxisRef> axes, Expr body, DType dtype, std::string name = "");
ArrayRef input(Arena& arena, std::string name, std::vector<std::int64_t> shape, DType dtype, std::optional<Interval> range = {});
std::vector<ArrayRef> scan(Arena& arena, Scan scan);                         // its results
std::vector<ArrayRef> gradient(ArrayRef target, std::vector<ArrayRef> wrt);  // one of the shape and dtype of each wrt
// A read of a definition that only moves values (affine indices, guards, constants) is opened: its body with the indices in it.
Expr read(ArrayRef array, std::span<const Expr> indices);
// The same without opening.
Expr read_stored(ArrayRef array, std::span<const Expr> indices);

// An array of its own with the same elements, for what has to lie in two places; define would give the array itself.
ArrayRef copy_of(ArrayRef array);

// --- rebuilding
using Substitution = std::vector<std::pair<AxisRef, Expr>>;
Expr substitute(Expr x, const Substitution& table);                 // integer expressions for free axes; never captures
Expr rebuild(Expr x, std::span<const Expr> operands);               // x with other operands, through its constructor
Expr with_operands(Expr x, std::span<const Expr> operands);         // the same; x itself if they are its own
Expr with_stored_operands(Expr x, std::span<const Expr> operands);  // the same; a read is not opened
// Called for each node, operands first, with what stands for its operands; gives what stands for the node.
using RewriteNode = std::function<Expr(Expr node, std::span<const Expr> operands)>;
Expr rewrite(Expr expression, const RewriteNode& node);
// The body with every read array replaced by the table's; arrays not in it stay.
Expr replace_arrays(Expr body, const std::unordered_map<ArrayRef, ArrayRef>& table);

}  // namespace heed
