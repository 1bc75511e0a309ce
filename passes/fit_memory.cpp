// A price on stored bytes, raised until the plan fits.
#include "passes/fit_memory.h"

#include <unordered_set>

#include "ir/region_frame.h"
#include "passes/fuse.h"
#include "passes/plan_memory.h"

namespace heed {

namespace {

constexpr double first_price = 1e-10, last_price = 1e-6, factor = 8;  // seconds a byte: from about a transfer to ten thousand

std::int64_t fixed_bytes(const Plan& plan) {
  std::unordered_set<ArrayRef> counted;
  double total = 0;
  for (const GraphInput& input : plan.graph.inputs)
    if (counted.insert(input.array).second) total += bytes_of(input.array);
  std::unordered_set<int> in_place;
  for (const auto& [output, input] : plan.in_place) in_place.insert(output);
  for (int k = 0; k < static_cast<int>(plan.graph.outputs.size()); ++k)
    if (!in_place.contains(k)) total += bytes_of(plan.graph.outputs[static_cast<std::size_t>(k)].array);
  return static_cast<std::int64_t>(total);
}

double flop_of(const Plan& plan) {
  double total = 0;
  for (const Plan::Step& step : plan.steps)
    if (const Region* region = std::get_if<Region>(&step)) {
      for (ArrayRef array : arrays_of(*region)) total += flop_of(array);
    } else {
      const PlannedScan& scan = *std::get<std::shared_ptr<PlannedScan>>(step);
      total += static_cast<double>(scan.scan->length) * flop_of(scan.body);
    }
  return total;
}

}  // namespace

std::int64_t memory_of(const Plan& plan) {
  std::int64_t scratch = 0;
  for (const Plan::Step& step : plan.steps)
    if (const Region* region = std::get_if<Region>(&step); region && region->blocks)
      scratch = std::max(scratch, scratch_bytes(*region->blocks));
  return fixed_bytes(plan) + plan.arena_bytes + scratch;
}

MemoryFit fit_memory(const Graph& graph, const Machine& machine, std::int64_t limit) {
  auto planned = [&](double price) {
    Machine priced = machine;
    priced.seconds_per_stored_byte = price;
    Plan plan = fuse(graph, priced);
    plan_memory(plan);
    return plan;
  };
  MemoryFit fit{.plan = planned(0)};
  fit.bytes = fit.bytes_at_ease = memory_of(fit.plan);
  fit.flop = fit.flop_at_ease = flop_of(fit.plan);
  fit.fixed_bytes = fixed_bytes(fit.plan);
  for (double price = first_price; fit.bytes > limit && price <= last_price; price *= factor) {
    Plan plan = planned(price);
    std::int64_t bytes = memory_of(plan);
    if (bytes >= fit.bytes) continue;
    fit.bytes = bytes;
    fit.flop = flop_of(plan);
    fit.plan = std::move(plan);
  }
  return fit;
}

}  // namespace heed
