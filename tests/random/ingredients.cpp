// Draws from the seed.
#include "tests/random/ingredients.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace heed {

Ingredients::Ingredients(std::uint64_t seed, bool smooth) : smooth_(smooth), random_(seed) {
  graph_.arena = std::make_shared<Arena>();
  graph_.name = "f";
  graph_.is_function = true;
  static constexpr std::array<std::int64_t, 16> usual = {1, 2, 3, 4, 5, 7, 8, 12, 16, 17, 24, 2, 3, 4, 33, 70};
  for (int k = 0; k < 4; ++k) sizes_.push_back(usual[below(usual.size())]);
  if (chance(0.03)) sizes_[0] = 0;
}

std::vector<std::int64_t> Ingredients::shape(std::uint64_t rank) {
  std::vector<std::int64_t> result;
  std::int64_t count = 1;
  for (std::uint64_t k = 0; k < rank; ++k) {
    std::int64_t next = size();
    if (count * next > most_elements) next = 2;
    result.push_back(next);
    count *= std::max<std::int64_t>(next, 1);
  }
  return result;
}

ArrayRef Ingredients::given(std::vector<std::int64_t> of_shape, DType dtype) {
  ArrayRef array = input(arena(), fmt::format("x{}", graph_.inputs.size()), std::move(of_shape), dtype);
  graph_.inputs.push_back({GraphInput::Role::data, array});
  return array;
}

void Ingredients::drop_unread_inputs() {
  std::vector<ArrayRef> read = in_order(graph_);
  std::erase_if(graph_.inputs, [&](const GraphInput& each) { return std::ranges::find(read, each.array) == read.end(); });
}

Ingredients::Axes Ingredients::axes_of(const std::vector<std::int64_t>& of_shape) {
  Axes axes;
  for (std::int64_t each : of_shape) axes.push_back(fresh_axis(arena(), each));
  return axes;
}

Expr Ingredients::at(ArrayRef array, const Axes& axes) {
  std::vector<Expr> indices;
  for (AxisRef axis : axes) indices.push_back(value(axis));
  return read(array, indices);
}

Expr Ingredients::map(Expr x) {
  switch (below(smooth_ ? 12 : 16)) {
    case 0:
      return call("tanh", {x});
    case 1:
      return apply(functions::exp, {call("tanh", {x})});
    case 2:
      return apply(functions::maximum, {x, constant(0)});
    case 3:
      return power(add(apply(functions::exp, {scale(-1.0, call("tanh", {x}))}), constant(1)), -1);
    case 4:
      return call("sin", {x});
    case 5:
      return power(add(power(x, 2), constant(0.5)), 0.5);
    case 6:
      return apply(functions::log, {add(power(x, 2), constant(1.25))});
    case 7:
      return apply(functions::maximum, {x, scale(-1.0, x)});
    case 8:
      return multiply(x, call("erf", {x}));
    case 9:
      return power(add(power(x, 2), constant(1)), -0.5);
    case 10:
      return call("atan", {x});
    case 12:
      return select(greater(x, constant(0.1)), x, scale(0.01, x));
    case 13:
      return add(x, scale(0.25, call("floor", {x})));
    case 14:
      return call("straight_through", {call("round", {x}), x});
    case 15:
      return add(x, multiply(apply(functions::stop_gradient, {x}), constant(0.5)));
    default:
      return add(scale(0.7, x), constant(-0.3));
  }
}

Expr Ingredients::index(std::int64_t wanted, const Axes& axes, std::vector<Expr>& guards) {
  Axes same, larger, smaller;
  for (AxisRef axis : axes) (axis->size == wanted ? same : axis->size > wanted ? larger : smaller).push_back(axis);
  if (!same.empty() && chance(0.85)) {
    Expr i = value(same[below(same.size())]);
    if (chance(0.8) || wanted == 0) return i;
    if (chance(0.5)) return shift(scale(std::int64_t{-1}, i), wanted - 1);
    Expr moved = shift(i, static_cast<std::int64_t>(below(3)) - 1);
    guards.push_back(inside(moved, wanted));
    return moved;
  }
  if (wanted > 0 && wanted < 40 && chance(0.15) && !axes.empty()) {  // found in data
    AxisRef axis = axes[below(axes.size())];
    Expr found = read(given({axis->size}, DType::i32), std::array{value(axis)});
    if (wanted >= largest_id + 1 && chance(0.5)) return found;
    return remainder(found, wanted);
  }
  if (!larger.empty() && wanted > 0) {
    AxisRef axis = larger[below(larger.size())];
    switch (below(3)) {
      case 0:
        return remainder(value(axis), wanted);
      case 1:
        return floor_divide(value(axis), (axis->size + wanted - 1) / wanted);
      default: {
        Expr moved = shift(value(axis), -static_cast<std::int64_t>(below(static_cast<std::uint64_t>(axis->size - wanted + 1))));
        guards.push_back(inside(moved, wanted));
        return moved;
      }
    }
  }
  if (!smaller.empty()) {
    AxisRef axis = smaller[below(smaller.size())];
    std::int64_t stride = axis->size > 1 ? std::max<std::int64_t>(1, (wanted - 1) / std::max<std::int64_t>(axis->size - 1, 1)) : 1;
    if (chance(0.5)) stride = 1;
    return shift(scale(stride, value(axis)),
                 static_cast<std::int64_t>(below(static_cast<std::uint64_t>(wanted - stride * std::max<std::int64_t>(axis->size - 1, 0)))));
  }
  Expr first = integer(arena(), wanted > 0 ? static_cast<std::int64_t>(below(static_cast<std::uint64_t>(wanted))) : 0);
  if (wanted == 0) guards.push_back(boolean(arena(), false));
  return first;
}

Expr Ingredients::read_somehow(ArrayRef array, const Axes& axes) {
  std::vector<Expr> guards, indices;
  for (std::int64_t each : array->shape) indices.push_back(index(each, axes, guards));
  Expr x = read(array, indices);
  for (Expr guard : guards) x = select(guard, x, constant(0));
  return x;
}

}  // namespace heed
