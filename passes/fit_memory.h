// Plans that take no more memory than there is.
#pragma once
#include "ir/plan.h"
#include "passes/work.h"

namespace heed {

// What a plan takes while it runs: inputs and outputs (an update in place counts once), the arena, and what one thread's blocks work in.
std::int64_t memory_of(const Plan& plan);

struct MemoryFit {
  Plan plan;
  std::int64_t bytes = 0, bytes_at_ease = 0;  // of the plan, and of the one that is chosen where memory does not matter
  std::int64_t fixed_bytes = 0;               // inputs and outputs
  double flop = 0, flop_at_ease = 0;
};

// The plan for the graph as the passes leave it, with memory placed. Where it takes more than `limit` bytes, storing is made dearer until
// values are made again instead; if nothing is enough, it is the smallest plan that was found.
MemoryFit fit_memory(const Graph& graph, const Machine& machine, std::int64_t limit);

}  // namespace heed
