// Reductions over axes, of whole arrays and in index notation; running sums.
#include <fmt/format.h>

#include <algorithm>
#include <functional>

#include "ir/ops/operation.h"

namespace heed {
namespace {

using Axes = std::span<const AxisRef>;

Expr opposite(Expr x) { return is_floating(x->dtype) ? scale(-1.0, x) : scale(std::int64_t{-1}, x); }

void refuse_truths(const Scalar& x, const char* name) {
  if (x.dtype == DType::boolean) throw Mistake{{}, fmt::format("`{}` takes numbers, not bool", name), "convert it: `f32(…)`"};
}

Scalar sum_over(Builder&, Axes axes, const Scalar& x) {
  refuse_truths(x, "sum");
  return {sum(axes, x.expression), x.dtype};
}
Scalar product_over(Builder&, Axes axes, const Scalar& x) {
  refuse_truths(x, "prod");
  return {reduce(Reduction::product, axes, x.expression), x.dtype};
}
Scalar mean_over(Builder&, Axes axes, const Scalar& x) {
  if (!is_floating(x.dtype))
    throw Mistake{{}, fmt::format("`mean` takes floating values, not {}", name_of(x.dtype)), "convert it: `f32(…)`"};
  double count = 1;
  for (AxisRef axis : axes) count *= static_cast<double>(axis->size);
  return {scale(1 / count, sum(axes, x.expression)), x.dtype};
}
Scalar maximum_over(Builder&, Axes axes, const Scalar& x) {
  refuse_truths(x, "max");
  return {reduce(Reduction::maximum, axes, x.expression), x.dtype};
}
Scalar minimum_over(Builder&, Axes axes, const Scalar& x) {
  refuse_truths(x, "min");
  return {opposite(reduce(Reduction::maximum, axes, opposite(x.expression))), x.dtype};
}
void one_axis(Axes axes, const char* name) {
  if (axes.size() != 1) throw Mistake{{}, fmt::format("`{}` is over one axis, not {}", name, axes.size())};
}
Scalar argmax_over(Builder&, Axes axes, const Scalar& x) {
  refuse_truths(x, "argmax");
  one_axis(axes, "argmax");
  return {reduce(Reduction::argmax, axes, x.expression), DType::i32};
}
Scalar argmin_over(Builder&, Axes axes, const Scalar& x) {
  refuse_truths(x, "argmin");
  one_axis(axes, "argmin");
  return {reduce(Reduction::argmax, axes, opposite(x.expression)), DType::i32};
}
void refuse_numbers(const Scalar& x, const char* name) {
  if (x.dtype != DType::boolean)
    throw Mistake{{}, fmt::format("`{}` takes truths, not {}", name, name_of(x.dtype)), "compare it: `… != 0`"};
}
Scalar any_over(Builder&, Axes axes, const Scalar& x) {
  refuse_numbers(x, "any");
  return {reduce(Reduction::any, axes, x.expression), DType::boolean};
}
Scalar all_over(Builder&, Axes axes, const Scalar& x) {
  refuse_numbers(x, "all");
  return {negate(reduce(Reduction::any, axes, negate(x.expression))), DType::boolean};
}

// The same reduction of a whole array: (x, axis = none, keep = false).
Value reduce_array(Call& call) {
  ShapedArray x = call.array(0);
  std::vector<std::size_t> reduced = call.axes(1, x.shape.size());
  bool keep = call.truth(2);
  auto is_reduced = [&](std::size_t k) { return std::find(reduced.begin(), reduced.end(), k) != reduced.end(); };
  std::vector<Dimension> shape;
  for (std::size_t k = 0; k < x.shape.size(); ++k) {
    if (!is_reduced(k))
      shape.push_back(x.shape[k]);
    else if (keep)
      shape.push_back(1);
  }
  std::string name = std::exchange(call.builder.name_hint, {});
  Arena& arena = call.builder.arena();
  std::vector<AxisRef> axes, summed;
  std::vector<Expr> indices;
  for (std::size_t k = 0; k < x.shape.size(); ++k) {
    AxisRef axis = fresh_axis(arena, x.shape[k].value);
    indices.push_back(value(axis));
    if (is_reduced(k))
      summed.push_back(axis);
    else
      axes.push_back(axis);
    if (is_reduced(k) && keep) axes.push_back(fresh_axis(arena, 1));
  }
  Scalar element{at(x, indices), x.dtype()};
  try {
    Scalar result = call.operation.over(call.builder, summed, element);
    return ShapedArray{define(axes, result.expression, result.dtype, name), shape};
  } catch (Mistake& mistake) {
    call.fail(0, mistake.message, mistake.help.empty() ? "" : fmt::format("convert it: `f32({})`", call.source(0)));
  }
}

// Of several axes or all: over the flat position.
Value reduce_to_index(Call& call) {
  ShapedArray x = call.array(0);
  if (x.shape.size() == 1 || !call.is_none(1)) return reduce_array(call);
  Dimension count(1);
  for (const Dimension& dimension : x.shape) count = count * dimension;
  ShapedArray flat = call.builder.define({count}, x.dtype(), [&](std::span<const Expr> positions) {
    std::vector<Expr> indices(x.shape.size());
    Expr rest = positions[0];
    for (std::size_t k = x.shape.size(); k-- > 0;) {
      std::int64_t size = std::max<std::int64_t>(x.shape[k].value, 1);
      indices[k] = k == 0 ? rest : remainder(rest, size);
      rest = floor_divide(rest, size);
    }
    return at(x, indices);
  });
  Call inner = call;
  inner.values[0] = flat;
  inner.values[2] = false;
  ShapedArray index = std::get<ShapedArray>(reduce_array(inner).variant());
  if (!call.truth(2)) return index;
  return call.builder.define(std::vector<Dimension>(x.shape.size(), Dimension(1)), index.dtype(),
                             [&](std::span<const Expr>) { return at(index, {}); });
}

// A running reduction is a scan along its axis: linear work, forward and backward.
Value running_sum(Call& call) {
  ShapedArray x = call.array(0);
  if (x.dtype() == DType::boolean) call.fail(0, "`cumsum` takes numbers, not bool", fmt::format("convert it: `f32({})`", call.source(0)));
  std::size_t axis = call.axis(1, x.shape.size());
  std::vector<Dimension> front{x.shape[axis]};
  for (std::size_t k = 0; k < x.shape.size(); ++k)
    if (k != axis) front.push_back(x.shape[k]);
  auto order = [&](std::span<const Expr> positions, bool to_front) {  // positions of the one at those of the other
    std::vector<Expr> result(positions.begin(), positions.end());
    if (to_front)
      std::rotate(result.begin(), result.begin() + axis, result.begin() + axis + 1);
    else
      std::rotate(result.begin(), result.begin() + 1, result.begin() + axis + 1);
    return result;
  };
  std::string name = std::exchange(call.builder.name_hint, {});
  ShapedArray moved =
      call.builder.define(front, x.dtype(), [&](std::span<const Expr> positions) { return at(x, order(positions, false)); });
  std::vector<Dimension> row(front.begin() + 1, front.end());
  std::vector<std::int64_t> row_sizes;
  for (const Dimension& dimension : row) row_sizes.push_back(dimension.value);
  Arena& arena = call.builder.arena();
  ShapedArray element{input(arena, "x", row_sizes, x.dtype()), row}, carried{input(arena, "total", row_sizes, x.dtype()), row};
  ShapedArray start = call.builder.define(row, x.dtype(), [&](std::span<const Expr>) {
    return is_floating(x.dtype()) ? real(arena, 0, compute_type(x.dtype())) : integer(arena, 0);
  });
  ShapedArray next = call.builder.define(
      row, x.dtype(), [&](std::span<const Expr> positions) { return add(at(carried, positions), at(element, positions)); });
  Scan scan{x.shape[axis].value, false, {moved.array}, {element.array}, {start.array}, {carried.array}, {next.array}, {next.array}};
  ShapedArray totals{heed::scan(arena, std::move(scan))[0], front};
  call.builder.name_hint = name;
  return call.builder.define(x.shape, x.dtype(), [&](std::span<const Expr> positions) { return at(totals, order(positions, true)); });
}

constexpr std::string_view parameters = "(x, axis = none, keep = false)";
const Operation records[] = {
    {.name = "sum",
     .signature = parameters,
     .summary = "sum over axes; none: all of them. In index notation `sum[i, j](…)`",
     .example = "sum([[1.0, 2.0], [3.0, 4.0]], axis = 0) == [4.0, 6.0]",
     .whole = reduce_array,
     .over = sum_over},
    {.name = "mean",
     .signature = parameters,
     .summary = "arithmetic mean over axes",
     .example = "mean([1.0, 2.0, 6.0]) == 3",
     .whole = reduce_array,
     .over = mean_over},
    {.name = "max",
     .signature = parameters,
     .summary = "largest value over axes; NaN wins",
     .example = "max([1.0, 6.0, 2.0]) == 6",
     .whole = reduce_array,
     .over = maximum_over},
    {.name = "min",
     .signature = parameters,
     .summary = "smallest value over axes; NaN wins",
     .example = "min([2.0, 1.0, 6.0]) == 1",
     .whole = reduce_array,
     .over = minimum_over},
    {.name = "prod",
     .signature = parameters,
     .summary = "product over axes",
     .example = "prod([2.0, 3.0]) == 6",
     .whole = reduce_array,
     .over = product_over},
    {.name = "argmax",
     .signature = parameters,
     .summary = "index of the first largest value along an axis, i32; none: of the flat array",
     .example = "argmax([1.0, 6.0, 6.0], axis = -1) == 1",
     .whole = reduce_to_index,
     .over = argmax_over},
    {.name = "argmin",
     .signature = parameters,
     .summary = "index of the first smallest value along an axis, i32",
     .example = "argmin([1.0, 0.0, 6.0], axis = -1) == 1",
     .whole = reduce_to_index,
     .over = argmin_over},
    {.name = "any",
     .signature = parameters,
     .summary = "is one of them true",
     .example = "any([1, 2] == 2)",
     .whole = reduce_array,
     .over = any_over},
    {.name = "all",
     .signature = parameters,
     .summary = "are all of them true",
     .example = "all([1, 2] > 0)",
     .whole = reduce_array,
     .over = all_over},
    {.name = "cumsum",
     .signature = "(x, axis = -1)",
     .summary = "running sum along an axis",
     .example = "cumsum([1.0, 2.0, 3.0]) == [1.0, 3.0, 6.0]",
     .whole = running_sum},
};

}  // namespace

std::span<const Operation> reduction_operations() { return records; }

}  // namespace heed
