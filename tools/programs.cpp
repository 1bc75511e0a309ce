// From a model file to graphs and compiled programs.
#include "tools/programs.h"

#include <fmt/format.h>

#include <chrono>
#include <cstdio>

#include "codegen/compile.h"
#include "ir/algebra.h"
#include "passes/pipeline.h"
#include "passes/with_gradients.h"
#include "tools/command.h"
#include "tools/devices.h"

namespace heed {

namespace {

bool has_train_block(const Model& model) {
  std::string entry = model.request().entry;
  std::vector<EntryInfo> all = entries(model.module());
  bool only_model = std::ranges::count(all, EntryInfo::Kind::model, &EntryInfo::kind) == 1;
  for (const EntryInfo& each : all)
    if (each.trained && (each.name == entry || (entry.empty() && each.kind == EntryInfo::Kind::model && only_model))) return true;
  return false;
}

// A parameter without a first value starts at zero.
ArrayRef zeros_like(ArrayRef array) {
  Expr zero = is_floating(array->dtype)        ? real(*array->arena, 0, compute_type(array->dtype))
              : array->dtype == DType::boolean ? boolean(*array->arena, false)
                                               : integer(*array->arena, 0);
  std::vector<AxisRef> axes;
  for (std::int64_t size : array->shape) axes.push_back(fresh_axis(*array->arena, size));
  return define(axes, zero, array->dtype);
}

}  // namespace

Purpose purpose_of(const Model& model, const PurposeOptions& options, bool grad_is_step) {
  if (options.train || (options.grad && grad_is_step && has_train_block(model))) return Purpose::training;
  return options.grad ? Purpose::gradients : Purpose::forward;
}

Elaborated elaborate_for(const Model& model, Purpose purpose, bool cotangents) {
  if (purpose == Purpose::training) return model.elaborate_training();
  Elaborated elaborated = model.elaborate();
  if (purpose == Purpose::gradients) elaborated.graph = with_gradients(elaborated.graph, cotangents);
  return elaborated;
}

CompiledProgram compile_graph(const Graph& graph, const RunOptions& options, bool verbose) {
  auto begin = std::chrono::steady_clock::now();
  auto seconds = [&] { return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count(); };
  std::shared_ptr<Device> device = open_device(options.device);
  Plan plan = make_plan(graph, options.plan);
  double planned = seconds();
  CompileOptions compile_options;
  if (options.cache == "off")
    compile_options.settings.cache.enabled = false;
  else if (!options.cache.empty())
    compile_options.settings.cache.folder = options.cache;
  compile_options.settings.threads = options.threads;
  set_target(compile_options, options.device);
  set_precision(compile_options, options.precision);
  Compilation compilation = compile(plan, compile_options);
  if (verbose)
    fmt::print(stderr,
               "{}: {} regions, {} kernels compiled and {} from the cache; passes {:.3f} s, lowering {:.3f} s, machine code {:.3f} s\n",
               graph.name, plan.steps.size(), compilation.compiled, compilation.from_cache, planned, compilation.lower_seconds,
               compilation.compile_seconds);
  compilation.program.device = std::move(device);
  return {std::make_shared<const Program>(std::move(compilation.program)), seconds(), compilation.compiled, compilation.from_cache};
}

Graph initial_values(const Graph& graph) {
  Graph initial;
  initial.arena = graph.arena;
  initial.name = graph.name + ".initial";
  initial.sizes = graph.sizes;
  for (const GraphInput& input : graph.inputs) {
    if (input.role == GraphInput::Role::seed || input.role == GraphInput::Role::step) initial.inputs.push_back(input);
    if (input.role == GraphInput::Role::parameter || input.role == GraphInput::Role::state)
      initial.outputs.push_back({input.array->name, input.initial ? input.initial : zeros_like(input.array)});
  }
  return initial;
}

}  // namespace heed
