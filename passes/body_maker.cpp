// What all bodies of a region share: the values that stay from block to block, the order of positions, the works.
#include <algorithm>
#include <limits>
#include <map>
#include <tuple>

#include "passes/block_body.h"
#include "passes/column_passes.h"

namespace heed {

namespace {

using Role = ColumnPasses::Role;

bool has(const auto& list, const auto& value) { return std::ranges::find(list, value) != list.end(); }

double identity_of(Reduction reduction) { return reduction == Reduction::sum ? 0 : -std::numeric_limits<double>::infinity(); }

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

}  // namespace

bool BodyWork::operator<(const BodyWork& other) const {
  return std::tuple(kind, pass, turn) < std::tuple(other.kind, other.pass, other.turn);
}

BodyMaker::BodyMaker(const BlockRegion& region, const Graph& graph, const Machine& machine)
    : region_(region),
      axes_(region.axes),
      graph_(graph),
      before_rows_(axes_before_rows(region, machine)),
      kept_(region.arrays.size()),
      before_(region.arrays.size()) {
  if (!region.passes) return;
  const ColumnPasses& passes = *region.passes;
  beginnings_.resize(static_cast<std::size_t>(passes.count));
  // What begins with the same values is one array: it takes turns.
  std::map<std::tuple<std::size_t, std::vector<std::int64_t>, DType, double>, std::size_t> met;
  auto begin = [&](std::size_t k, ArrayRef place) {
    const auto pass = static_cast<std::size_t>(passes.pass[k]);
    const double start = identity_of(region.arrays[k]->body->reduction);
    const std::size_t turn = met[{pass, place->shape, place->dtype, start}]++;
    if (beginnings_[pass].size() <= turn) beginnings_[pass].resize(turn + 1);
    beginnings_[pass][turn].push_back({place, start});
  };
  for (std::size_t k = 0; k < region.arrays.size(); ++k) {
    if (!axes_.reduced[k].empty()) continue;
    if (passes.role[k] == Role::reduced) {
      keep(region.arrays[k], k, kept_[k]);
      begin(k, kept_[k]);
    } else if (passes.role[k] == Role::narrow && passes.pass[k] < passes.count) {
      bool is_needed = false;
      for (std::size_t reader = k + 1; reader < region.arrays.size(); ++reader)
        is_needed |= has(region.arrays[reader]->reads, region.arrays[k]) &&
                     (passes.role[reader] != Role::narrow || passes.pass[reader] != passes.pass[k]);
      if (is_needed) keep(region.arrays[k], k, kept_[k]);
    }
  }
  for (const auto& running : passes.running)
    if (running && !before_[running->maximum]) {
      keep(region.arrays[running->maximum], running->maximum, before_[running->maximum]);
      begin(running->maximum, before_[running->maximum]);
    }
}

void BodyMaker::keep(ArrayRef like, std::size_t k, ArrayRef& place) {
  std::vector<std::int64_t> shape{1};
  for (AxisRef position : order_of(k)) {
    const int axis = joined(k, position);
    shape.push_back(axis < 0 ? position->size : has(axes_.units, axis) ? 1 : axis == axes_.row ? region_.rows : position->size);
  }
  place = input(*graph_.arena, like->name, std::move(shape), like->dtype);
  all_kept_.push_back(place);
  note(place, k, true);
}

void BodyMaker::note(ArrayRef array, std::size_t k, bool is_kept) const {
  std::vector<int> axes;
  if (is_kept) axes.push_back(-1);
  for (AxisRef position : order_of(k)) {
    const int axis = joined(k, position);
    axes.push_back(axis >= 0 && has(axes_.units, axis) ? -1 : axis);
  }
  auto [known, is_new] = axes_of_.try_emplace(array, axes);
  if (!is_new && known->second != axes) known->second.reset();
}

std::optional<std::vector<int>> BodyMaker::axes_of(ArrayRef array) const {
  auto found = axes_of_.find(array);
  return found == axes_of_.end() ? std::nullopt : found->second;
}

int BodyMaker::joined(std::size_t array, AxisRef axis) const {
  const auto& axis_of = axes_.frame.axis_of[array];
  auto found = axis_of.find(axis);
  return found == axis_of.end() ? -1 : found->second;
}

// Of an array's positions in the block.
std::vector<AxisRef> BodyMaker::order_of(std::size_t k) const {
  std::vector<AxisRef> order = positions(region_.arrays[k]);
  const int row = axes_.position_on(k, axes_.row);
  const bool is_turned = row >= 0 && !has(region_.outputs, region_.arrays[k]) &&
                         std::ranges::any_of(order, [&](AxisRef position) { return before_rows_.contains(joined(k, position)); });
  if (is_turned) std::rotate(order.begin() + row, order.begin() + row + 1, order.end());
  return order;
}

std::vector<BodyWork> BodyMaker::works() const {
  if (!region_.passes) return {{}};
  std::vector<BodyWork> works;
  const ColumnPasses& passes = *region_.passes;
  for (int pass = 0; pass <= passes.count; ++pass) {
    bool is_any = false, advances = false;
    for (std::size_t k = 0; k < region_.arrays.size(); ++k) {
      is_any |= passes.role[k] == Role::narrow && passes.pass[k] == pass;
      is_any |= kept_[k] && passes.pass[k] + 1 == pass && has(region_.outputs, region_.arrays[k]);
      advances |= before_[k] && passes.pass[k] == pass;
    }
    std::size_t turns = pass < passes.count ? beginnings_[static_cast<std::size_t>(pass)].size() : 0;
    turns = std::max<std::size_t>(turns, is_any);
    for (std::size_t turn = 0; turn < turns; ++turn) works.push_back({BodyWork::Kind::between, pass, turn});
    if (pass == passes.count) break;
    works.push_back({BodyWork::Kind::columns, pass});
    if (advances) works.push_back({BodyWork::Kind::advance, pass});
  }
  return works;
}

}  // namespace heed
