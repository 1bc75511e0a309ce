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

// In what a program computes: as `given` by --precision, or if that is empty as the train block of a training step says, or f32. The plan
// is told. Throws UserError for a training step in f16.
std::string choose_precision(const Model& model, Purpose purpose, const std::string& given, PipelineOptions& plan);
void choose_precision(const Model& model, Purpose purpose, RunOptions& options);

struct CompiledProgram {
  std::shared_ptr<const Program> program;
  double seconds = 0;  // of passes and code generation
  int compiled = 0, from_cache = 0;
};
CompiledProgram compile_graph(const Graph& graph, const RunOptions& options, bool verbose);

// The graph that gives parameters and states their first values from the seed.
Graph initial_values(const Graph& graph);
// They are made in the same precision whatever is trained in.
RunOptions in_f32(RunOptions options);

}  // namespace heed
