// Evaluates graphs before and after passes.
#include "gradient_check.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "ir/algebra.h"
#include "ir/evaluate.h"
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

Tensor random_tensor(const TestInput& input, std::mt19937& random) {
  Tensor tensor(input.limit ? DType::i64 : DType::f64, input.shape);
  for (std::int64_t k = 0; k < tensor.count(); ++k) {
    if (input.limit)
      tensor.set(k, static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(input.limit)));
    else
      tensor.set(k, std::uniform_real_distribution<double>(input.low, input.high)(random));
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

}  // namespace

CheckedGradient check_gradient(const std::vector<TestInput>& inputs, const std::function<ArrayRef(Arena&, const Inputs&)>& build) {
  auto arena = std::make_shared<Arena>();
  Inputs arrays;
  Graph plain{arena, "test"};
  for (const TestInput& each : inputs) {
    std::optional<Interval> range;
    if (each.limit) range = Interval{0, each.limit - 1};
    arrays[each.name] = input(*arena, each.name, each.shape, each.limit ? DType::i64 : DType::f64, range);
    plain.inputs.push_back({GraphInput::Role::data, arrays[each.name]});
  }
  ArrayRef y = build(*arena, arrays);
  plain.outputs.push_back({"y", y});
  const Graph with = with_gradients(plain, true);
  const Graph direct = differentiate(with);
  const Graph prepared = name_sums(open_single_uses(with));
  const Graph expanded = erase_stop_gradient(differentiate(prepared));
  const Graph finished = name_sums(open_single_uses(name_sums(expanded)));

  std::mt19937 random(7);
  Data data;
  for (const TestInput& each : inputs) data[each.name] = random_tensor(each, random);
  Tensor& cotangent = data["cotangent.y"] = Tensor(y->dtype, y->shape);
  for (std::int64_t k = 0; k < cotangent.count(); ++k) cotangent.set(k, std::cos(static_cast<double>(k)));
  const Values weights = values_of(cotangent);
  const Graph forward = differentiate(plain);
  Data known = data;
  known.erase("cotangent.y");
  const Values value = results_of(forward, known)[0];
  const auto first = results_of(direct, data);
  expect_near(first[0], value, "value");
  const Graph* later[] = {&expanded, &finished};
  for (const Graph* graph : later) {
    const auto results = results_of(*graph, data);
    for (std::size_t k = 0; k < results.size(); ++k) expect_near(results[k], first[k], graph->outputs[k].name);
  }
  auto loss = [&](const Data& changed) { return dot(results_of(forward, changed)[0], weights); };
  for (std::size_t k = 1; k < direct.outputs.size(); ++k) {
    const std::string name = direct.outputs[k].name.substr(5);
    const auto count = static_cast<std::size_t>(data[name].count());
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
      EXPECT_NEAR(derived, slope, 1e-6 * (1 + std::abs(slope))) << "gradient of " << name << " in direction " << trial;
    }
  }
  return {with, finished};
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
