// From a model file to graphs and compiled programs.
#include "tools/programs.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <chrono>
#include <cstdio>

#include "codegen/program_cache.h"
#include "ir/algebra.h"
#include "ir/fingerprint.h"
#include "passes/pipeline.h"
#include "passes/with_gradients.h"
#include "tools/command.h"
#include "tools/devices.h"
#include "tools/machines.h"

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

std::string choose_precision(const Model& model, Purpose purpose, const std::string& given, PipelineOptions& plan) {
  std::string precision = !given.empty() ? given : purpose == Purpose::training ? model.train_block().precision : "f32";
  if (precision == "f16" && purpose == Purpose::training)
    throw UserError("precision f16: most gradients of a training step are too small for f16; bf16 has the range of f32");
  plan.precision = precision == "bf16" ? DType::bf16 : precision == "f16" ? DType::f16 : DType::f32;
  return precision;
}

void choose_precision(const Model& model, Purpose purpose, RunOptions& options) {
  options.precision = choose_precision(model, purpose, options.precision, options.plan);
}

RunOptions in_f32(RunOptions options) {
  options.precision = "f32";
  options.plan.precision = DType::f32;
  return options;
}

namespace {

CacheOptions cache_options(const RunOptions& options) {
  CacheOptions cache;
  if (options.cache == "off")
    cache.enabled = false;
  else if (!options.cache.empty())
    cache.folder = options.cache;
  return cache;
}

CompileOptions compile_options(const RunOptions& options) {
  CompileOptions out;
  out.settings.cache = cache_options(options);
  out.settings.threads = options.thread_count();
  set_target(out, options.device, options.cpu);
  set_precision(out, options.precision);
  return out;
}

// At most so many, and how many more there are.
std::string some_of(const std::vector<std::string>& labels) {
  constexpr std::size_t most = 8;
  std::size_t shown = std::min(labels.size(), most);
  std::string text = fmt::format("{}", fmt::join(labels.begin(), labels.begin() + static_cast<std::ptrdiff_t>(shown), "; "));
  return labels.size() > shown ? text + fmt::format("; and {} more", labels.size() - shown) : text;
}

}  // namespace

CompiledProgram compile_graph(const Graph& graph, const RunOptions& options, bool verbose) {
  auto begin = std::chrono::steady_clock::now();
  auto seconds = [&] { return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count(); };
  std::shared_ptr<Device> device = open_device(options.device, cache_options(options));
  CompileOptions settings = compile_options(options);
  ProgramCache cache(
      fmt::format("{} {} {}\n{}", options.plan.exact, options.plan.memory, name_of(options.plan.precision), fingerprint(graph)), settings);
  ProgramCache::Found found = cache.find();
  if (!found.compilation) {
    PipelineOptions plan_options = options.plan;
    plan_options.machine = settings.cuda ? machine_of(*settings.cuda) : machine_of(settings.target);
    plan_options.fitted = [&](const MemoryFit& fit) { found.note = memory_note(options.plan.memory, fit); };
    Plan plan = make_plan(graph, plan_options);
    double planned = seconds();
    found.compilation = compile(plan, settings);
    cache.store(*found.compilation, found.note);
    if (verbose)
      fmt::print(stderr,
                 "{}: planned anew ({}): {} regions, {} kernels compiled{} and {} from the cache; passes {:.3f} s, lowering {:.3f} s, "
                 "machine code {:.3f} s\n{}",
                 graph.name, found.why_none, plan.steps.size(), found.compilation->compiled,
                 found.compilation->codes > 0 ? fmt::format(" (as {} pieces of code)", found.compilation->codes) : "",
                 found.compilation->from_cache, planned, found.compilation->lower_seconds, found.compilation->compile_seconds,
                 found.compilation->built.empty() ? "" : fmt::format("compiled: {}\n", some_of(found.compilation->built)));
  } else if (verbose) {
    fmt::print(stderr, "{}: the program and its {} kernels are from the cache; looked up in {:.3f} s, loaded in {:.3f} s\n", graph.name,
               found.compilation->from_cache, seconds() - found.compilation->compile_seconds, found.compilation->compile_seconds);
  }
  fmt::print(stderr, "{}", found.note);
  Compilation& compilation = *found.compilation;
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
