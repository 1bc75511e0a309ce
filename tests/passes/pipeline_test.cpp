// Every pass keeps what a program means: whole training steps, evaluated in f64 after each of them.
#include "passes/pipeline.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "input_error.h"
#include "ir/evaluate.h"
#include "ir/verify.h"
#include "networks.h"
#include "notation.h"
#include "passes/explain.h"
#include "passes/plan_memory.h"
#include "passes/with_gradients.h"

namespace heed {
namespace {

std::map<std::string, Tensor> random_inputs(const Graph& graph) {
  std::mt19937 random(7);
  std::map<std::string, Tensor> inputs;
  for (const GraphInput& input : graph.inputs) {
    bool is_whole = is_integer(input.array->dtype);
    Tensor tensor(is_whole ? input.array->dtype : DType::f64, input.array->shape);
    for (std::int64_t k = 0; k < tensor.count(); ++k) {
      if (is_whole)
        tensor.set(k, static_cast<std::int64_t>(input.array->range ? random() % static_cast<unsigned>(input.array->range->high + 1) : 3));
      else  // Moments are not negative.
        tensor.set(k, std::uniform_real_distribution<double>(input.role == GraphInput::Role::state ? 0.1 : -1, 1)(random));
    }
    inputs[input.array->name] = std::move(tensor);
  }
  return inputs;
}

void expect_same_after_each_pass(const Graph& graph) {
  std::map<std::string, Tensor> inputs = random_inputs(graph);
  std::vector<Tensor> expected;
  bool differentiated = false;
  PipelineOptions options;
  options.watch = [&](int, std::string_view name, const Graph& now) {
    verify(now, name);
    differentiated |= name == "differentiate";
    if (!differentiated) return;
    std::vector<Tensor> results = evaluate(now, inputs, {EvaluateOptions::Precision::f64});
    if (expected.empty()) expected = results;
    for (std::size_t k = 0; k < results.size(); ++k)
      for (std::int64_t at = 0; at < results[k].count(); ++at)
        if (!std::isnan(results[k].real(at)) || !std::isnan(expected[k].real(at)))  // A mean over nothing.
          ASSERT_NEAR(results[k].real(at), expected[k].real(at), 1e-9 * (1 + std::abs(expected[k].real(at))))
              << "after " << name << ": " << now.outputs[k].name << " at " << at;
  };
  run_passes(graph, options);
  EXPECT_FALSE(expected.empty());
}

TEST(Pipeline, KeepsAGptTrainingStep) {
  expect_same_after_each_pass(gpt_training({.batch = 2, .context = 6, .width = 8, .heads = 2, .vocabulary = 11}));
}

TEST(Pipeline, KeepsAnAttentionCnnTrainingStep) {
  expect_same_after_each_pass(attention_cnn_training({.batch = 2, .side = 5, .channels = 4, .inner = 6}));
}

TEST(Pipeline, KeepsSumsUnderGuards) {
  auto arena = std::make_shared<Arena>();
  ArrayRef x = input(*arena, "x", {4, 12}, DType::f32), w = input(*arena, "w", {12, 6}, DType::f32);
  // A product of a part, set between others: what is outside of it must not be made.
  ArrayRef y = linear_layer(x, w);
  ArrayRef set = concat({slice(x, 0, 3), y, slice(x, 5, 2)});
  ArrayRef gated = array(*arena, {4, 24}, [&](Indices p) {
    Expr part = summed(*arena, {12}, [&](Indices k) { return multiply(at(x, {p[0], k[0]}), at(w, {k[0], remainder(p[1], 6)})); });
    return select(at_least(floor_divide(p[1], 6), integer(*arena, 2)), add(part, exponential(part)), number(part, 0));
  });
  expect_same_after_each_pass({.arena = arena,
                               .name = "guards",
                               .is_function = true,
                               .inputs = {{GraphInput::Role::data, x}, {GraphInput::Role::data, w}},
                               .outputs = {{"set", set}, {"gated", gated}}});
}

TEST(Pipeline, KeepsEmptyAndSingleSizes) {
  for (std::int64_t rows : {0, 1, 3})
    for (std::int64_t columns : {1, 2}) {
      auto arena = std::make_shared<Arena>();
      ArrayRef x = input(*arena, "x", {rows, columns}, DType::f32), w = input(*arena, "w", {columns, 4}, DType::f32),
               b = input(*arena, "b", {4}, DType::f32);
      ArrayRef y = gelu(linear_layer(x, w, b));
      Graph graph{.arena = arena, .name = "small", .is_function = true};
      for (ArrayRef array : {x, w, b}) graph.inputs.push_back({GraphInput::Role::data, array});
      graph.outputs = {{"softmax", softmax(y, 1)}, {"total", mean_of_all(square(y))}, {"y", y}};
      Plan plan = make_plan(graph);
      check_memory(plan);
      EXPECT_EQ(explain(plan).regions.size(), plan.steps.size());
      expect_same_after_each_pass(with_gradients(graph));
    }
}

TEST(Pipeline, ExactKeepsTheOrderOfProducts) {
  auto arena = std::make_shared<Arena>();
  ArrayRef a = input(*arena, "a", {40, 40}, DType::f32), b = input(*arena, "b", {40, 40}, DType::f32),
           x = input(*arena, "x", {40, 1}, DType::f32);
  Graph graph{.arena = arena, .name = "chain", .is_function = true};
  for (ArrayRef each : {a, b, x}) graph.inputs.push_back({GraphInput::Role::data, each});
  graph.outputs = {{"y", matrix_product(matrix_product(a, b), x)}};
  auto largest = [&](PipelineOptions options) {
    std::int64_t count = 0;
    for (ArrayRef array : in_order(run_passes(graph, options)))
      if (array->kind != Array::Kind::input) count = std::max(count, element_count(array));
    return count;
  };
  EXPECT_EQ(largest({}), 40);
  EXPECT_EQ(largest({.exact = true}), 1600);
  EXPECT_EQ(largest({.to = "order_products", .exact = true}), 1600);  // A pass that is left out can still be named.
}

TEST(Pipeline, NamesItsPasses) {
  EXPECT_EQ(pass_names().back().first, "plan_memory");
  Graph graph = gpt_forward({.layers = 1});
  std::vector<std::string> seen;
  PipelineOptions options{.to = "name_sums"};
  options.watch = [&](int number, std::string_view name, const Graph&) {
    seen.push_back(std::to_string(number) + " " + std::string(name));
  };
  run_passes(graph, options);
  EXPECT_EQ(seen, (std::vector<std::string>{"0 input", "1 open_single_uses", "2 open_shifts", "3 sharpen_masks", "4 name_sums"}));
  EXPECT_THROW(run_passes(graph, {.to = "no_such_pass"}), InputError);
}

}  // namespace
}  // namespace heed
