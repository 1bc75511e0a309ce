// How threads of a GPU's block share a nest: by rows, along the sweeps of a row, or both, whatever moves the fewest sectors of memory
// and leaves no multiprocessor idle.
#include <algorithm>
#include <array>
#include <cmath>
#include <unordered_set>

#include "codegen/tile/schedule.h"

namespace heed {
namespace {

// Nominal figures: an A100's, in cycles of one multiprocessor.
constexpr double multiprocessors = 108, lanes_per_cycle = 64, sectors_per_cycle = 0.4, latency = 500, launch_cycles = 4000;
constexpr double blocks_at_once = 4;  // of a multiprocessor
constexpr std::int64_t sector_bytes = 32;
constexpr int warp = 32;

bool has(const auto& list, const auto* one) { return std::ranges::find(list, one) != list.end(); }

double span_of(const std::vector<AxisRef>& axes) {
  double count = 1;
  for (AxisRef axis : axes) count *= static_cast<double>(axis->size);
  return count;
}

bool adds(const Nest& nest) {
  return std::ranges::any_of(
      nest.sweeps, [](const Sweep& sweep) { return std::ranges::any_of(sweep.stores, [](const NestStore& store) { return store.add; }); });
}

// Sectors that the threads of a warp touch where `fastest` varies from thread to thread.
double sectors(const LinearForm& address, bool looked_up, AxisRef fastest, std::int64_t bytes) {
  if (!fastest) return 1;
  std::int64_t stride = 0;
  bool other = looked_up;
  for (const IntegerTerm& term : address.terms) {
    if (term.x->op == Op::axis && term.x->axes[0] == fastest)
      stride += term.weight;
    else
      other = other || has(term.x->free, fastest);
  }
  double lanes = static_cast<double>(std::min<std::int64_t>(fastest->size, warp));
  double of_a_line = other ? lanes : std::clamp(lanes * static_cast<double>(std::abs(stride) * bytes) / sector_bytes, 1.0, lanes);
  return of_a_line * warp / lanes;  // a short axis is met several times in a warp
}

bool looked_up(Expr read, AxisRef axis) {
  return axis && std::ranges::any_of(read->operands, [&](Expr index) { return !is_affine(index) && has(index->free, axis); });
}

struct Work {
  double sectors = 0, instructions = 0;  // of a warp, for each position of the sweep
};

Work work_of(const Nest& nest, const Sweep& sweep, AxisRef fastest) {
  Work work;
  for (Expr x : computed(sweep)) {
    if (x->op != Op::read || has(nest.locals, x->array)) {
      double times = 1;
      if (x->op == Op::reduction)
        for (AxisRef axis : x->axes) times *= static_cast<double>(axis->size);
      work.instructions += times * node_cycles(x, false, nullptr, 1);
      continue;
    }
    // What does not change in the sweep is read once a row.
    bool inside = sweep.axes.empty() || std::ranges::any_of(x->free, [&](AxisRef axis) { return has(sweep.axes, axis); });
    if (inside) work.sectors += sectors(affine_address(x), looked_up(x, fastest), fastest, byte_size(x->array->dtype));
    work.instructions += 3;
  }
  for (const NestStore& store : sweep.stores) {
    work.sectors += (store.add ? 2 : 1) * sectors(store.address, false, fastest, byte_size(store.array->dtype));
    work.instructions += 3;
  }
  work.instructions += 2 + 2 * static_cast<double>(sweep.accumulations.size());
  return work;
}

double cycles_of(const Nest& nest, const Spread& spread, VectorShape shape) {
  double rows = static_cast<double>(nest.row_count());
  double blocks = std::ceil(rows / spread.rows);
  double at_once = shape.is_shared ? std::min(blocks, multiprocessors * blocks_at_once) : 1;
  double used = std::min(at_once, multiprocessors);
  double cycles = 0;
  for (const Sweep& sweep : nest.sweeps) {
    AxisRef row = nest.rows.empty() ? nullptr : nest.rows.back();
    AxisRef fastest = spread.rows_adjacent && spread.rows > 1 ? row : sweep.axes.empty() ? nullptr : sweep.lane_axis;
    double trips = sweep.axes.empty() ? 1 : std::ceil(span_of(sweep.axes) / spread.along);
    Work work = work_of(nest, sweep, fastest);
    double warps = blocks * shape.block_threads / warp * trips;
    double throughput =
        warps / used * std::max(work.sectors / sectors_per_cycle * used / multiprocessors, work.instructions * warp / lanes_per_cycle);
    // One thread's loads follow each other; a few are under way at a time.
    double chain = std::ceil(blocks / at_once) * trips * (work.sectors > 0 ? latency / 4 : 20);
    cycles += std::max(throughput, chain);
    if (!sweep.accumulations.empty() && spread.along > 1)
      cycles += std::ceil(blocks / at_once) * (spread.along > warp ? 200 : 60) * static_cast<double>(sweep.accumulations.size());
  }
  return cycles + latency;
}

// The axis of a sweep that gives neighbouring threads neighbouring memory.
void choose_fastest(Nest& nest) {
  for (Sweep& sweep : nest.sweeps) {
    double least = 0;
    sweep.lane_axis = nullptr;
    for (AxisRef axis : sweep.axes) {
      double now = work_of(nest, sweep, axis).sectors;
      if (!sweep.lane_axis || now <= least) least = now, sweep.lane_axis = axis;
    }
  }
}

}  // namespace

void spread(Nest& nest, VectorShape shape) {
  choose_fastest(nest);
  const int threads = shape.block_threads;
  std::vector<Spread> candidates{{threads, 1, true}};
  bool is_swept = std::ranges::any_of(nest.sweeps, [](const Sweep& sweep) { return !sweep.axes.empty(); });
  if (is_swept && !adds(nest)) {
    for (int along = 2; along <= threads; along *= 2) candidates.push_back({threads / along, along, false});
    for (int along = 2; along <= threads / warp; along *= 2) candidates.push_back({threads / along, along, true});
  }
  nest.cycles = -1;
  for (const Spread& each : candidates) {
    double cycles = cycles_of(nest, each, shape);
    if (nest.cycles >= 0 && cycles >= nest.cycles) continue;
    nest.cycles = cycles, nest.spread = each;
  }
  nest.cycles += launch_cycles;
  nest.rows_per_task = nest.spread.rows;
  nest.tasks = (nest.row_count() + nest.spread.rows - 1) / nest.spread.rows;
}

}  // namespace heed
