// Values while a model file is elaborated: numbers and texts known at compile time, arrays with symbolic shapes, functions, layers.
#pragma once
#include <map>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "ir/graph.h"
#include "ir/language/diagnostics.h"
#include "ir/language/size.h"

namespace heed {

struct Module;
struct Operation;
struct Instance;
struct Value;
namespace syntax {
struct Function;
}

struct Unknown {};  // after a mistake; whatever is made from it is unknown, too, and causes no further ones
struct Nothing {};  // `none`

struct Real {
  double value;
  std::string quotient;  // "7 / 2" if it is the inexact quotient of two sizes
};

struct Text {
  std::string text;
  bool from_command_line = false;
};

struct ShapedArray {
  ArrayRef array;
  std::vector<Dimension> shape;
  DType dtype() const { return array->dtype; }
};

// In index notation: a value at the axes that are bound around it.
struct Scalar {
  Expr expression;
  DType dtype;
  bool adapts = false;  // an axis as a number: takes the other side's integer type, like a literal
};

struct List {
  std::shared_ptr<const std::vector<Value>> items;
};

struct Callable {  // a function; or a layer or optimizer without its settings
  const syntax::Function* definition;
  const Module* module;
};

struct Maker {  // a layer or optimizer with its settings
  Callable callable;
  std::shared_ptr<const std::map<std::string, Value>> settings;
};

struct InstanceValue {
  std::shared_ptr<Instance> instance;
};

struct ModuleValue {
  const Module* module;
};

struct OperationValue {
  const Operation* operation;
};

using ValueVariant = std::variant<Unknown, Nothing, bool, Dimension, Real, Text, DType, ShapedArray, Scalar, List, Callable, Maker,
                                  InstanceValue, ModuleValue, OperationValue>;
struct Value : ValueVariant {
  using ValueVariant::ValueVariant;
  const ValueVariant& variant() const { return *this; }
};

template <typename T>
const T* get_if(const Value& value) {
  return std::get_if<T>(&value.variant());
}
template <typename T>
bool is(const Value& value) {
  return std::holds_alternative<T>(value.variant());
}

inline bool is_number(const Value& value) { return is<Dimension>(value) || is<Real>(value); }
inline bool is_compile_time_scalar(const Value& value) { return is_number(value) || is<bool>(value); }
double number_of(const Value& value);  // of a Dimension, Real or bool

List list_of(std::vector<Value> items);
bool has_unknown(const Value& value);                                     // itself or in a list
std::string type_text(DType dtype, const std::vector<Dimension>& shape);  // "f32[B, T, 64]", "f32"
std::string describe(const Value& value);                                 // for messages: "f32[B, T, 64]", "3", "a layer"

// A mistake of the model file that ends the evaluation of one expression; it is reported and the value is unknown.
struct Mistake {
  Span span;
  std::string message, help;
};
// The value it depends on is unknown: nothing more to say.
struct Unreported {};
// The nominal sizes that stand for unbound symbols do not suit the file: begin again with others.
struct NominalMismatch {
  std::int64_t multiply = 1, divide = 1;
};

std::string did_you_mean(const std::string& name, const std::vector<std::string>& known);  // "did you mean `x`?" or ""

}  // namespace heed
