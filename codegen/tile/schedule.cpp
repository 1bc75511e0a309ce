// Which axis lies along the lanes, how many vectors go at a time, and how the work is cut into tasks.
#include "codegen/tile/schedule.h"

#include <algorithm>

#include "ir/integer.h"

namespace heed {
namespace {

constexpr double task_cycles = 40000;  // about what is worth handing to a thread
constexpr std::int64_t most_tasks = 512;
constexpr std::int64_t most_parts = 64;    // of rows that are summed apart
constexpr std::int64_t rows_of_part = 16;  // so that what they give is little besides them
constexpr std::int64_t enough_tasks = 16;  // to cut work into more gains little

bool has(const AxisSet& set, AxisRef axis) { return axis && std::ranges::find(set, axis) != set.end(); }

double vectors(std::int64_t size, int lanes) { return static_cast<double>(ceil_divide(size, lanes)); }

bool adds(const Nest& nest) {
  return std::ranges::any_of(
      nest.sweeps, [](const Sweep& sweep) { return std::ranges::any_of(sweep.stores, [](const NestStore& store) { return store.add; }); });
}

// Lanes that lie side by side in every scattered store.
bool may_be_lanes(const Nest& nest, AxisRef axis) {
  for (const Sweep& sweep : nest.sweeps)
    for (const NestStore& store : sweep.stores) {
      if (!store.add) continue;
      if (lane_stride(store.address, axis) != 1 || has(store.guard->free, axis)) return false;
    }
  return true;
}

std::int64_t wanted_tasks(double cycles, VectorShape shape) {
  if (!shape.is_shared) return 1;
  return std::clamp<std::int64_t>(static_cast<std::int64_t>(cycles / task_cycles), 1, most_tasks);
}

// Cycles with as many threads as are worth having.
double parallel_cycles(const Nest& nest, VectorShape shape) {
  double parts = static_cast<double>(nest.row_count()) * (nest.lane_row ? vectors(nest.lane_row->size, shape.lanes) : 1);
  return nest.cycles / std::min({parts, static_cast<double>(wanted_tasks(nest.cycles, shape)), static_cast<double>(enough_tasks)});
}

void choose_lanes(Nest& nest, VectorShape shape) {
  Nest inside = nest;
  if (!adds(nest))
    for (Sweep& sweep : inside.sweeps) {
      double best = sweep_cycles(inside, sweep, shape);
      Sweep chosen = sweep;
      for (AxisRef axis : sweep.axes) {
        Sweep with = sweep;
        with.lane_axis = axis;
        double cycles = sweep_cycles(inside, with, shape);
        if (cycles < best) best = cycles, chosen = with;
      }
      sweep = chosen;
    }
  Nest best = inside;
  best.cycles = cycles_of(inside, shape);
  for (AxisRef axis : nest.rows) {
    if (!nest.parts.empty() || !may_be_lanes(nest, axis)) continue;
    Nest outside = nest;
    std::erase(outside.rows, axis);
    outside.lane_row = axis;
    outside.cycles = cycles_of(outside, shape);
    if (parallel_cycles(outside, shape) <= parallel_cycles(best, shape)) best = std::move(outside);  // of equals the inner axis
  }
  nest = std::move(best);
}

int unroll_of(std::int64_t size, const Sweep& sweep, VectorShape shape) {
  std::vector<Expr> nodes = computed(sweep);
  bool reduces = std::ranges::any_of(nodes, [](Expr x) { return x->op == Op::reduction; });
  if (reduces || nodes.size() > 120) return 1;
  int most = nodes.size() > 40 || sweep.accumulations.size() > 3 ? 2 : 4;
  while (most > 1 && size < most * shape.lanes) most /= 2;
  return most;
}

void choose_unroll(Nest& nest, VectorShape shape) {
  if (!nest.lane_row) {
    for (Sweep& sweep : nest.sweeps)
      if (sweep.lane_axis && !sweep.accumulations.empty()) sweep.unroll = unroll_of(sweep.lane_axis->size, sweep, shape);
    return;
  }
  bool accumulates = false;
  int least = 4;
  for (const Sweep& sweep : nest.sweeps) {
    accumulates =
        accumulates || !sweep.accumulations.empty() || std::ranges::any_of(sweep.stores, [](const NestStore& store) { return store.add; });
    least = std::min(least, unroll_of(nest.lane_row->size, sweep, shape));
  }
  std::int64_t parts = nest.row_count() * ceil_divide(nest.lane_row->size, shape.lanes);
  while (least > 1 && parts / least < std::min(wanted_tasks(nest.cycles, shape), enough_tasks)) least /= 2;
  if (accumulates) nest.unroll = least;
}

void cut_tasks(Nest& nest, VectorShape shape) {
  std::int64_t rows = nest.row_count();
  std::int64_t wanted = wanted_tasks(nest.cycles, shape);
  if (!nest.parts.empty()) wanted = std::min({wanted, most_parts, ceil_divide(rows, rows_of_part)});
  std::int64_t row_parts = std::min(rows, wanted);
  nest.rows_per_task = ceil_divide(rows, row_parts);
  row_parts = ceil_divide(rows, nest.rows_per_task);
  std::int64_t lane_parts = 1;
  nest.lanes_per_task = 1;
  if (nest.lane_row) {
    std::int64_t block = nest.unroll * shape.lanes, blocks = ceil_divide(nest.lane_row->size, block);
    lane_parts = std::clamp<std::int64_t>(ceil_divide(wanted, row_parts), 1, blocks);
    nest.lanes_per_task = ceil_divide(blocks, lane_parts) * block;
    lane_parts = ceil_divide(nest.lane_row->size, nest.lanes_per_task);
  }
  nest.tasks = row_parts * lane_parts;
}

}  // namespace

void schedule(Nest& nest, VectorShape shape) {
  merge_axes(nest);
  if (shape.block_threads > 0) return spread(nest, shape);
  choose_lanes(nest, shape);
  choose_unroll(nest, shape);
  keep_strips(nest, shape);
  nest.cycles = cycles_of(nest, shape);
  turn_reads(nest, shape);
  cut_tasks(nest, shape);
}

}  // namespace heed
