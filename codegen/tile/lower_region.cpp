// The ways in which a region can be computed, and the choice between them.
#include <algorithm>
#include <set>

#include "codegen/tile/lower.h"
#include "codegen/tile/schedule.h"

namespace heed {

ArrayRef StandIns::of(ArrayRef array) {
  if (array->kind == Array::Kind::input) return array;
  ArrayRef& entry = stand_ins_[array];
  if (!entry) {
    entry = input(*array->arena, array->name, array->shape, array->dtype);
    originals_[entry] = array;
  }
  return entry;
}

Expr StandIns::read(ArrayRef array, std::span<const Expr> indices) {
  Element found = element(array, indices);
  return read_stored(of(found.array), found.indices);
}

ArrayRef StandIns::original(ArrayRef array) const {
  auto found = originals_.find(array);
  return found == originals_.end() ? array : found->second;
}

namespace {

bool has(const std::vector<ArrayRef>& list, ArrayRef one) { return std::ranges::find(list, one) != list.end(); }

bool is_empty(ArrayRef array) { return element_count(array) == 0; }

// To compare ways of doing the same: arithmetic and memory overlap in part, and a launch costs something.
double cycles_of(const Lowered& lowered, VectorShape shape) {
  constexpr double near_bytes = 1 << 20, near_speed = 16, far_speed = 4, launch = 4000, long_task = 200000;
  double total = 0;
  for (const Nest& nest : lowered.nests) {
    if (shape.block_threads > 0) {  // traffic and launch are in it
      total += nest.cycles;
      continue;
    }
    double bytes = traffic_of(nest);
    double memory = bytes / (bytes > near_bytes ? far_speed : near_speed);
    total += launch + std::max(nest.cycles, memory) + std::min(nest.cycles, memory) / 2;
    if (shape.is_shared && nest.tasks == 1 && nest.cycles > long_task) total += nest.cycles;  // one thread works, the others wait
  }
  return total;
}

void append(Lowered& all, Lowered more) {
  std::ranges::move(more.nests, std::back_inserter(all.nests));
  std::ranges::move(more.workspace, std::back_inserter(all.workspace));
}

// One nest for each of `made`; those in `kept` are read back, other locals opened.
Lowered one_by_one(const std::vector<ArrayRef>& members, const std::vector<ArrayRef>& kept, const std::vector<ArrayRef>& made,
                   StandIns& stand_ins, VectorShape shape) {
  Lowered all;
  for (ArrayRef array : made) {
    if (is_empty(array)) continue;
    if (auto scatter = lower_scatter(array, stand_ins)) {
      if (shape.block_threads > 0) {  // every thread of a GPU clears something
        Nest clear;
        clear.rows = scatter->sweeps[0].axes;
        clear.rows.insert(clear.rows.end(), scatter->rows.begin(), scatter->rows.end());
        clear.sweeps = {std::move(scatter->sweeps[0])};
        clear.sweeps[0].axes.clear();
        scatter->sweeps.erase(scatter->sweeps.begin());
        schedule(clear, shape);
        all.nests.push_back(std::move(clear));
      }
      schedule(*scatter, shape);
      all.nests.push_back(std::move(*scatter));
      continue;
    }
    std::vector<ArrayRef> opened;
    for (ArrayRef member : members) {
      if (member == array) break;
      if (!has(kept, member)) opened.push_back(member);
    }
    opened.push_back(array);
    append(all, lower_together(opened, {array}, stand_ins, shape));
  }
  return all;
}

// What is kept besides what is stored.
void add_workspace(Lowered& lowered, const std::vector<ArrayRef>& kept, const std::vector<ArrayRef>& stored) {
  for (ArrayRef array : kept)
    if (!has(stored, array)) lowered.workspace.push_back(array);
}

// Sums over rows: in the sweeps over the rows, or after them from what those keep.
void add_ways_over_rows(const Region& region, const std::vector<ArrayRef>& members, const std::vector<ArrayRef>& stored,
                        const std::vector<ArrayRef>& kept, StandIns& stand_ins, VectorShape shape, std::vector<Lowered>& ways) {
  const std::optional<RegionFrame> frame = region_frame(region);
  if (!frame) return;
  auto is_sum = [&](ArrayRef array) {
    return static_cast<bool>(frame->over_rows[static_cast<std::size_t>(std::ranges::find(frame->arrays, array) - frame->arrays.begin())]);
  };
  auto split = [&](const std::vector<ArrayRef>& arrays, bool sums) {
    std::vector<ArrayRef> part;
    for (ArrayRef array : arrays)
      if (is_sum(array) == sums) part.push_back(array);
    return part;
  };
  const std::vector<ArrayRef> sums = split(stored, true), rest = split(members, false), rows = split(stored, false);
  if (sums.empty() || rows.empty()) return;
  if (shape.block_threads == 0) {  // a GPU's threads share a row: there is no task to sum its rows in order
    if (std::optional<Lowered> together = lower_with_sums(rest, rows, sums, *frame, stand_ins, shape)) ways.push_back(std::move(*together));
    return;
  }
  const std::vector<ArrayRef> kept_of_rows = split(kept, false);
  Lowered after = lower_together(rest, kept_of_rows, stand_ins, shape);
  append(after, one_by_one(members, kept, sums, stand_ins, shape));
  add_workspace(after, kept_of_rows, rows);
  ways.push_back(std::move(after));
}

}  // namespace

Lowered lower_region(const Region& region, StandIns& stand_ins, VectorShape shape) {
  // What is read comes first: locals and outputs in one order.
  std::vector<ArrayRef> members, stored;
  std::set<ArrayRef> own(region.locals.begin(), region.locals.end());
  own.insert(region.outputs.begin(), region.outputs.end());
  members.assign(own.begin(), own.end());
  std::ranges::sort(members, {}, &Array::id);
  for (ArrayRef array : members)
    if (has(region.outputs, array) && !is_empty(array)) stored.push_back(array);
  if (stored.empty()) return {};

  std::vector<Lowered> ways;
  if (members.size() > 1) ways.push_back(lower_together(members, stored, stand_ins, shape));
  ways.push_back(one_by_one(members, stored, stored, stand_ins, shape));
  if (members.size() == 1) return std::move(ways[0]);
  std::vector<ArrayRef> kept;  // locals that reduce are not opened in the ways that keep them
  for (ArrayRef array : members)
    if (has(stored, array) || (array->body && array->body->has_reduction)) kept.push_back(array);
  if (kept.size() > stored.size()) {
    ways.push_back(one_by_one(members, kept, kept, stand_ins, shape));
    add_workspace(ways.back(), kept, stored);
  }
  add_ways_over_rows(region, members, stored, kept, stand_ins, shape, ways);
  std::vector<double> cycles;
  for (const Lowered& way : ways) cycles.push_back(cycles_of(way, shape));
  return std::move(ways[static_cast<std::size_t>(std::ranges::min_element(cycles) - cycles.begin())]);
}

}  // namespace heed
