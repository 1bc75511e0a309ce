// heed run: one run of a model or function, its values printed or written.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <set>

#include "input_error.h"
#include "passes/differentiate.h"
#include "passes/with_gradients.h"
#include "runtime/files.h"
#include "runtime/npy.h"
#include "runtime/safetensors.h"
#include "runtime/train.h"
#include "tools/command.h"
#include "tools/execution.h"
#include "tools/given_values.h"

namespace heed {

namespace {

struct Options {
  ModelOptions model;
  RunOptions run;
  std::vector<std::string> inputs, cotangents;
  std::string output, weights, trace;
  bool grad = false, evaluator = false, profile = false;
};

// Shape, mean, deviation, least, largest and the first values.
void print_value(const std::string& name, const HostTensor& value) {
  std::int64_t count = element_count(value.type.shape);
  const ElementType& element = element_type(value.type.dtype);
  double sum = 0, squares = 0, least = INFINITY, largest = -INFINITY;
  std::int64_t nans = 0;
  std::string first;
  for (std::int64_t k = 0; k < count; ++k) {
    const std::byte* at = value.data() + k * element.bytes;
    double x = element.floating ? floating_at(value.type.dtype, at) : static_cast<double>(integer_at(value.type.dtype, at));
    if (k < 4) first += element.floating ? fmt::format(" {:.7g}", x) : fmt::format(" {:.0f}", x);
    nans += std::isnan(x);
    sum += x;
    squares += x * x;
    least = std::min(least, x);
    largest = std::max(largest, x);
  }
  fmt::print("{:<28} {:<22}", name, text_of(value.type));
  if (count > 1) {
    double n = static_cast<double>(count), mean = sum / n;
    fmt::print(" mean {:<12.6g} deviation {:<12.6g} min {:<12.6g} max {:<12.6g}", mean, std::sqrt(std::max(0.0, squares / n - mean * mean)),
               least, largest);
  }
  fmt::print(" {}{}{}\n", count > 1 ? "first" : "", first, count > 4 ? " …" : "");
  if (nans > 0) fmt::print("{:<28} {} of {} values are NaN\n", "", nans, count);
}

void write_values(const std::string& output, const std::vector<std::string>& order, const NamedTensors& values) {
  if (output.ends_with(".safetensors")) {
    std::vector<std::pair<std::string, const HostTensor*>> tensors;
    for (const std::string& name : order) tensors.emplace_back(name, &values.at(name));
    write_safetensors(output, tensors, {{"heed", "values"}});
    return;
  }
  make_folder(output);
  for (const std::string& name : order) write_npy((std::filesystem::path(output) / (name + ".npy")).string(), values.at(name));
}

int run(Options options) {
  Model model(options.model);
  model.bind_shapes(given_shapes(options.inputs));
  Graph graph = model.elaborate().graph;
  if (options.grad) graph = differentiate(with_gradients(graph, !options.cotangents.empty()));
  choose_precision(model, options.grad ? Purpose::gradients : Purpose::forward, options.run);
  NamedTensors given = given_inputs(graph, options.inputs, options.run.seed);
  give_cotangents(graph, options.cotangents, options.run.seed, given);
  if (!options.weights.empty()) give_weights(graph, options.weights, given);
  NamedTensors inputs = complete_inputs(graph, std::move(given), options.run.seed, options.evaluator, options.run);
  if (options.evaluator && (options.profile || !options.trace.empty()))
    throw UserError("--profile and --trace measure compiled code, --evaluator runs none: leave one of them out");
  NamedTensors values = options.evaluator
                            ? run_evaluated(graph, inputs, options.run.plan)
                            : run_compiled(graph, std::move(inputs), options.run, options.model.verbose, {options.profile, options.trace});
  std::vector<std::string> order;
  for (const GraphOutput& output : graph.outputs)
    if (!output.updates) order.push_back(output.name);
  if (!options.output.empty())
    write_values(options.output, order, values);
  else
    for (const std::string& name : order) print_value(name, values.at(name));
  return success;
}

}  // namespace

Command run_command() {
  return {
      "run", "runs a model or function once", "heed run examples/attention_variants.heed:causal --size B=2,H=3,Q=37,K=37,E=16,D=24 --grad",
      [](CLI::App& app) -> std::function<int()> {
        auto options = std::make_shared<Options>();
        add_model_options(app, options->model);
        add_run_options(app, options->run);
        app.add_option("--input", options->inputs, "x=FILE.npy|FILE.npz|FILE.safetensors|random|zeros|iota|VALUE; others are random")
            ->allow_extra_args(false);
        app.add_option("--output", options->output, "a folder for one .npy a value, or one .safetensors file");
        app.add_flag("--grad", options->grad, "also grad.x for every floating input and parameter");
        app.add_option("--cotangent", options->cotangents, "y=FILE.npy: what the gradients are taken of instead of the sum of the outputs")
            ->allow_extra_args(false);
        app.add_option("--weights", options->weights, "parameters from a safetensors file");
        app.add_flag("--profile", options->profile, "prints where the time of some runs went: by region, line and layer");
        app.add_option("--trace", options->trace, "F.json: those runs on a time line, for ui.perfetto.dev");
        app.add_flag("--evaluator", options->evaluator, "the reference evaluator instead of compiled code");
        return [options] { return run(*options); };
      }};
}

}  // namespace heed
