// Operations that move values and change none: transposes, reshapes, slices of axes, paddings, repetitions.
#include <fmt/format.h>

#include <algorithm>

#include "ir/ops/operation.h"

namespace heed {
namespace {

using Positions = std::span<const Expr>;

ShapedArray permuted(Builder& builder, const ShapedArray& x, const std::vector<std::size_t>& order) {
  std::vector<Dimension> shape;
  for (std::size_t from : order) shape.push_back(x.shape[from]);
  return builder.define(shape, x.dtype(), [&](Positions positions) {
    std::vector<Expr> indices(order.size());
    for (std::size_t k = 0; k < order.size(); ++k) indices[order[k]] = positions[k];
    return at(x, indices);
  });
}

Value transpose(Call& call) {
  ShapedArray x = call.array(0);
  std::vector<std::size_t> order(x.shape.size());
  for (std::size_t k = 0; k < order.size(); ++k) order[k] = k;
  if (call.is_none(1)) {
    if (order.size() < 2)
      call.fail(0, fmt::format("`transpose` swaps the last two axes, but {} has {}", describe(call.values[0]), order.size()));
    std::swap(order[order.size() - 1], order[order.size() - 2]);
  } else {
    auto axes = call.axes(1, order.size());
    if (axes.size() != 2)
      call.fail(1, fmt::format("`transpose` swaps two axes, but {} are named", axes.size()), "reorder several by `permute(x, [0, 2, 1])`");
    std::swap(order[axes[0]], order[axes[1]]);
  }
  return permuted(call.builder, x, order);
}

Value permute(Call& call) {
  ShapedArray x = call.array(0);
  auto order = call.axes(1, x.shape.size());
  if (order.size() != x.shape.size())
    call.fail(1, fmt::format("`permute` names {} axes, but {} has {}", order.size(), describe(call.values[0]), x.shape.size()));
  return permuted(call.builder, x, order);
}

// The flat position, and positions from it.
Expr flat_position(Arena& arena, const std::vector<Dimension>& shape, Positions positions) {
  std::vector<IntegerTerm> terms;
  std::int64_t stride = 1;
  for (std::size_t k = shape.size(); k-- > 0; stride *= shape[k].value) terms.push_back({stride, positions[k]});
  return linear(terms, 0, arena);
}
std::vector<Expr> from_flat(Arena& arena, const std::vector<Dimension>& shape, Expr flat) {
  std::vector<Expr> result(shape.size());
  for (std::size_t k = shape.size(); k-- > 0;) {
    std::int64_t size = shape[k].value;
    if (size <= 0) {
      result[k] = integer(arena, 0);
      continue;
    }
    result[k] = k == 0 ? flat : remainder(flat, size);
    flat = floor_divide(flat, size);
  }
  return result;
}

Dimension elements_of(const std::vector<Dimension>& shape) {
  Dimension result(1);
  for (const Dimension& dimension : shape) result = result * dimension;
  return result;
}

Value reshape(Call& call) {
  ShapedArray x = call.array(0);
  Dimension count = elements_of(x.shape);
  std::vector<Value> items{call.values[1]};
  if (const auto* list = get_if<List>(call.values[1])) items = *list->items;
  std::optional<std::size_t> open;
  for (std::size_t k = 0; k < items.size(); ++k)
    if (const auto* size = get_if<Dimension>(items[k]); size && size->size == Size(-1)) {
      if (open) call.fail(1, "`reshape` can find one size marked -1, but two are");
      open = k;
      items[k] = Dimension(1);
    }
  Call sizes = call;
  sizes.values[1] = list_of(items);
  std::vector<Dimension> shape = sizes.shape(1);
  if (open) {
    Dimension known = elements_of(shape);
    if (known.value == 0 || count.value % known.value != 0) {
      call.builder.suit_nominal(count, std::max<std::int64_t>(known.value, 1), 1);
      call.fail(1, fmt::format("`reshape` of {} to {}: {} does not divide {}", describe(call.values[0]), describe(call.values[1]),
                               known.size.text(), count.size.text()));
    }
    shape[*open] = {exact_quotient(count.size, known.size), count.value / known.value};
  }
  if (!(elements_of(shape) == count))
    call.fail(1, fmt::format("`reshape` of {} to {}: {} elements and {} differ", describe(call.values[0]), text_of(shape),
                             count.size.text(), elements_of(shape).size.text()));
  return call.builder.define(shape, x.dtype(), [&](Positions positions) {
    Arena& arena = call.builder.arena();
    return at(x, from_flat(arena, x.shape, flat_position(arena, shape, positions)));
  });
}

Value flip(Call& call) {
  ShapedArray x = call.array(0);
  auto axes = call.axes(1, x.shape.size());
  return call.builder.define(x.shape, x.dtype(), [&](Positions positions) {
    std::vector<Expr> indices(positions.begin(), positions.end());
    for (std::size_t axis : axes) indices[axis] = shift(scale(std::int64_t{-1}, indices[axis]), x.shape[axis].value - 1);
    return at(x, indices);
  });
}

Value roll(Call& call) {
  ShapedArray x = call.array(0);
  std::size_t axis = call.axis(2, x.shape.size());
  std::int64_t size = x.shape[axis].value, by = call.whole_number(1);
  return call.builder.define(x.shape, x.dtype(), [&](Positions positions) {
    std::vector<Expr> indices(positions.begin(), positions.end());
    if (size > 0) indices[axis] = remainder(shift(indices[axis], -by), size);
    return at(x, indices);
  });
}

Value repeat(Call& call) {
  ShapedArray x = call.array(0);
  Dimension count = call.dimension(1);
  if (count.value < 0) call.fail(1, fmt::format("`repeat` is not {} times", count.size.text()));
  std::size_t axis = call.axis(2, x.shape.size());
  std::vector<Dimension> shape = x.shape;
  shape[axis] = shape[axis] * count;
  return call.builder.define(shape, x.dtype(), [&](Positions positions) {
    std::vector<Expr> indices(positions.begin(), positions.end());
    if (count.value > 0) indices[axis] = floor_divide(indices[axis], count.value);
    return at(x, indices);
  });
}

Value tile(Call& call) {
  ShapedArray x = call.array(0);
  std::vector<Dimension> counts = call.shape(1), shape = x.shape;
  if (counts.size() > shape.size()) shape.insert(shape.begin(), counts.size() - shape.size(), Dimension(1));
  std::vector<Dimension> padded = shape;
  for (std::size_t k = 0; k < counts.size(); ++k) {
    Dimension& size = shape[shape.size() - counts.size() + k];
    size = size * counts[k];
  }
  return call.builder.define(shape, x.dtype(), [&](Positions positions) {
    std::vector<Expr> indices;
    for (std::size_t k = shape.size() - x.shape.size(); k < shape.size(); ++k)
      indices.push_back(padded[k].value > 0 ? remainder(positions[k], padded[k].value) : positions[k]);
    return at(x, indices);
  });
}

Value pad(Call& call) {
  ShapedArray x = call.array(0);
  const auto* list = get_if<List>(call.values[1]);
  if (!list || list->items->size() != x.shape.size())
    call.fail(1, fmt::format("`pad` takes [before, after] for each of the {} axes, not {}", x.shape.size(), describe(call.values[1])),
              "for example `pad(x, [[0, 0], [1, 1]])`");
  std::vector<Dimension> shape = x.shape;
  std::vector<std::int64_t> before;
  for (std::size_t k = 0; k < shape.size(); ++k) {
    Call one = call;
    one.values[1] = (*list->items)[k];
    std::vector<Dimension> sides = one.shape(1);
    if (sides.size() == 1) sides.push_back(sides[0]);
    if (sides.size() != 2) call.fail(1, fmt::format("`pad` takes [before, after] for an axis, not {}", describe((*list->items)[k])));
    before.push_back(sides[0].value);
    shape[k] = sides[0] + shape[k] + sides[1];
  }
  Scalar filler = scalar_of(call.builder, call.values[2], x.dtype(), call.spans[2]);
  return call.builder.define(shape, x.dtype(), [&](Positions positions) {
    std::vector<Expr> indices, guards;
    for (std::size_t k = 0; k < shape.size(); ++k) {
      indices.push_back(shift(positions[k], -before[k]));
      guards.push_back(inside(indices[k], x.shape[k].value));
    }
    return select(both(guards, call.builder.arena()), at(x, indices), filler.expression);
  });
}

Value broadcast(Call& call) {
  ShapedArray x = call.array(0);
  std::vector<Dimension> shape = call.shape(1);
  if (!(broadcast_shape({shape, x.shape}, call.operation, call.span, {text_of(shape), describe(call.values[0])}) == shape))
    call.fail(0, fmt::format("{} does not broadcast to {}", describe(call.values[0]), text_of(shape)));
  return call.builder.define(shape, x.dtype(),
                             [&](Positions positions) { return at(x, broadcast_positions(x.shape, positions, call.builder.arena())); });
}

const Operation records[] = {
    {"transpose", "(x, axes = none)", "swaps the last two axes, or the two that are named",
     "transpose([[1, 2], [3, 4]]) == [[1, 3], [2, 4]]", transpose},
    {"permute", "(x, axes)", "axes in another order", "permute([[1, 2], [3, 4]], [1, 0]) == [[1, 3], [2, 4]]", permute},
    {"reshape", "(x, shape)", "the same elements in row-major order at another shape; one size may be -1",
     "reshape([[1, 2], [3, 4]], [4]) == [1, 2, 3, 4]", reshape},
    {"flip", "(x, axis = none)", "from the last to the first", "flip([1, 2, 3]) == [3, 2, 1]", flip},
    {"roll", "(x, shift, axis = -1)", "moves elements along an axis; those that leave come in at the other end",
     "roll([1, 2, 3], 1) == [3, 1, 2]", roll},
    {"repeat", "(x, count, axis = -1)", "every element `count` times", "repeat([1, 2], 2) == [1, 1, 2, 2]", repeat},
    {"tile", "(x, counts)", "the whole array several times along its last axes", "tile([1, 2], [2]) == [1, 2, 1, 2]", tile},
    {"pad", "(x, sides, value = 0)", "[before, after] more elements at each axis", "pad([1, 2], [[1, 2]]) == [0, 1, 2, 0, 0]", pad},
    {"broadcast_to", "(x, shape)", "repeated along axes of size 1 and new leading axes", "broadcast_to([1, 2], [2, 2]) == [[1, 2], [1, 2]]",
     broadcast},
};

}  // namespace

std::span<const Operation> movement_operations() { return records; }

}  // namespace heed
