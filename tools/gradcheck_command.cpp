// heed gradcheck: gradients against finite differences, both by the evaluator in f64.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "ir/evaluate.h"
#include "passes/differentiate.h"
#include "passes/with_gradients.h"
#include "tools/command.h"
#include "tools/execution.h"

namespace heed {

namespace {

struct Options {
  ModelOptions model;
  RunOptions run;
  int elements = 24;
  double tolerance = 1e-5;
};

using Values = std::map<std::string, Tensor>;
constexpr double device_tolerance = 1e-4, rough_tolerance = 3e-2;  // of f32 and smaller types, relative to the largest gradient
constexpr EvaluateOptions exact{EvaluateOptions::Precision::f64};

Tensor as_f64(const Tensor& tensor) {
  if (!is_floating(tensor.dtype)) return tensor;
  Tensor result(DType::f64, tensor.shape);
  for (std::int64_t k = 0; k < tensor.count(); ++k) result.set(k, tensor.real(k));
  return result;
}

// What the gradients are taken of: the sum of the floating results.
double sum_of_results(const Graph& graph, const Values& inputs) {
  std::vector<Tensor> values = evaluate(graph, inputs, exact);
  double sum = 0;
  for (std::size_t k = 0; k < values.size(); ++k) {
    if (graph.outputs[k].updates || !is_floating(values[k].dtype)) continue;
    for (std::int64_t i = 0; i < values[k].count(); ++i) sum += values[k].real(i);
  }
  return sum;
}

double difference_at(const Graph& graph, Values& inputs, const std::string& name, std::int64_t element) {
  Tensor& tensor = inputs.at(name);
  double before = tensor.real(element), step = 1e-5 * std::max(1.0, std::abs(before));
  auto at = [&](double shift) {
    tensor.set(element, before + shift);
    return sum_of_results(graph, inputs);
  };
  // Of fourth order: the error of the difference stays below that of the values.
  double result = (8 * (at(step) - at(-step)) - (at(2 * step) - at(-2 * step))) / (12 * step);
  tensor.set(element, before);
  return result;
}

// The same gradients as a device computes them, in the model's own types.
bool check_on_device(const Graph& with, const Values& inputs, const std::vector<Tensor>& gradients, const Options& options) {
  NamedTensors given;
  for (const GraphInput& input : with.inputs) {
    const Tensor& exact_value = inputs.at(input.array->name);
    HostTensor value(type_of(input.array));
    convert_elements(name_of(exact_value.dtype), exact_value.bytes.data(), value.type.dtype, value.data(), exact_value.count());
    given[input.array->name] = std::move(value);
  }
  NamedTensors made = run_compiled(with, std::move(given), options.run, options.model.verbose);
  bool all_right = true;
  for (std::size_t k = 0; k < with.outputs.size(); ++k) {
    const std::string& output = with.outputs[k].name;
    if (!output.starts_with("grad.")) continue;
    Tensor value = as_tensor(made.at(output));
    double worst = 0, largest = 0;
    for (std::int64_t i = 0; i < value.count(); ++i) {
      largest = std::max(largest, std::abs(gradients[k].real(i)));
      double error = std::abs(value.real(i) - gradients[k].real(i));
      if (error > worst || std::isnan(error)) worst = error;
    }
    bool right = worst <= (options.run.precision == "f32" ? device_tolerance : rough_tolerance) * std::max(1.0, largest);
    all_right &= right;
    fmt::print("{:<28} on {}, largest error {:.1e} of values up to {:.3g}{}\n", output.substr(5), options.run.device, worst, largest,
               right ? "" : "  WRONG");
  }
  return all_right;
}

int check_gradients(Options options) {
  Model model(options.model);
  Graph graph = differentiate(model.elaborate().graph);
  Graph with = differentiate(with_gradients(graph));
  choose_precision(model, Purpose::gradients, options.run);
  Values inputs;
  for (const auto& [name, value] : complete_inputs(graph, {}, options.run.seed, true, options.run)) inputs[name] = as_f64(as_tensor(value));
  std::vector<Tensor> gradients = evaluate(with, inputs, exact);
  bool all_right = true;
  for (std::size_t k = 0; k < with.outputs.size(); ++k) {
    const std::string& output = with.outputs[k].name;
    if (!output.starts_with("grad.")) continue;
    std::string name = output.substr(5);
    std::int64_t count = gradients[k].count(), checked = std::min<std::int64_t>(count, options.elements);
    double worst = 0, gradient_there = 0, difference_there = 0;
    for (std::int64_t each = 0; each < checked; ++each) {
      std::int64_t element = each * count / checked;
      double gradient = gradients[k].real(element), difference = difference_at(graph, inputs, name, element);
      double error = std::abs(gradient - difference) / (1 + std::abs(difference));
      if (error > worst || std::isnan(error)) {
        worst = error;
        gradient_there = gradient;
        difference_there = difference;
      }
    }
    bool right = worst <= options.tolerance;
    all_right &= right;
    fmt::print("{:<28} {:>6} of {:<8} elements, largest error {:.1e}{}\n", name, checked, count, worst,
               right ? "" : fmt::format("  WRONG: gradient {:.9g}, difference {:.9g}", gradient_there, difference_there));
  }
  if (options.run.device != "cpu") all_right &= check_on_device(with, inputs, gradients, options);
  if (!all_right)
    throw UserError(
        "gradients differ; values that jump (round, argmax, straight_through, stop_gradient) have no difference to "
        "compare with");
  return success;
}

}  // namespace

Command gradcheck_command() {
  return {"gradcheck", "gradients against finite differences in f64; with --device also as it computes them",
          "heed gradcheck examples/attention_variants.heed:sink --size B=1,H=2,T=9,E=4,D=5", [](CLI::App& app) -> std::function<int()> {
            auto options = std::make_shared<Options>();
            add_model_options(app, options->model);
            add_run_options(app, options->run);
            app.add_option("--elements", options->elements, "how many elements of each value to check (default 24)")
                ->check(CLI::PositiveNumber);
            app.add_option("--tolerance", options->tolerance, "largest error, relative to 1 + the difference (default 1e-5)")
                ->check(CLI::PositiveNumber);
            return [options] { return check_gradients(*options); };
          }};
}

}  // namespace heed
