// What people call, one record each in one block of ir/ops/*.cpp: name, parameters, what can be wrong, meaning in index notation,
// documentation with an example that is a test. Scalar functions have their records in ir/function.h and are called the same way.
#pragma once
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ir/function.h"
#include "ir/language/builder.h"
#include "ir/language/value.h"

namespace heed {

struct Call;
struct ScalarCall;

struct Operation {
  std::string_view name;
  std::string_view signature;  // "(x, axis = none, keep = false)"; "(a, b)" of operators
  std::string_view summary, example;
  Value (*whole)(Call&) = nullptr;               // of whole arrays
  Scalar (*elementwise)(ScalarCall&) = nullptr;  // of values at one position; arrays broadcast to each other
  // A reduction: of a scalar over axes. `whole` serves arrays, this one index notation and `whole`.
  Scalar (*over)(Builder&, std::span<const AxisRef>, const Scalar&) = nullptr;
  bool chooses = false;  // the second argument counts where the first is true, the third where not: neither may be read elsewhere
  const ScalarFunction* function = nullptr;  // made from a record of a scalar function
};

struct OperationParameter {
  std::string name;
  std::optional<Value> fallback;
};
std::vector<OperationParameter> parameters_of(const Operation& operation);

// All of them, by file; those made from scalar functions come last.
const std::vector<const Operation*>& operations();
const Operation* find_operation(std::string_view name);  // null if there is none
std::string operations_page();                           // docs/operations.md

// A call of whole arrays: arguments in the order of the parameters.
struct Call {
  Builder& builder;
  const Operation& operation;
  Span span;  // of the call
  std::vector<Value> values;
  std::vector<Span> spans;                             // of each argument; the call's for those not given
  std::vector<std::pair<std::string, Value>> further;  // named arguments that are no parameters, of operations that take them ("…")

  // Each throws a Mistake at the argument if it is of another kind.
  ShapedArray array(std::size_t k) const;  // numbers and lists of numbers become arrays
  ShapedArray floating(std::size_t k) const;
  std::int64_t whole_number(std::size_t k) const;  // known at compile time
  Dimension dimension(std::size_t k) const;
  double number(std::size_t k) const;
  bool truth(std::size_t k) const;
  const std::string& text(std::size_t k) const;
  DType dtype(std::size_t k) const;
  std::vector<Dimension> shape(std::size_t k) const;  // a list of sizes, or one size
  std::size_t axis(std::size_t k, std::size_t rank) const;
  std::vector<std::size_t> axes(std::size_t k, std::size_t rank) const;  // none: all
  bool is_none(std::size_t k) const { return is<Nothing>(values[k]); }

  [[noreturn]] void fail(std::size_t k, std::string message, std::string help = "") const;
  [[noreturn]] void fail(std::string message, std::string help = "") const;
  std::string source(std::size_t k) const;  // as written, for the mend
};

// A call at one position. Arguments are numbers and truths of compile time, or Scalars; `common` makes them Scalars of one type.
struct ScalarCall {
  Builder& builder;
  const Operation& operation;
  Span span;
  std::vector<Value> values;
  std::vector<Span> spans;
  std::vector<std::string> described;  // each argument for messages: "f32[B, 64]"

  // Literals take the others' type; among themselves they are floating if one is, or if that is asked for.
  DType common(std::size_t first, std::size_t count, bool floating = false);
  Expr operator[](std::size_t k) const { return std::get<Scalar>(values[k].variant()).expression; }
  [[noreturn]] void fail(std::string message, std::string help = "") const;
};

// Calls any operation on evaluated arguments: scalars where they are, whole arrays, or numbers of compile time, which stay numbers.
Value apply_operation(Builder& builder, const Operation& operation, Span span, std::vector<Value> values, std::vector<Span> spans,
                      std::vector<std::pair<std::string, Value>> further = {});
// The shape both are broadcast to; a Mistake at the call names the dimensions that differ.
std::vector<Dimension> broadcast_shape(const std::vector<std::vector<Dimension>>& shapes, const Operation& operation, Span span,
                                       const std::vector<std::string>& described);
ShapedArray array_of(Builder& builder, const Value& value, Span span, DType fallback = DType::f32);
Scalar scalar_of(Builder& builder, const Value& value, DType dtype, Span span);
std::string source_text(Span span);

// The blocks of records, one a file.
std::span<const Operation> elementwise_operations();
std::span<const Operation> product_operations();
std::span<const Operation> reduction_operations();
std::span<const Operation> movement_operations();
std::span<const Operation> arrangement_operations();
std::span<const Operation> lookup_operations();
std::span<const Operation> creation_operations();
std::span<const Operation> gradient_operations();

}  // namespace heed
