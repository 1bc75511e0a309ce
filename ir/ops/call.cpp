// Arguments of a call, each as the kind that an operation wants or a mistake that says what it is instead.
#include <fmt/format.h>

#include <algorithm>

#include "ir/ops/operation.h"

namespace heed {

void Call::fail(std::string message, std::string help) const { throw Mistake{span, std::move(message), std::move(help)}; }
void Call::fail(std::size_t k, std::string message, std::string help) const {
  throw Mistake{spans[k], std::move(message), std::move(help)};
}
std::string Call::source(std::size_t k) const { return source_text(spans[k]); }

ShapedArray Call::array(std::size_t k) const {
  if (is<Scalar>(values[k]))
    fail(k, fmt::format("`{}` is of whole arrays; here is one value at the axes of index notation", operation.name));
  return array_of(builder, values[k], spans[k]);
}

ShapedArray Call::floating(std::size_t k) const {
  ShapedArray result = array(k);
  if (!is_floating(result.dtype()))
    fail(k, fmt::format("`{}` takes floating values, not {}", operation.name, describe(result)),
         fmt::format("convert it: `f32({})`", source(k)));
  return result;
}

Dimension Call::dimension(std::size_t k) const {
  const auto* dimension = get_if<Dimension>(values[k]);
  if (dimension) return *dimension;
  std::string name = parameters_of(operation)[k].name;
  const auto* quotient = get_if<Real>(values[k]);
  if (quotient && !quotient->quotient.empty())
    fail(k, fmt::format("`{}` of `{}` must be whole: {} leaves a remainder", name, operation.name, quotient->quotient));
  fail(k, fmt::format("`{}` of `{}` is a whole number known at compile time, not {}", name, operation.name, describe(values[k])));
}

std::int64_t Call::whole_number(std::size_t k) const { return dimension(k).value; }

double Call::number(std::size_t k) const {
  if (!is_number(values[k]))
    fail(k, fmt::format("`{}` of `{}` is a number known at compile time, not {}", parameters_of(operation)[k].name, operation.name,
                        describe(values[k])));
  return number_of(values[k]);
}

bool Call::truth(std::size_t k) const {
  if (!is<bool>(values[k]))
    fail(k, fmt::format("`{}` of `{}` is true or false, not {}", parameters_of(operation)[k].name, operation.name, describe(values[k])));
  return *get_if<bool>(values[k]);
}

const std::string& Call::text(std::size_t k) const {
  if (!is<Text>(values[k]))
    fail(k, fmt::format("`{}` of `{}` is a text in quotes, not {}", parameters_of(operation)[k].name, operation.name, describe(values[k])));
  return get_if<Text>(values[k])->text;
}

DType Call::dtype(std::size_t k) const {
  if (!is<DType>(values[k]))
    fail(k, fmt::format("`{}` of `{}` is a type like f32, not {}", parameters_of(operation)[k].name, operation.name, describe(values[k])));
  return *get_if<DType>(values[k]);
}

std::vector<Dimension> Call::shape(std::size_t k) const {
  std::vector<Value> items{values[k]};
  if (const auto* list = get_if<List>(values[k])) items = *list->items;
  std::vector<Dimension> result;
  for (const Value& item : items) {
    const auto* dimension = get_if<Dimension>(item);
    if (!dimension) {
      const auto* real = get_if<Real>(item);
      if (real && !real->quotient.empty()) fail(k, fmt::format("a size must be whole: {} leaves a remainder", real->quotient));
      fail(k, fmt::format("a shape is a list of sizes, but {} is in it", describe(item)));
    }
    if (dimension->value < 0 && dimension->size.constant()) fail(k, fmt::format("a size is not negative, but {} is", dimension->value));
    result.push_back(*dimension);
  }
  return result;
}

std::size_t Call::axis(std::size_t k, std::size_t rank) const {
  std::int64_t given = whole_number(k), size = static_cast<std::int64_t>(rank);
  if (given < -size || given >= size)
    fail(k, fmt::format("axis {} of {}: it has {} {}", given, describe(values[0]), rank, rank == 1 ? "axis" : "axes"));
  return static_cast<std::size_t>(given < 0 ? given + size : given);
}

std::vector<std::size_t> Call::axes(std::size_t k, std::size_t rank) const {
  std::vector<std::size_t> result;
  if (is_none(k)) {
    for (std::size_t axis = 0; axis < rank; ++axis) result.push_back(axis);
    return result;
  }
  const auto* list = get_if<List>(values[k]);
  if (!list) return {axis(k, rank)};
  for (const Value& item : *list->items) {
    Call one{builder, operation, span, values, spans, {}};
    one.values[k] = item;
    std::size_t axis = one.axis(k, rank);
    if (std::find(result.begin(), result.end(), axis) != result.end()) fail(k, fmt::format("axis {} is named twice", axis));
    result.push_back(axis);
  }
  return result;
}

}  // namespace heed
