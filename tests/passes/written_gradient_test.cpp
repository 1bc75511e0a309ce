// Gradients of what is written in the language: the samples' attentions, and the corners of `grad`.
#include <gtest/gtest.h>

#include "gradient_check.h"
#include "input_error.h"
#include "ir/evaluate.h"
#include "passes/differentiate.h"
#include "passes/with_gradients.h"

namespace heed {
namespace {

const std::map<std::string, std::int64_t> sizes{{"B", 2}, {"H", 3}, {"Q", 5}, {"K", 4}, {"T", 5}, {"E", 4}, {"D", 6}, {"G", 2}, {"R", 2}};

class Attention : public testing::TestWithParam<const char*> {};
TEST_P(Attention, HasItsGradients) { check_gradient(graph_of_file("examples/attention_variants.heed", GetParam(), sizes)); }
INSTANTIATE_TEST_SUITE_P(Variants, Attention,
                         testing::Values("plain", "causal", "sliding_window", "alibi", "pair_bias", "softcap", "documents", "with_dropout",
                                         "sink", "sigmoid_attention", "over_queries", "by_sum", "cosine", "additive", "grouped", "by_hand"),
                         [](const auto& info) { return std::string(info.param); });

// The gradient of what is hard is that of its soft stand-in.
TEST(Grad, StraightThroughIsThatOfTheSecond) {
  auto gradients = [](const std::string& body) {
    const Graph graph = differentiate(
        with_gradients(graph_of_text("fn f(q: f32[4, 3], k: f32[5, 3]) -> f32[4, 5] {\n  s = q @ transpose(k)\n" + body + "}\n")));
    std::map<std::string, Tensor> data;
    for (const GraphInput& each : graph.inputs) {
      Tensor& tensor = data[each.array->name] = Tensor(DType::f64, each.array->shape);
      for (std::int64_t k = 0; k < tensor.count(); ++k) tensor.set(k, 0.3 * static_cast<double>(k * k % 7) - 0.8);
    }
    std::vector<Tensor> results = evaluate(graph, data, {EvaluateOptions::Precision::f64});
    return std::pair(results[1].bytes, results[2].bytes);
  };
  EXPECT_EQ(gradients("  return straight_through(one_hot(argmax(s, axis = -1), 5), softmax(s) * s)\n"),
            gradients("  return softmax(s) * s\n"));
}

TEST(Grad, ByViewsIsRefused) {
  const Graph graph =
      graph_of_text("fn f(w: f32[3, 4]) -> f32[4, 3] {\n  x = transpose(w)\n  loss = sum(x * x)\n  return grad(loss, x)\n}\n");
  try {
    differentiate(graph);
    FAIL() << "no error";
  } catch (const InputError& error) {
    EXPECT_NE(std::string(error.what()).find("take it by `w`"), std::string::npos) << error.what();
  }
}

TEST(Grad, ByValuesOnTheWay) {
  check_gradient(
      graph_of_text("fn f(w: f32[3, 4]) -> (g: f32[3, 4], h: f32[3, 4]) {\n  x = tanh(w)\n  loss = sum(x * x * w)\n  g, h = grad(loss, [x, "
                    "w])\n  return g, h\n}\n"));
}

TEST(Grad, OfStoredTypesAndSmallSizes) {
  const std::string text = "fn f(x: f16[N, M], w: f32[M, 3]) -> f32[N, 3] {\n  return tanh(f32(x)) @ w + f32(f16(sum(w)))\n}\n";
  for (std::int64_t rows : {0, 1, 3})
    for (std::int64_t columns : {0, 1, 4}) check_gradient(graph_of_text(text, {{"N", rows}, {"M", columns}}));
}

TEST(Grad, OfRecurrences) {
  check_gradient(graph_of_text(R"(fn f(xs: f32[T, B, 3], w: f32[3, 4], u: f32[4, 4]) -> (hs: f32[T, B, 4], last: f32[B, 4]) {
  hs, last = scan(x in xs, h = zeros([B, 4])) {
    h = tanh(x @ w + h @ u)
    yield h
  }
  return hs, last
}
)",
                               {{"T", 4}, {"B", 2}}));
}

}  // namespace
}  // namespace heed
