// `x[…]`: slices of whole arrays as in NumPy, one value in index notation, items of lists.
#include <fmt/format.h>

#include <algorithm>

#include "ir/language/elaborator.h"

namespace heed {
namespace {

using Kind = syntax::Subscript::Kind;

// Where one axis of the array is read, as start + step * position; dropped axes have no position.
struct Cut {
  std::int64_t start = 0, step = 1;
  bool dropped = false;
  Dimension size;
};

}  // namespace

Value Elaborator::subscript(const syntax::Index& index, const syntax::Expression& expression, Scope& scope) {
  std::string name = std::exchange(builder.name_hint, {});
  Value object = evaluate(*index.object, scope);
  const auto& subscripts = index.subscripts;
  std::vector<Evaluated> values(subscripts.size());  // of those that are an index
  for (std::size_t k = 0; k < subscripts.size(); ++k)
    if (subscripts[k].kind == Kind::index) values[k] = {evaluate(*subscripts[k].index, scope), subscripts[k].span};
  if (is<Unknown>(object)) return Unknown{};
  for (std::size_t k = 0; k < values.size(); ++k)
    if (subscripts[k].kind == Kind::index && has_unknown(values[k].value)) return Unknown{};

  if (const auto* list = get_if<List>(object);
      list && subscripts.size() == 1 && subscripts[0].kind == Kind::index && is<Dimension>(values[0].value)) {
    std::int64_t count = static_cast<std::int64_t>(list->items->size()), k = get_if<Dimension>(values[0].value)->value;
    if (k < -count || k >= count) throw Mistake{subscripts[0].span, fmt::format("item {} of {} items", k, count)};
    return (*list->items)[k < 0 ? k + count : k];
  }
  if (is<List>(object)) object = array_of(builder, object, index.object->span);
  const auto* array = get_if<ShapedArray>(object);
  if (!array) throw Mistake{index.object->span, fmt::format("{} has no axes to index", describe(object))};

  std::size_t rank = array->shape.size(), used = 0, ellipses = 0;
  bool all_indices = true, looks_up = false;
  for (std::size_t k = 0; k < subscripts.size(); ++k) {
    bool is_new_axis = subscripts[k].kind == Kind::index && is<Nothing>(values[k].value);
    ellipses += subscripts[k].kind == Kind::ellipsis;
    used += subscripts[k].kind != Kind::ellipsis && !is_new_axis;
    all_indices &= subscripts[k].kind == Kind::index && !is_new_axis;
    looks_up |=
        subscripts[k].kind == Kind::index && (is<ShapedArray>(values[k].value) || is<Scalar>(values[k].value) || is<List>(values[k].value));
  }
  if (ellipses > 1) throw Mistake{expression.span, "`...` stands once in an index"};
  if (used > rank)
    throw Mistake{expression.span,
                  fmt::format("{} indices for {}, which has {} ax{}", used, describe(object), rank, rank == 1 ? "is" : "es")};
  if (in_index_notation() && all_indices && used == rank) return read_at(*array, values, expression.span);
  if (looks_up)
    throw Mistake{expression.span,
                  in_index_notation() ? fmt::format("{} needs an index for each of its {} axes here", describe(object), rank)
                                      : "an array is indexed by whole numbers and slices",
                  in_index_notation() ? "" : "look up by an array of integers: `gather(x, ids, axis = 0)`"};

  std::vector<Cut> cuts;               // one an axis of the array
  std::vector<std::ptrdiff_t> layout;  // of the result: an axis of the array, or -1 for a new one
  auto take = [&](const syntax::Subscript* part, const Evaluated* value) {
    const Dimension& size = array->shape[cuts.size()];
    Cut cut{0, 1, false, size};
    if (part && part->kind == Kind::index) {
      const auto* position = get_if<Dimension>(value->value);
      if (!position)
        throw Mistake{part->span, fmt::format("an index is a whole number known at compile time, not {}", describe(value->value))};
      cut.start = position->value < 0 ? position->value + size.value : position->value;
      cut.dropped = true;
      if (cut.start < 0 || cut.start >= size.value) {
        builder.suit_nominal(size, 4, 1);
        throw Mistake{part->span, fmt::format("index {} of an axis of size {}", position->size.text(), size.size.text())};
      }
    } else if (part) {
      auto bound = [&](const syntax::ExpressionPtr& written, Dimension fallback) {
        if (!written) return fallback;
        Value at = evaluate(*written, scope);
        if (is<Unknown>(at)) throw Unreported{};
        const auto* number = get_if<Dimension>(at);
        if (!number)
          throw Mistake{written->span, fmt::format("a slice runs between whole numbers known at compile time, not {}", describe(at))};
        Dimension result = number->size.constant().value_or(0) < 0 ? size + *number : *number;
        if (result.value < 0 || result.value > size.value) {
          builder.suit_nominal(size, 4, 1);
          throw Mistake{written->span,
                        fmt::format("the slice reaches {}, but the axis has size {}", number->size.text(), size.size.text())};
        }
        return result;
      };
      std::int64_t step = 1;
      if (part->step) {
        Value by = evaluate(*part->step, scope);
        if (is<Unknown>(by)) throw Unreported{};
        if (!is<Dimension>(by) || get_if<Dimension>(by)->value == 0)
          throw Mistake{part->step->span, fmt::format("a step is a whole number that is not 0, not {}", describe(by))};
        step = get_if<Dimension>(by)->value;
      }
      if (step < 0 && (part->start || part->stop))
        throw Mistake{part->span, "a slice with a negative step has no bounds here", "slice first, then `flip` it"};
      Dimension start = bound(part->start, 0), stop = bound(part->stop, size);
      Dimension length = stop - start;
      if (length.value < 0) {
        builder.suit_nominal(size, 4, 1);
        throw Mistake{part->span, fmt::format("the slice ends at {}, before its start {}", stop.size.text(), start.size.text())};
      }
      cut = {step < 0 ? size.value - 1 : start.value, step, false, length};
      if (std::int64_t stride = std::abs(step); stride != 1)
        cut.size = {floored_quotient(length.size + Size(stride - 1), Size(stride)), (length.value + stride - 1) / stride};
    }
    if (!cut.dropped) layout.push_back(static_cast<std::ptrdiff_t>(cuts.size()));
    cuts.push_back(cut);
  };
  for (std::size_t k = 0; k < subscripts.size(); ++k) {
    if (subscripts[k].kind == Kind::ellipsis)
      for (std::size_t n = rank - used; n-- > 0;) take(nullptr, nullptr);
    else if (subscripts[k].kind == Kind::index && is<Nothing>(values[k].value))
      layout.push_back(-1);
    else
      take(&subscripts[k], &values[k]);
  }
  while (cuts.size() < rank) take(nullptr, nullptr);

  std::vector<Dimension> shape;
  for (std::ptrdiff_t axis : layout) shape.push_back(axis < 0 ? Dimension(1) : cuts[axis].size);
  mark_origin(expression.span, "slice");
  builder.name_hint = name;
  return builder.define(shape, array->dtype(), [&](std::span<const Expr> positions) {
    std::vector<Expr> indices;
    for (const Cut& cut : cuts) indices.push_back(integer(builder.arena(), cut.start));
    for (std::size_t k = 0; k < layout.size(); ++k)
      if (layout[k] >= 0) indices[layout[k]] = shift(scale(cuts[layout[k]].step, positions[k]), cuts[layout[k]].start);
    return at(*array, indices);
  });
}

}  // namespace heed
