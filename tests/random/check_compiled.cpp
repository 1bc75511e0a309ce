// Compiled code against the evaluator.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>
#include <limits>

#include "codegen/compile.h"
#include "ir/algebra.h"
#include "ir/evaluate.h"
#include "ir/function.h"
#include "passes/pipeline.h"
#include "passes/rewrite.h"
#include "passes/with_gradients.h"
#include "runtime/execute.h"
#include "runtime/tensor.h"
#include "tests/device.h"
#include "tests/machines.h"
#include "tests/random/check.h"

namespace heed {
namespace {

// What the last of some runs gives.
std::vector<Tensor> run(const Program& program, const std::map<std::string, Tensor>& inputs, int threads, int runs = 1) {
  if (!program.kernels.empty()) return run_on_device(program, inputs);
  ThreadPool pool(threads);
  Executor executor(std::make_shared<const Program>(program), pool);
  std::vector<HostTensor> given, made;
  std::vector<void*> in, out;
  for (const ProgramValue& value : program.inputs) {
    const Tensor& tensor = inputs.at(value.name);
    std::copy(tensor.bytes.begin(), tensor.bytes.end(), given.emplace_back(value.type).data());
  }
  for (const ProgramValue& value : program.outputs) made.emplace_back(value.type);
  for (HostTensor& tensor : given) in.push_back(tensor.data());
  for (HostTensor& tensor : made) out.push_back(tensor.data());
  for (int k = 0; k < runs; ++k) executor.run(in, out);
  std::vector<Tensor> results;
  for (HostTensor& tensor : made) {
    Tensor& result = results.emplace_back(*dtype_named(tensor.type.dtype), tensor.type.shape);
    std::copy(tensor.data(), tensor.data() + result.bytes.size(), result.bytes.begin());
  }
  return results;
}

bool all_finite(const std::vector<Tensor>& tensors) {
  return std::ranges::all_of(tensors, [](const Tensor& tensor) {
    for (std::int64_t k = 0; k < tensor.count(); ++k)
      if (!std::isfinite(tensor.real(k))) return false;
    return true;
  });
}

// Rounding stored values to single precision moves well-behaved results little; where it moves them far, a step lies between.
bool is_steady(const std::vector<Tensor>& native, const std::vector<Tensor>& exact) {
  return all_finite(exact) && !difference(exact, native, 1e-5);
}

// Whether rounding in between moves the results: where 1 - tanh(x)^2 is taken of a large x, or a sum cancels, little is left of seven
// digits.
bool is_ill_conditioned(const Graph& graph, const std::map<std::string, Tensor>& inputs, const std::vector<Tensor>& exact) {
  return std::ranges::any_of(std::array{0x1p-22, -0x1p-22, 0x1p-21}, [&](double size) {
    return difference(exact, evaluate(with_rough_values(graph, size), inputs, {EvaluateOptions::Precision::f64}), 3e-5).has_value();
  });
}

Finding compiled_fault(const Plan& plan) {
  auto inputs = values_for(plan.graph);
  std::vector<Tensor> native = evaluate(plan.graph, inputs), exact = evaluate(plan.graph, inputs, {EvaluateOptions::Precision::f64});
  CompileOptions options;
  options.settings.cache.enabled = false;
  set_test_target(options);
  Program program = compile(plan, options).program;
  std::vector<Tensor> results = run(program, inputs, 1), again = run(program, inputs, 3, 2);
  for (std::size_t k = 0; k < results.size(); ++k)
    if (results[k].bytes != again[k].bytes) return fmt::format("output {} has other bits with 3 threads, in the second run", k);
  if (!is_steady(native, exact)) return {};
  Finding found = difference(native, results, 1e-4);
  bool is_rounding = found && (is_at_a_step(plan.graph, inputs, 2e-7, 3e-4) || is_ill_conditioned(plan.graph, inputs, exact));
  return is_rounding ? std::nullopt : found;
}

// Where blocks never win.
Machine machine_without_blocks() {
  Machine machine;
  machine.launch_seconds = 1e6;
  return machine;
}

std::vector<Tensor> compiled_results(const Plan& plan, const std::map<std::string, Tensor>& inputs, int threads) {
  CompileOptions options;
  options.settings.cache.enabled = false;
  set_test_target(options);
  return run(compile(plan, options).program, inputs, threads);
}

// Of each output the largest distance, as a share of its largest magnitude.
std::vector<double> errors(const std::vector<Tensor>& exact, const std::vector<Tensor>& results) {
  std::vector<double> found;
  for (std::size_t k = 0; k < exact.size(); ++k) {
    double largest = 0.05, distance = 0;
    for (std::int64_t at = 0; at < exact[k].count(); ++at) {
      largest = std::max(largest, std::abs(exact[k].real(at)));
      double apart = std::abs(exact[k].real(at) - results[k].real(at));
      distance = std::isnan(apart) ? std::numeric_limits<double>::infinity() : std::max(distance, apart);
    }
    found.push_back(distance / largest);
  }
  return found;
}

Finding fault_in_blocks(const Graph& graph, const Machine& machine, bool* goes_by_blocks) {
  constexpr double rounding = 1e-6, times_worse = 10;
  Plan plan = make_plan(graph, {.machine = machine});
  if (goes_by_blocks)
    *goes_by_blocks = std::ranges::any_of(plan.steps, [](const Plan::Step& step) {
      const auto* region = std::get_if<Region>(&step);
      return region && region->blocks;
    });
  auto inputs = values_for(plan.graph);
  std::vector<Tensor> exact = evaluate(plan.graph, inputs, {EvaluateOptions::Precision::f64}), native = evaluate(plan.graph, inputs);
  if (!all_finite(exact)) return {};
  std::vector<Tensor> results = compiled_results(plan, inputs, 1);
  std::vector<double> found = errors(exact, results), usual = errors(exact, native);
  std::vector<double> apart;
  for (std::size_t k = 0; k < found.size(); ++k) {
    if (found[k] <= times_worse * std::max(usual[k], rounding)) continue;
    if (apart.empty()) apart = errors(exact, compiled_results(make_plan(graph, {.machine = machine_without_blocks()}), inputs, 1));
    if (found[k] <= times_worse * std::max(apart[k], rounding) || is_at_a_step(plan.graph, inputs, 2e-7, 3e-5)) continue;
    return fmt::format("error of output {} ({}) is {}, without blocks {}", k, plan.graph.outputs[k].name, found[k], apart[k]);
  }
  return {};
}

// A sum in another order may end at the other side of a rounding, as far away as roundings are.
Finding fault_in_bf16(const Plan& plan) {
  constexpr double rounding = 0x1p-8, times_worse = 4;
  auto inputs = values_for(plan.graph);
  std::vector<Tensor> exact = evaluate(plan.graph, inputs, {EvaluateOptions::Precision::f64}), native = evaluate(plan.graph, inputs);
  CompileOptions options;
  options.settings.cache.enabled = false;
  set_test_target(options);
  options.target.multiplies_pairs = options.target.has_bf16;  // also where that is not what is faster
  Program program = compile(plan, options).program;
  std::vector<Tensor> results = run(program, inputs, 1), again = run(program, inputs, 3);
  for (std::size_t k = 0; k < results.size(); ++k)
    if (results[k].bytes != again[k].bytes) return fmt::format("output {} has other bits with 3 threads", k);
  if (!all_finite(exact) || !all_finite(native)) return {};
  std::vector<double> found = errors(exact, results), usual = errors(exact, native);
  for (std::size_t k = 0; k < found.size(); ++k) {
    if (found[k] <= times_worse * std::max(usual[k], rounding) || is_at_a_step(plan.graph, inputs, rounding, 10 * rounding)) continue;
    return fmt::format("error of output {} ({}) is {}, of the evaluator {}", k, plan.graph.outputs[k].name, found[k], usual[k]);
  }
  return {};
}

// The cache gives the one program kernels that were compiled by themselves; the other is compiled as it is.
Finding fault_of_shared_code(const Plan& plan) {
  static int number = 0;
  const auto folder = std::filesystem::temp_directory_path() / fmt::format("heed_shared_code_{}_{}", getpid(), number++);
  CompileOptions apart, together;
  apart.settings.cache.folder = folder;
  together.settings.cache.enabled = false;
  for (const ListedKernel& kernel : kernel_sources(plan, apart)) compile_kernels({kernel.source}, apart.target, apart.settings);
  Compilation of_apart = compile(plan, apart), of_together = compile(plan, together);
  std::error_code ignored;
  std::filesystem::remove_all(folder, ignored);
  if (of_apart.compiled > 0) return fmt::format("{} of {} kernels were not in the cache", of_apart.compiled, of_together.compiled);
  auto inputs = values_for(plan.graph);
  std::vector<Tensor> expected = run(of_apart.program, inputs, 1), results = run(of_together.program, inputs, 1);
  for (std::size_t k = 0; k < results.size(); ++k)
    if (results[k].bytes != expected[k].bytes)
      return fmt::format("output {} has other bits where {} kernels are {} pieces of code", k, of_together.compiled, of_together.codes);
  return {};
}

// Every other input is a parameter: what is made of those alone is kept from run to run.
Graph with_parameters(Graph graph) {
  for (std::size_t k = 1; k < graph.inputs.size(); k += 2) graph.inputs[k].role = GraphInput::Role::parameter;
  return graph;
}

// What is thrown is a fault, too.
Finding guarded(const std::function<Plan()>& plan) {
  try {
    return compiled_fault(plan());
  } catch (const std::exception& error) {
    return error.what();
  }
}

}  // namespace

Finding check_compiled(const Graph& graph) {
  return guarded([&] { return make_plan(with_parameters(graph)); });
}
Finding check_compiled_gradients(const Graph& graph) {
  return guarded([&] { return make_plan(with_parameters(with_gradients(graph))); });
}
Finding check_shared_code(const Graph& graph) {
  try {
    return fault_of_shared_code(make_plan(with_gradients(graph), {.machine = eager_machine()}));
  } catch (const std::exception& error) {
    return error.what();
  }
}
Finding check_in_blocks(const Graph& graph, const Machine& machine, bool* goes_by_blocks) {
  try {
    return fault_in_blocks(with_gradients(graph, true), machine, goes_by_blocks);
  } catch (const std::exception& error) {
    return error.what();
  }
}
Finding check_in_bf16(const Graph& graph, const Machine& machine) {
  try {
    return fault_in_bf16(make_plan(with_gradients(graph, true), {.precision = DType::bf16, .machine = machine}));
  } catch (const std::exception& error) {
    return error.what();
  }
}
Finding check_plan(const Plan& plan) {
  return guarded([&] { return plan; });
}

}  // namespace heed
