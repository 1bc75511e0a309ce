// Remakes the arrays of a region at the size of a block.
#include <algorithm>
#include <map>
#include <stdexcept>

#include "ir/algebra.h"
#include "ir/function.h"
#include "passes/block_sizes.h"
#include "passes/blocks.h"
#include "passes/kind.h"

namespace heed {

namespace {

bool has(const auto& list, const auto& value) { return std::ranges::find(list, value) != list.end(); }

// Of an axis in a body: where it is in the whole array, and in the block.
struct Place {
  Expr whole, block;
};

// Axes beside which the rows are the last position of local values, so that a product packs the rows of the block, which are few, and not
// all columns: those of the largest local value. None where values lie in memory that have such an axis last, and where rows would fill few
// vectors.
std::unordered_set<int> axes_before_rows(const BlockRegion& region, const Machine& machine) {
  const BlockAxes& axes = region.axes;
  if (region.rows < machine.enough_rows) return {};
  std::size_t largest = region.arrays.size();
  for (std::size_t k = 0; k < region.arrays.size(); ++k)
    if (!has(region.outputs, region.arrays[k]) && axes.position_on(k, axes.row) >= 0 &&
        (largest == region.arrays.size() || element_count(region.arrays[k]) > element_count(region.arrays[largest])))
      largest = k;
  if (largest == region.arrays.size()) return {};
  auto joined = [&](std::size_t k, AxisRef axis) {
    auto found = axes.frame.axis_of[k].find(axis);
    return found == axes.frame.axis_of[k].end() ? -1 : found->second;
  };
  std::unordered_set<int> columns;
  for (AxisRef position : positions(region.arrays[largest]))
    if (int axis = joined(largest, position); axis >= 0 && axis != axes.row && !has(axes.units, axis)) columns.insert(axis);
  auto has_both = [&](std::size_t k, const auto& list) {
    bool row = false, column = false;
    for (AxisRef axis : list) {
      row |= joined(k, axis) == axes.row;
      column |= columns.contains(joined(k, axis));
    }
    return row && column;
  };
  for (std::size_t k = 0; k < region.arrays.size(); ++k) {
    if (has(region.outputs, region.arrays[k]) && has_both(k, positions(region.arrays[k]))) return {};
    for (Expr node : nodes_of(region.arrays[k]->body)) {
      if (node->op != Op::read || has(region.arrays, node->array)) continue;
      std::vector<AxisRef> free;
      for (Expr index : node->operands) free.insert(free.end(), index->free.begin(), index->free.end());
      if (has_both(k, free)) return {};
    }
  }
  return columns;
}

class Body {
 public:
  Body(const BlockRegion& region, const Graph& graph, std::int64_t rows, std::int64_t columns, const std::unordered_set<int>& before_rows)
      : region_(region), axes_(region.axes), arena_(*graph.arena), rows_(rows), columns_(columns), before_rows_(before_rows) {
    plan_.graph = {.arena = graph.arena, .name = graph.name, .is_function = true, .sizes = graph.sizes};
  }

  Plan make(Interval rows, Interval columns) {
    auto add_offset = [&](const char* name, Interval range) {
      ArrayRef array = input(arena_, name, {}, DType::i64, range);
      plan_.graph.inputs.push_back({GraphInput::Role::data, array});
      return read_stored(array, {});
    };
    for (int unit : axes_.units) offsets_[unit] = add_offset("unit", {0, size_of(unit) - 1});
    offsets_[axes_.row] = add_offset("row", rows);
    Expr column = add_offset("column", columns);
    if (axes_.column >= 0) offsets_[axes_.column] = column;
    for (std::size_t k = 0; k < region_.arrays.size(); ++k) {
      index_[region_.arrays[k]] = k;
      remake(k);
    }
    return std::move(plan_);
  }

 private:
  std::int64_t size_of(int axis) const { return axes_.frame.sizes[static_cast<std::size_t>(axis)]; }

  // Its size in a block, and where a position of it is. Of a unit there is one.
  std::int64_t block_size(int joined) const {
    if (has(axes_.units, joined)) return 1;
    return joined == axes_.row ? rows_ : joined == axes_.column ? columns_ : size_of(joined);
  }
  int joined(std::size_t array, AxisRef axis) const {
    const auto& axis_of = axes_.frame.axis_of[array];
    auto found = axis_of.find(axis);
    return found == axis_of.end() ? -1 : found->second;
  }
  Place place_of(int joined, Expr at) const {
    auto offset = offsets_.find(joined);
    if (offset == offsets_.end()) return {at, at};
    return {has(axes_.units, joined) ? offset->second : add(offset->second, at), at};
  }

  using Places = std::unordered_map<AxisRef, Place>;

  // The order of an array's positions in the block.
  std::vector<AxisRef> order_of(std::size_t k) const {
    std::vector<AxisRef> order = positions(region_.arrays[k]);
    const int row = axes_.position_on(k, axes_.row);
    const bool is_turned = row >= 0 && !has(region_.outputs, region_.arrays[k]) &&
                           std::ranges::any_of(order, [&](AxisRef position) { return before_rows_.contains(joined(k, position)); });
    if (is_turned) std::rotate(order.begin() + row, order.begin() + row + 1, order.end());
    return order;
  }

  void remake(std::size_t k) {
    ArrayRef array = region_.arrays[k];
    std::vector<AxisRef> places;
    Places table;
    for (AxisRef position : order_of(k)) {
      int axis = joined(k, position);
      places.push_back(fresh_axis(arena_, axis < 0 ? position->size : block_size(axis)));
      table[position] = place_of(axis, value(places.back()));
    }
    Expr body = rewritten(array->body, table, k);
    if (!axes_.reduced[k].empty()) {
      std::vector<Expr> indices;
      for (AxisRef position : positions(array)) indices.push_back(table.at(position).whole);
      capture(array);
      Expr before = read_stored(array, indices);
      body = root_reduction(array)->reduction == Reduction::sum ? add(before, body) : apply(functions::maximum, {before, body});
    }
    arena_.set_origin_index(array->origin);
    ArrayRef made = define(places, body, array->dtype, array->name);
    made_[array] = made;
    if (!has(region_.outputs, array)) return;
    Slice slice{array, {}};
    std::vector<AxisRef> old = positions(array), now = positions(made);
    for (std::size_t p = 0; p < old.size(); ++p) slice.indices.push_back(place_of(joined(k, old[p]), value(now[p])).whole);
    if (!plan_.slices.emplace(made, std::move(slice)).second) throw std::logic_error("make_blocks: two outputs of a block are one array");
    plan_.graph.outputs.push_back({array->name, made});
  }

  void capture(ArrayRef array) {
    if (captured_.insert(array).second) plan_.graph.inputs.push_back({GraphInput::Role::data, array});
  }

  Expr rewritten(Expr x, const Places& places, std::size_t k) {
    std::unordered_map<Expr, Expr> made;
    return rewritten(x, places, k, made);
  }

  // One table of what is made holds for one set of bound axes.
  Expr rewritten(Expr x, const Places& places, std::size_t k, std::unordered_map<Expr, Expr>& made) {
    if (auto found = made.find(x); found != made.end()) return found->second;
    return made[x] = remade(x, places, k, made);
  }

  Expr remade(Expr x, const Places& places, std::size_t k, std::unordered_map<Expr, Expr>& made) {
    if (x->op == Op::axis) return places.at(x->axes[0]).whole;
    if (x->op == Op::reduction) return reduction(x, places, k);
    std::vector<Expr> operands;
    if (x->op == Op::read && index_.contains(x->array) && made_.contains(x->array)) {
      std::size_t other = index_.at(x->array);
      std::vector<AxisRef> read = positions(x->array);
      std::vector<AxisRef> order = order_of(other);
      operands.resize(read.size());
      for (std::size_t p = 0; p < read.size(); ++p) {
        const auto at = static_cast<std::size_t>(std::ranges::find(order, read[p]) - order.begin());
        int axis = joined(other, read[p]);
        bool is_plain = axis >= 0 && x->operands[p]->op == Op::axis && joined(k, x->operands[p]->axes[0]) == axis;
        if (is_plain)
          operands[at] = has(axes_.units, axis) ? integer(arena_, 0) : places.at(x->operands[p]->axes[0]).block;
        else
          operands[at] = rewritten(x->operands[p], places, k, made);
      }
      return read_stored(made_.at(x->array), operands);
    }
    for (Expr operand : x->operands) operands.push_back(rewritten(operand, places, k, made));
    if (x->op != Op::read) return operands.empty() || operands == x->operands ? x : rebuild(x, operands);
    capture(x->array);
    return read_stored(x->array, operands);
  }

  Expr reduction(Expr x, Places places, std::size_t k) {
    std::vector<AxisRef> bound;
    for (AxisRef axis : x->axes) {
      int own = joined(k, axis);
      if (own >= 0 && has(axes_.units, own)) {
        places[axis] = {offsets_.at(own), integer(arena_, 0)};
        continue;
      }
      bound.push_back(fresh_axis(arena_, own < 0 ? axis->size : block_size(own)));
      places[axis] = place_of(own, value(bound.back()));
    }
    Expr body = rewritten(x->operands[0], places, k);
    return bound.empty() ? body : reduce(x->reduction, bound, body);
  }

  const BlockRegion& region_;
  const BlockAxes& axes_;
  Arena& arena_;
  std::int64_t rows_, columns_;
  const std::unordered_set<int>& before_rows_;
  Plan plan_;
  std::unordered_map<int, Expr> offsets_;
  std::unordered_map<ArrayRef, std::size_t> index_;
  std::unordered_map<ArrayRef, ArrayRef> made_;
  std::unordered_set<ArrayRef> captured_;
};

}  // namespace

std::shared_ptr<Blocks> make_blocks(const BlockRegion& region, const Graph& graph, const Machine& machine) {
  const BlockAxes& axes = region.axes;
  auto blocks = std::make_shared<Blocks>();
  auto size_of = [&](int axis) { return axes.frame.sizes[static_cast<std::size_t>(axis)]; };
  for (int unit : axes.units) blocks->units.push_back(size_of(unit));
  blocks->parallel_units = axes.parallel_units;
  blocks->parallel_rows = axes.parallel_rows;
  blocks->rows = region.rows;
  blocks->axes = {axes.units, axes.row, axes.column};

  struct Kind {
    Interval rows, columns;  // first ones
    int body;
  };
  std::map<std::pair<std::int64_t, std::int64_t>, Kind> kinds;  // by rows and columns
  std::vector<BlockPlace> places = block_places(region, region.rows);
  double visited = 0;
  for (const BlockPlace& place : places) {
    auto [found, is_new] = kinds.try_emplace({place.rows, place.columns}, Kind{{place.row, place.row}, {place.column, place.column}, 0});
    Kind& kind = found->second;
    kind.rows = {std::min(kind.rows.low, place.row), std::max(kind.rows.high, place.row)};
    kind.columns = {std::min(kind.columns.low, place.column), std::max(kind.columns.high, place.column)};
    visited += static_cast<double>(place.rows * place.columns);
    blocks->columns = std::max(blocks->columns, place.columns);
  }
  if (region.by_data) {
    blocks->by_data = {region.by_data->begin, region.by_data->end, region.by_data->units};
    std::int64_t all = size_of(axes.column), step = width_step(blocks->columns);
    std::map<std::int64_t, Interval> rows;
    for (const auto& [size, kind] : kinds) {
      auto [found, is_new] = rows.try_emplace(size.first, kind.rows);
      found->second = {std::min(found->second.low, kind.rows.low), std::max(found->second.high, kind.rows.high)};
    }
    for (const auto& [count, first] : rows)
      for (std::int64_t width = std::min(step, blocks->columns);; width = std::min(width + step, blocks->columns)) {
        kinds[{count, width}] = {first, {0, all - width}, 0};
        if (width == blocks->columns) break;
      }
    for (BlockPlace& place : places) place = {place.row, place.rows, 0, blocks->columns};
  }
  const std::unordered_set<int> before_rows = axes_before_rows(region, machine);
  std::map<std::int64_t, int> narrowest;  // by rows
  for (auto& [size, kind] : kinds) {
    kind.body = static_cast<int>(blocks->bodies.size());
    narrowest.try_emplace(size.first, kind.body);
    blocks->sizes.push_back({size.first, axes.column < 0 ? 0 : size.second});
    blocks->bodies.push_back(Body(region, graph, size.first, size.second, before_rows).make(kind.rows, kind.columns));
  }
  for (const BlockPlace& place : places)
    blocks->blocks.push_back({kinds.at({place.rows, place.columns}).body, place.row, place.column, narrowest.at(place.rows)});
  if (axes.column >= 0) blocks->visited = visited / static_cast<double>(size_of(axes.row)) / static_cast<double>(size_of(axes.column));
  for (std::size_t k = 0; k < region.arrays.size(); ++k)
    if (!axes.reduced[k].empty()) {
      bool sums = root_reduction(region.arrays[k])->reduction == Reduction::sum;
      blocks->initial.emplace_back(region.arrays[k], sums ? 0 : -std::numeric_limits<double>::infinity());
    }
  return blocks;
}

}  // namespace heed
