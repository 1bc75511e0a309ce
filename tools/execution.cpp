// Between names on the command line and a program's memory.
#include "tools/execution.h"

#include <fmt/format.h>

#include <chrono>
#include <cmath>
#include <cstring>
#include <numbers>
#include <stdexcept>

#include "input_error.h"
#include "ir/evaluate.h"
#include "passes/differentiate.h"
#include "passes/index_limits.h"
#include "runtime/files.h"
#include "runtime/profile.h"

namespace heed {

namespace {

// Splitmix64: one well mixed number for each counter.
std::uint64_t mixed(std::uint64_t counter) {
  counter += 0x9e3779b97f4a7c15ULL;
  counter = (counter ^ (counter >> 30)) * 0xbf58476d1ce4e5b9ULL;
  counter = (counter ^ (counter >> 27)) * 0x94d049bb133111ebULL;
  return counter ^ (counter >> 31);
}
double uniform(std::uint64_t counter) { return static_cast<double>(mixed(counter) >> 11) * 0x1p-53; }

double normal(std::uint64_t seed, std::int64_t index) {
  std::uint64_t counter = mixed(seed) + 2 * static_cast<std::uint64_t>(index);
  return std::sqrt(-2 * std::log(1 - uniform(counter))) * std::cos(2 * std::numbers::pi * uniform(counter + 1));
}

std::uint64_t hash_of(const std::string& text) {
  std::uint64_t hash = 0xcbf29ce484222325ULL;
  for (unsigned char c : text) hash = (hash ^ c) * 0x100000001b3ULL;
  return hash;
}

HostTensor scalar(std::int64_t value) {
  HostTensor tensor(TensorType{"i64", {}});
  std::memcpy(tensor.data(), &value, sizeof value);
  return tensor;
}

std::size_t index_of(const std::vector<ProgramValue>& values, const std::string& name) {
  for (std::size_t k = 0; k < values.size(); ++k)
    if (values[k].name == name) return k;
  throw std::logic_error("execution: no value called " + name);
}

std::shared_ptr<const Program> fitting(std::shared_ptr<const Program> program, int threads) {
  check_memory(*program, threads);
  return program;
}

}  // namespace

Execution::Execution(std::shared_ptr<const Program> program, ThreadPool& pool)
    : program_(fitting(std::move(program), pool.size())), executor_(program_, pool) {
  for (const ProgramValue& input : program_->inputs) inputs_.emplace_back(input.type);
  for (const ProgramValue& output : program_->outputs) {
    if (output.in_place >= 0)
      outputs_.emplace_back();
    else
      outputs_.emplace_back(output.type);
  }
  for (const HostTensor& input : inputs_) input_memory_.push_back(input.data());
  for (std::size_t k = 0; k < outputs_.size(); ++k) {
    std::int32_t in_place = program_->outputs[k].in_place;
    output_memory_.push_back(in_place >= 0 ? input_memory_[static_cast<std::size_t>(in_place)] : outputs_[k].data());
  }
  if (program_->device) device_.emplace(*program_);
}

void Execution::set(const std::string& name, HostTensor value) {
  std::size_t k = index_of(program_->inputs, name);
  HostTensor& input = inputs_[k];
  if (input.type != value.type) throw InputError(fmt::format("input `{}` is {}, got {}", name, text_of(input.type), text_of(value.type)));
  input = std::move(value);
  input_memory_[k] = input.data();
  for (std::size_t output = 0; output < outputs_.size(); ++output)
    if (program_->outputs[output].in_place == static_cast<std::int32_t>(k)) output_memory_[output] = input.data();
  if (device_) device_->put(k, input.data());
  executor_.forget();
}

void Execution::run(Profile* profile) {
  if (device_)
    executor_.run(device_->inputs(), device_->outputs(), profile);
  else
    executor_.run(input_memory_, output_memory_, profile);
}

HostTensor& Execution::fetched_output(const std::string& name) {
  std::size_t k = index_of(program_->outputs, name);
  std::int32_t in_place = program_->outputs[k].in_place;
  if (device_) device_->get_output(k, output_memory_[k]);
  return in_place >= 0 ? inputs_[static_cast<std::size_t>(in_place)] : outputs_[k];
}

const HostTensor& Execution::output(const std::string& name) { return fetched_output(name); }

HostTensor Execution::take_output(const std::string& name) { return std::move(fetched_output(name)); }

TensorType type_of(ArrayRef array) { return {std::string(name_of(array->dtype)), array->shape}; }

Tensor as_tensor(const HostTensor& tensor) {
  Tensor result(*dtype_named(tensor.type.dtype), tensor.type.shape);
  std::memcpy(result.bytes.data(), tensor.data(), result.bytes.size());
  return result;
}

HostTensor as_host_tensor(const Tensor& tensor) {
  HostTensor result(TensorType{std::string(name_of(tensor.dtype)), tensor.shape});
  std::memcpy(result.data(), tensor.bytes.data(), tensor.bytes.size());
  return result;
}

namespace {

void run_profiled(Execution& execution, const ProfileOptions& options) {
  constexpr int most_runs = 20;
  constexpr double enough_seconds = 2;
  Profile profile;
  if (!options.trace.empty()) profile.most_spans = most_spans;
  const auto seconds = [&] { return std::chrono::duration<double>(std::chrono::steady_clock::now() - profile.start).count(); };
  for (int run = 0; run < most_runs && (run == 0 || seconds() < enough_seconds); ++run) execution.run(&profile);
  if (options.print) fmt::print("{}", profile_text(execution.program(), profile));
  if (!options.trace.empty()) replace_file(options.trace, trace_json(execution.program(), profile));
}

}  // namespace

NamedTensors run_compiled(const Graph& graph, NamedTensors inputs, const RunOptions& options, bool verbose, const ProfileOptions& profile) {
  CompiledProgram compiled = compile_graph(graph, options, verbose);
  ThreadPool pool(options.thread_count());
  Execution execution(compiled.program, pool);
  for (const ProgramValue& input : compiled.program->inputs)
    if (auto given = inputs.find(input.name); given != inputs.end()) execution.set(input.name, std::move(given->second));
  execution.run();
  NamedTensors results;
  const bool runs_again = profile.print || !profile.trace.empty();
  for (const ProgramValue& output : compiled.program->outputs)
    results[output.name] = runs_again ? execution.output(output.name).copy() : execution.take_output(output.name);
  if (runs_again) run_profiled(execution, profile);
  return results;
}

NamedTensors run_evaluated(const Graph& graph, const NamedTensors& inputs, const PipelineOptions& options) {
  std::map<std::string, Tensor> tensors;
  for (const auto& [name, value] : inputs) tensors.emplace(name, as_tensor(value));
  // As it is written, but for `grad(…)` of the file itself; where values are rounded, passes say which.
  const bool rounds = options.precision != DType::f32;
  std::vector<Tensor> values = evaluate(rounds ? run_passes(graph, options) : differentiate(graph), tensors);
  NamedTensors results;
  for (std::size_t k = 0; k < values.size(); ++k) results[graph.outputs[k].name] = as_host_tensor(values[k]);
  return results;
}

HostTensor random_tensor(const Graph& graph, ArrayRef input, std::uint64_t seed) {
  HostTensor tensor(type_of(input));
  std::uint64_t key = seed ^ hash_of(input->name);
  std::int64_t count = element_count(input);
  if (is_floating(input->dtype)) {
    std::vector<double> values(static_cast<std::size_t>(count));
    for (std::int64_t k = 0; k < count; ++k) values[static_cast<std::size_t>(k)] = normal(key, k);
    convert_elements("f64", reinterpret_cast<const std::byte*>(values.data()), tensor.type.dtype, tensor.data(), count);
    return tensor;
  }
  Interval range = index_limits(graph, input);
  auto width = static_cast<std::uint64_t>(range.high - range.low) + 1;
  std::vector<std::int64_t> values(static_cast<std::size_t>(count));
  for (std::int64_t k = 0; k < count; ++k)
    values[static_cast<std::size_t>(k)] = range.low + static_cast<std::int64_t>(mixed(mixed(key) + static_cast<std::uint64_t>(k)) % width);
  convert_elements("i64", reinterpret_cast<const std::byte*>(values.data()), tensor.type.dtype, tensor.data(), count);
  return tensor;
}

NamedTensors complete_inputs(const Graph& graph, NamedTensors given, std::int64_t seed, bool evaluator, const RunOptions& options) {
  bool needs_initial = false;
  double bytes = 0;
  for (const GraphInput& input : graph.inputs) bytes += static_cast<double>(type_of(input.array).bytes());
  check_available(2 * bytes, "running this", " (twice its inputs)");
  for (const GraphInput& input : graph.inputs) {
    const std::string& name = input.array->name;
    if (given.contains(name)) continue;
    switch (input.role) {
      case GraphInput::Role::seed:
        given[name] = scalar(seed);
        break;
      case GraphInput::Role::step:
        given[name] = scalar(1);
        break;
      case GraphInput::Role::data:
        given[name] = random_tensor(graph, input.array, static_cast<std::uint64_t>(seed));
        break;
      default:
        needs_initial = true;
    }
  }
  if (!needs_initial) return given;
  Graph initial = initial_values(graph);
  NamedTensors scalars;
  for (const GraphInput& input : initial.inputs)
    scalars[input.array->name] = given.contains(input.array->name) ? given[input.array->name].copy() : scalar(seed);
  NamedTensors values = evaluator ? run_evaluated(initial, scalars) : run_compiled(initial, std::move(scalars), in_f32(options), false);
  for (auto& [name, value] : values)
    if (!given.contains(name)) given[name] = std::move(value);
  return given;
}

}  // namespace heed
