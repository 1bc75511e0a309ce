// Values in words.
#include "ir/language/value.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "ir/language/syntax.h"
#include "ir/ops/operation.h"

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

std::size_t edit_distance(const std::string& a, const std::string& b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      std::size_t changed = diagonal + (a[i - 1] != b[j - 1]);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, changed});
    }
  }
  return row[b.size()];
}

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

std::string nearest_name(const std::string& name, const std::vector<std::string>& known) {
  std::string nearest;
  std::size_t best = name.size() / 3 + 2;
  for (const std::string& candidate : known) {
    std::size_t distance = edit_distance(name, candidate);
    if (distance < best && distance < name.size()) best = distance, nearest = candidate;
  }
  return nearest;
}

std::string did_you_mean(const std::string& name, const std::vector<std::string>& known) {
  std::string nearest = nearest_name(name, known);
  return nearest.empty() ? "" : fmt::format("did you mean `{}`?", nearest);
}

}  // namespace heed
