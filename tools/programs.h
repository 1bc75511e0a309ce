// The graphs that subcommands work on, and the programs made of them.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "ir/plan.h"
#include "runtime/program.h"
#include "tools/options.h"

namespace heed {

// What a subcommand works on.
enum class Purpose {
  forward,    // as written
  gradients,  // with grad.NAME for every floating input and parameter
  training,   // the whole training step
};
// --grad and --train: of a model with a train block, --grad is the training step where `grad_is_step`.
struct PurposeOptions {
  bool grad = false, train = false;
};
Purpose purpose_of(const Model& model, const PurposeOptions& options, bool grad_is_step);
// `cotangents`: gradients of the sum of output * cotangent (passes/with_gradients.h).
Elaborated elaborate_for(const Model& model, Purpose purpose, bool cotangents = false);

struct CompiledProgram {
  std::shared_ptr<const Program> program;
  double seconds = 0;  // of passes and code generation
  int compiled = 0, from_cache = 0;
};
CompiledProgram compile_graph(const Graph& graph, const RunOptions& options, bool verbose);

// The graph that gives parameters and states their first values from the seed.
Graph initial_values(const Graph& graph);

}  // namespace heed
