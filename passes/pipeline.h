// The passes in their order: from a graph as it was written to a plan.
#pragma once
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ir/plan.h"
#include "passes/fit_memory.h"
#include "passes/work.h"

namespace heed {

struct Pass {
  std::string_view name;     // as `heed opt --to NAME` has it
  std::string_view purpose;  // a line
  Graph (*function)(const Graph&);
  bool keeps_exact = true;              // products and sums keep the order in which they are written, and numbers are what they are
  std::optional<DType> precision = {};  // it runs only where this one is asked for
};
// In the order in which they run. `fuse` and `plan_memory` come after them and are named in `pass_names` only.
std::span<const Pass> passes();
std::vector<std::pair<std::string_view, std::string_view>> pass_names();  // of all, with their purposes, in order

struct PipelineOptions {
  std::string to;                 // the last pass to run; "" for all
  std::vector<std::string> only;  // run these alone, in this order
  bool exact = false;             // only passes that keep what is exact
  DType precision = DType::f32;   // bf16, f16: of the factors of products, and of what is stored between regions
  // Called with the graph as it came and after each pass: its number, its name ("input" at first) and the graph.
  std::function<void(int, std::string_view, const Graph&)> watch;
  std::int64_t memory = 0;                       // bytes that a plan may take (passes/fit_memory.h); 0: any
  std::function<void(const MemoryFit&)> fitted;  // called with what came of the limit; the plan may still be too large
  Machine machine;                               // what regions are chosen for
};

// Throws InputError for a name that is no pass's.
Graph run_passes(const Graph& graph, const PipelineOptions& options = {});

// All passes, then regions and memory. Options as above; `to` and `only` must be empty. Values are made again instead of being stored as
// far as the limit on memory asks for it and as it can be done.
Plan make_plan(const Graph& graph, const PipelineOptions& options = {});

}  // namespace heed
