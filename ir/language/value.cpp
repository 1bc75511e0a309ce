// Values in words.
#include "ir/language/value.h"

#include <fmt/format.h>

#include <algorithm>

#include "ir/language/syntax.h"
#include "ir/ops/operation.h"
#include "nearest_name.h"

namespace heed {
namespace {

struct Describe {
  std::string operator()(Unknown) const { return "an unknown value"; }
  std::string operator()(Nothing) const { return "none"; }
  std::string operator()(bool truth) const { return truth ? "true" : "false"; }
  std::string operator()(const Dimension& dimension) const { return dimension.size.text(); }
  std::string operator()(const Real& real) const { return real.quotient.empty() ? fmt::format("{}", real.value) : real.quotient; }
  std::string operator()(const Text& text) const { return "\"" + text.text + "\""; }
  std::string operator()(DType dtype) const { return fmt::format("the type {}", name_of(dtype)); }
  std::string operator()(const ShapedArray& array) const { return type_text(array.dtype(), array.shape); }
  std::string operator()(const Scalar& scalar) const { return std::string(name_of(scalar.dtype)); }
  std::string operator()(const List& list) const {
    std::string result = "[";
    for (const Value& item : *list.items) result += (result.size() > 1 ? ", " : "") + describe(item);
    return result + "]";
  }
  std::string operator()(const Callable& callable) const {
    static const char* const kinds[] = {"the function", "the layer", "the model", "the optimizer"};
    return fmt::format("{} `{}`", kinds[static_cast<int>(callable.definition->kind)], callable.definition->name.text);
  }
  std::string operator()(const Maker& maker) const { return (*this)(maker.callable); }
  std::string operator()(const InstanceValue&) const { return "a layer"; }
  std::string operator()(const ModuleValue&) const { return "a module"; }
  std::string operator()(const OperationValue& value) const { return fmt::format("the operation `{}`", value.operation->name); }
};

}  // namespace

double number_of(const Value& value) {
  if (const auto* dimension = get_if<Dimension>(value)) return static_cast<double>(dimension->value);
  if (const auto* truth = get_if<bool>(value)) return *truth ? 1 : 0;
  return std::get<Real>(value.variant()).value;
}

List list_of(std::vector<Value> items) { return {std::make_shared<const std::vector<Value>>(std::move(items))}; }

bool has_unknown(const Value& value) {
  if (const auto* list = get_if<List>(value)) return std::any_of(list->items->begin(), list->items->end(), has_unknown);
  return is<Unknown>(value);
}

std::string type_text(DType dtype, const std::vector<Dimension>& shape) {
  return std::string(name_of(dtype)) + (shape.empty() ? "" : text_of(shape));
}

std::string describe(const Value& value) { return std::visit(Describe{}, value.variant()); }

std::string did_you_mean(const std::string& name, const std::vector<std::string>& known) {
  std::string nearest = nearest_name(name, known);
  return nearest.empty() ? "" : fmt::format("did you mean `{}`?", nearest);
}

}  // namespace heed
