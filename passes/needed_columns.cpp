// Which columns some rows need: by intervals where shapes decide, else by arrays that the run makes before the region.
#include <algorithm>
#include <limits>

#include "ir/algebra.h"
#include "ir/integer.h"
#include "passes/blocks.h"
#include "passes/idle_columns.h"

namespace heed {

namespace {

constexpr std::int64_t finest = 256;                                      // steps in which ends of the columns are found
constexpr std::int64_t part_steps = 4;                                    // of a part of the columns
constexpr std::int64_t pieces = 64;                                       // of the columns, whose bounds are looked at
constexpr std::int64_t least = std::numeric_limits<std::int32_t>::min();  // no index in a condition is smaller

std::int64_t size_of(const BlockRegion& region, int axis) { return region.axes.frame.sizes[static_cast<std::size_t>(axis)]; }

// The number-th piece of an axis.
struct Piece {
  AxisRef number;
  std::int64_t length, size;
  Expr first() const { return scale(length, value(number)); }
  Range range() const {
    Expr last = shift(first(), length - 1), end = integer(*number->arena, size - 1);
    return {first(), select(at_least(end, last), last, end)};
  }
};

// Arrays of the largest and the least value in each piece, read where the pieces are.
class Summaries {
 public:
  Summaries(const BlockRegion& region, Piece rows, Piece columns, const std::unordered_map<int, Expr>& units)
      : axes_(region.axes), rows_(rows), columns_(columns), units_(units), arena_(*rows.number->arena) {}

  Range bounds_of(Expr read, const std::unordered_map<AxisRef, int>& axis_of) const {
    bool is_integer = !is_floating(read->array->dtype) || read->array->dtype == DType::boolean;
    if (!is_integer) return {};
    std::vector<Expr> indices;
    std::vector<AxisRef> outer, bound;  // positions of the summaries, in order of use, and what they are taken over
    std::vector<Expr> guards;
    auto add_outer = [&](Expr at) {
      if (at->op == Op::axis && std::ranges::find(outer, at->axes[0]) == outer.end()) outer.push_back(at->axes[0]);
    };
    auto in_piece = [&](const Piece& piece) {
      add_outer(value(piece.number));
      bound.push_back(fresh_axis(arena_, piece.length));
      Expr at = add(piece.first(), value(bound.back()));
      guards.push_back(at_least(integer(arena_, piece.size - 1), at));
      return at;
    };
    std::unordered_map<AxisRef, Expr> used;  // an axis in two indices is at one place
    for (Expr index : read->operands) {
      if (is_constant(index)) {
        indices.push_back(index);
        continue;
      }
      if (index->op != Op::axis) return {};
      AxisRef axis = index->axes[0];
      if (auto found = used.find(axis); found != used.end()) {
        indices.push_back(found->second);
        continue;
      }
      auto joined = axis_of.find(axis);
      auto unit = joined == axis_of.end() ? units_.end() : units_.find(joined->second);
      if (unit != units_.end()) {
        add_outer(unit->second);
        indices.push_back(unit->second);
      } else if (joined != axis_of.end() && joined->second == axes_.row) {
        indices.push_back(in_piece(rows_));
      } else if (joined != axis_of.end() && joined->second == axes_.column) {
        indices.push_back(in_piece(columns_));
      } else {
        bound.push_back(fresh_axis(arena_, axis->size));
        indices.push_back(value(bound.back()));
      }
      used[axis] = indices.back();
    }
    Expr element = read_stored(read->array, indices);
    if (element->dtype == DType::boolean) element = select(element, integer(arena_, 1), integer(arena_, 0));
    if (bound.empty()) return {element, element};
    std::vector<Expr> at;
    for (AxisRef axis : outer) at.push_back(value(axis));
    auto largest = [&](Expr x) {
      Expr body = reduce(Reduction::maximum, bound, select(both(guards, arena_), x, integer(arena_, least)));
      return read_stored(define(outer, body, DType::i64, read->array->name), at);
    };
    return {scale(std::int64_t{-1}, largest(scale(std::int64_t{-1}, element))), largest(element)};
  }

 private:
  const BlockAxes& axes_;
  Piece rows_, columns_;
  const std::unordered_map<int, Expr>& units_;
  Arena& arena_;
};

}  // namespace

ColumnRange needed_columns(const BlockRegion& region, std::int64_t first, std::int64_t last, std::optional<ColumnRange> guess) {
  Arena& arena = *region.arrays[0]->arena;
  std::int64_t count = size_of(region, region.axes.column);
  auto is_idle = [&](std::int64_t begin, std::int64_t end) {
    Extent extent{.rows = {integer(arena, first), integer(arena, last)},
                  .columns = {integer(arena, begin), integer(arena, end - 1)},
                  .units = {},
                  .bounds_of_read = {}};
    return is_constant(are_idle(region, extent, arena), 1);
  };
  // The most columns from either end that are idle together, in steps; what is idle together is idle in part.
  std::int64_t step = std::max<std::int64_t>(1, count / finest);
  auto most_idle = [&](std::int64_t guessed, auto are_idle_from_end) {
    std::int64_t low = 0, high = count / step;
    const std::int64_t expected = std::clamp<std::int64_t>(guessed / step, 0, high);
    for (int turn = 0; low < high; ++turn) {
      const std::int64_t at = turn < 2 ? expected + turn : low + (high - low + 1) / 2;
      if (at <= low || at > high) continue;
      if (are_idle_from_end(at * step))
        low = at;
      else
        high = at - 1;
    }
    return low * step;
  };
  const std::int64_t begin = most_idle(guess ? guess->begin : 0, [&](std::int64_t n) { return is_idle(0, n); });
  const std::int64_t end = count - most_idle(guess ? count - guess->end : 0, [&](std::int64_t n) { return is_idle(count - n, count); });
  if (begin >= end) return {0, 0};
  return {begin, end};
}

std::vector<ColumnPart> column_parts(const BlockRegion& region, std::int64_t first, std::int64_t last) {
  Arena& arena = *region.arrays[0]->arena;
  const std::int64_t all = size_of(region, region.axes.column);
  auto extent_of = [&](std::int64_t begin, std::int64_t end) {
    return Extent{.rows = {integer(arena, first), integer(arena, last)},
                  .columns = {integer(arena, begin), integer(arena, end - 1)},
                  .units = {},
                  .bounds_of_read = {}};
  };
  auto is_idle = [&](std::int64_t begin, std::int64_t end) { return is_constant(are_idle(region, extent_of(begin, end), arena), 1); };
  std::vector<ColumnPart> parts;
  // Of one part the ends that are idle are left out, in steps, so that sizes are few.
  auto add_last = [&](std::int64_t begin, std::int64_t end) {
    const std::int64_t step = std::max<std::int64_t>(16, region.columns / part_steps / 16 * 16);
    while (!region.in_registers && begin + step < end && is_idle(begin, begin + step)) begin += step;
    while (!region.in_registers && end - step > begin && is_idle(begin + (end - begin - 1) / step * step, end))
      end = begin + (end - begin - 1) / step * step;
    parts.push_back({begin, end - begin, decided_conditions(region, extent_of(begin, end), arena)});
  };
  // What is decided of many parts together is decided of each.
  auto add = [&](auto& self, std::int64_t begin, std::int64_t end) -> void {
    if (is_idle(begin, end)) return;
    if (end - begin <= region.columns) return add_last(begin, end);
    auto decided = decided_conditions(region, extent_of(begin, end), arena);
    if (all_are_decided(region, decided)) {
      for (std::int64_t at = begin; at < end; at += region.columns) parts.push_back({at, std::min(region.columns, end - at), decided});
      return;
    }
    const std::int64_t count = ceil_divide(end - begin, region.columns), middle = begin + count / 2 * region.columns;
    self(self, begin, middle);
    self(self, middle, end);
  };
  add(add, 0, all);
  return parts;
}

std::optional<ColumnArrays> columns_by_data(const BlockRegion& region) {
  const BlockAxes& axes = region.axes;
  Arena& arena = *region.arrays[0]->arena;
  auto piece = [&](int axis, std::int64_t length) {
    std::int64_t size = size_of(region, axis);
    return Piece{fresh_axis(arena, ceil_divide(size, length)), length, size};
  };
  Piece rows = piece(axes.row, region.rows);
  std::int64_t count = size_of(region, axes.column);
  Piece columns = piece(axes.column, std::max<std::int64_t>(16, round_up(count / pieces, 16)));
  Extent extent{.rows = rows.range(), .columns = columns.range(), .units = {}, .bounds_of_read = {}};
  for (int unit : axes.units) extent.units[unit] = value(fresh_axis(arena, size_of(region, unit)));
  Summaries summaries(region, rows, columns, extent.units);
  extent.bounds_of_read = [&](Expr read, const auto& axis_of) { return summaries.bounds_of(read, axis_of); };
  Expr idle = are_idle(region, extent, arena);
  if (std::ranges::none_of(nodes_of(idle), [](Expr node) { return node->op == Op::read; })) return {};

  ColumnArrays result;
  std::vector<AxisRef> places;
  for (std::size_t k = 0; k < axes.units.size(); ++k) {
    Expr unit = extent.units.at(axes.units[k]);
    if (unit->op != Op::axis || std::ranges::find(idle->free, unit->axes[0]) == idle->free.end()) continue;
    places.push_back(unit->axes[0]);
    result.units.push_back(static_cast<int>(k));
  }
  places.push_back(rows.number);
  auto largest = [&](Expr needed, Expr otherwise) {
    const AxisRef over[] = {columns.number};
    return reduce(Reduction::maximum, over, select(idle, otherwise, needed));
  };
  Range at = columns.range();
  result.begin =
      define(places, scale(std::int64_t{-1}, largest(scale(std::int64_t{-1}, at.low), integer(arena, -count))), DType::i64, "begin");
  result.end = define(places, largest(shift(at.high, 1), integer(arena, 0)), DType::i64, "end");
  return result;
}

}  // namespace heed
