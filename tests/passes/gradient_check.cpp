// Evaluates graphs before and after passes.
#include "gradient_check.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "ir/algebra.h"
#include "ir/evaluate.h"
#include "ir/language/elaborate.h"
#include "ir/verify.h"
#include "passes/differentiate.h"
#include "passes/erase_stop_gradient.h"
#include "passes/name_sums.h"
#include "passes/open_single_uses.h"
#include "passes/rewrite.h"
#include "passes/with_gradients.h"

namespace heed {
namespace {

using Data = std::map<std::string, Tensor>;
using Values = std::vector<double>;

Values values_of(const Tensor& tensor) {
  Values values;
  for (std::int64_t k = 0; k < tensor.count(); ++k) values.push_back(tensor.real(k));
  return values;
}

std::vector<Values> results_of(const Graph& graph, const Data& data) {
  std::vector<Values> results;
  for (const Tensor& each : evaluate(graph, data, {EvaluateOptions::Precision::f64})) results.push_back(values_of(each));
  return results;
}

Tensor random_tensor(ArrayRef array, double low, double high, std::mt19937& random) {
  Tensor tensor(is_floating(array->dtype) ? DType::f64 : array->dtype, array->shape);
  const Interval range = array->range.value_or(Interval{0, 3});
  const auto choices = static_cast<std::uint64_t>(range.high - range.low + 1);
  for (std::int64_t k = 0; k < tensor.count(); ++k) {
    if (!is_floating(array->dtype))
      tensor.set(k, range.low + static_cast<std::int64_t>(random() % choices));
    else
      tensor.set(k, std::uniform_real_distribution<double>(low, high)(random));
  }
  return tensor;
}

double dot(const Values& a, const Values& b) {
  double total = 0;
  for (std::size_t k = 0; k < a.size(); ++k) total += a[k] * b[k];
  return total;
}

void expect_near(const Values& a, const Values& b, const std::string& what) {
  ASSERT_EQ(a.size(), b.size()) << what;
  for (std::size_t k = 0; k < a.size(); ++k) ASSERT_NEAR(a[k], b[k], 1e-9 * (1 + std::abs(b[k]))) << what << " at element " << k;
}

using Ranges = std::map<std::string, std::pair<double, double>>;

CheckedGradient check(const Graph& plain, const Ranges& ranges) {
  const Graph with = with_gradients(plain, true);
  const Graph forward = differentiate(plain), direct = differentiate(with);
  const Graph prepared = name_sums(open_single_uses(with));
  const Graph expanded = erase_stop_gradient(differentiate(prepared));
  const Graph finished = name_sums(open_single_uses(name_sums(expanded)));
  verify(direct, "differentiate");
  verify(prepared, "name_sums");
  verify(expanded, "differentiate");
  verify(finished, "open_single_uses");

  std::mt19937 random(7);
  Data known, data;
  for (const GraphInput& each : plain.inputs) {
    auto range = ranges.find(each.array->name);
    const auto [low, high] = range == ranges.end() ? std::pair(-1.0, 1.0) : range->second;
    known[each.array->name] = random_tensor(each.array, low, high, random);
  }
  data = known;
  std::vector<Values> weights;
  for (const GraphOutput& output : plain.outputs) {
    weights.emplace_back();
    if (output.updates || !is_floating(output.array->dtype)) continue;
    Tensor& cotangent = data["cotangent." + output.name] = Tensor(DType::f64, output.array->shape);
    for (std::int64_t k = 0; k < cotangent.count(); ++k) cotangent.set(k, std::cos(static_cast<double>(k)));
    weights.back() = values_of(cotangent);
  }
  const std::vector<Values> values = results_of(forward, known), first = results_of(direct, data);
  for (std::size_t k = 0; k < values.size(); ++k) expect_near(first[k], values[k], plain.outputs[k].name);
  const Graph* later[] = {&expanded, &finished};
  for (const Graph* graph : later) {
    const std::vector<Values> results = results_of(*graph, data);
    for (std::size_t k = 0; k < results.size(); ++k) expect_near(results[k], first[k], graph->outputs[k].name);
  }

  auto loss = [&](const Data& changed) {
    const std::vector<Values> results = results_of(forward, changed);
    double total = 0;
    for (std::size_t k = 0; k < results.size(); ++k)
      if (!weights[k].empty()) total += dot(results[k], weights[k]);
    return total;
  };
  for (std::size_t k = plain.outputs.size(); k < direct.outputs.size(); ++k) {
    const std::string name = direct.outputs[k].name.substr(5);
    const auto count = static_cast<std::size_t>(known[name].count());
    for (int trial = 0; trial < 6 && count > 0; ++trial) {
      Values direction(count, 0);
      if (trial < 2)
        for (double& each : direction) each = std::normal_distribution<double>()(random);
      else
        direction[random() % count] = 1;
      const double step = 1e-5;
      Data up = known, down = known;
      for (std::size_t m = 0; m < count; ++m) {
        const auto at = static_cast<std::int64_t>(m);
        up[name].set(at, up[name].real(at) + step * direction[m]);
        down[name].set(at, down[name].real(at) - step * direction[m]);
      }
      const double slope = (loss(up) - loss(down)) / (2 * step), derived = dot(first[k], direction);
      EXPECT_NEAR(derived, slope, 2e-6 * (1 + std::abs(slope))) << "gradient of " << name << " in direction " << trial;
    }
  }
  return {with, finished};
}

Graph graph_of(std::shared_ptr<const Module> module, const std::string& entry, const std::map<std::string, std::int64_t>& sizes,
               Diagnostics& diagnostics, bool training = false) {
  if (!module) throw std::runtime_error(diagnostics.text(false));
  ElaborateRequest request{.entry = entry, .training = training};
  for (const EntryInfo& each : entries(*module))
    if (entry.empty() || each.name == entry)
      for (const std::string& symbol : each.symbols)
        if (auto size = sizes.find(symbol); size != sizes.end()) request.sizes.insert(*size);
  std::optional<Elaborated> made = elaborate(*module, request, diagnostics);
  if (!made) throw std::runtime_error(diagnostics.text(false));
  return made->graph;
}

}  // namespace

CheckedGradient check_gradient(const std::vector<TestInput>& inputs, const std::function<ArrayRef(Arena&, const Inputs&)>& build) {
  auto arena = std::make_shared<Arena>();
  Inputs arrays;
  Ranges ranges;
  Graph plain{arena, "test"};
  for (const TestInput& each : inputs) {
    std::optional<Interval> range;
    if (each.limit) range = Interval{0, each.limit - 1};
    arrays[each.name] = input(*arena, each.name, each.shape, each.limit ? DType::i64 : DType::f64, range);
    ranges[each.name] = {each.low, each.high};
    plain.inputs.push_back({GraphInput::Role::data, arrays[each.name]});
  }
  plain.outputs.push_back({"y", build(*arena, arrays)});
  return check(plain, ranges);
}

CheckedGradient check_gradient(const Graph& graph) { return check(graph, {}); }

Graph graph_of_file(const std::string& path, const std::string& entry, const std::map<std::string, std::int64_t>& sizes) {
  Diagnostics diagnostics;
  return graph_of(load_module(std::string(HEED_SOURCE_DIR) + "/" + path, diagnostics), entry, sizes, diagnostics);
}

Graph graph_of_text(const std::string& text, const std::map<std::string, std::int64_t>& sizes, const std::string& entry, bool training) {
  Diagnostics diagnostics;
  return graph_of(parse_module("test.heed", text, diagnostics), entry, sizes, diagnostics, training);
}

int count_nodes(const Graph& graph, Op op) {
  int count = 0;
  for (ArrayRef array : all_arrays(outputs_of(graph)))
    if (array->kind == Array::Kind::definition)
      for (Expr node : nodes_of(array->body)) count += node->op == op;
  return count;
}

int count_reductions(const Graph& graph, Reduction reduction) {
  int count = 0;
  for (ArrayRef array : all_arrays(outputs_of(graph)))
    if (array->kind == Array::Kind::definition)
      for (Expr node : nodes_of(array->body)) count += node->op == Op::reduction && node->reduction == reduction;
  return count;
}

}  // namespace heed
