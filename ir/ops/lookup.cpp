// Arrays looked up by other arrays.
#include <fmt/format.h>

#include "ir/ops/operation.h"

namespace heed {
namespace {

using Positions = std::span<const Expr>;

ShapedArray integers(const Call& call, std::size_t k) {
  ShapedArray ids = call.array(k);
  if (!is_integer(ids.dtype()))
    call.fail(k, fmt::format("`{}` looks up integers, not {}", call.operation.name, describe(call.values[k])),
              fmt::format("convert them: `i32({})`", call.source(k)));
  return ids;
}

Value gather(Call& call) {
  ShapedArray table = call.array(0), ids = integers(call, 1);
  std::size_t axis = call.axis(2, table.shape.size());
  std::vector<Dimension> shape(table.shape.begin(), table.shape.begin() + axis);
  shape.insert(shape.end(), ids.shape.begin(), ids.shape.end());
  shape.insert(shape.end(), table.shape.begin() + axis + 1, table.shape.end());
  const Dimension& size = table.shape[axis];
  return call.builder.define(shape, table.dtype(), [&](Positions positions) {
    Expr index = at(ids, positions.subspan(axis, ids.shape.size()));
    if (is_affine(index) && count_of(ids.shape) > 0) {
      Interval range = bounds(index);
      if (range.high >= size.value || range.low < 0) {
        for (const Dimension& dimension : ids.shape) call.builder.suit_nominal(dimension, 1, 4);
        call.fail(1,
                  fmt::format("`gather` reads index {} of an axis of size {}", range.low < 0 ? range.low : range.high, size.size.text()));
      }
    }
    std::vector<Expr> indices(positions.begin(), positions.begin() + axis);
    indices.push_back(index);
    indices.insert(indices.end(), positions.begin() + axis + ids.shape.size(), positions.end());
    return at(table, indices);
  });
}

Value one_hot(Call& call) {
  ShapedArray ids = integers(call, 0);
  std::vector<Dimension> shape = ids.shape;
  shape.push_back(call.dimension(1));
  return call.builder.define(shape, DType::f32, [&](Positions positions) {
    Arena& arena = call.builder.arena();
    return select(equal(at(ids, positions.first(ids.shape.size())), positions.back()), real(arena, 1), real(arena, 0));
  });
}

const Operation records[] = {
    {"gather", "(table, ids, axis = 0)", "slices of a table along an axis at the positions in `ids`; one out of range is an error",
     "gather([1.0, 2.0, 3.0], [2, 0]) == [3.0, 1.0]", gather},
    {"one_hot", "(ids, size)", "f32, along a new last axis: 1 at the index, else 0", "one_hot([1, 0], 2) == [[0.0, 1.0], [1.0, 0.0]]",
     one_hot},
};

}  // namespace

std::span<const Operation> lookup_operations() { return records; }

}  // namespace heed
