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

TEST(Grad, OfGradients) {
  const char* texts[] = {
      "fn attention(q: f32[4, 3], k: f32[4, 3], v: f32[4, 2]) -> f32[4, 3] {\n  s = where(iota(4)[:, None] >= iota(4)[None, :], q @ "
      "transpose(k), -inf)\n"
      "  return grad(sum(grad(sum(softmax(s) @ v), q) ** 2), k)\n}\n",
      "fn norm(x: f32[4, 5], w: f32[5]) -> f32[4, 5] {\n  return grad(sum(grad(sum((layer_norm(x, eps = 0.1) * w) ** 2), x) ** 2), x)\n}\n",
      "import nn\nfn window(x: f32[1, 2, 6, 6], w: f32[3, 2, 3, 3]) -> f32[3, 2, 3, 3] {\n"
      "  y[b, o, r: 3, c: 3] = sum[n, u, v](where(0 <= 2 * r + u - 1 and 0 <= 2 * c + v - 1, x[b, n, 2 * r + u - 1, 2 * c + v - 1], 0) * "
      "w[o, n, u, v])\n"
      "  return grad(sum(grad(sum(nn.max_pool2d(tanh(y), 2, stride = 1) ** 2), x) ** 2), w)\n}\n",
      "fn rows(table: f32[5, 3], ids: i32[4]) -> f32[5, 3] {\n  return grad(sum(grad(sum(gather(table, ids) ** 3), table) ** 2), "
      "table)\n}\n",
      "fn products(x: f32[3, 4]) -> f32[3, 4] {\n  return grad(sum(grad(sum(prod(x, axis = -1)), x) ** 2), x)\n}\n",
      "fn recurrence(xs: f32[3, 2, 3], w: f32[3, 3]) -> f32[3, 3] {\n  hs, last = scan(x in xs, h = zeros([2, 3])) {\n    h = tanh(x + h @ "
      "w)\n    yield h * h\n  }\n"
      "  return grad(sum(grad(sum(hs) + sum(last), xs) ** 2), w)\n}\n",
  };
  for (const char* text : texts) check_gradient(graph_of_text(text));
}

TEST(Grad, OfScansOfAnyLength) {
  for (std::int64_t length : {0, 1, 3})
    check_gradient(graph_of_text(
        "fn f(xs: f32[T, 2, 3], w: f32[3, 3]) -> (y: f32[2, 3], z: f32[T, 2, 3]) {\n"
        "  hs, last, rest = scan(x in xs, h = ones([2, 3]), c = w) {\n    h = tanh(x + h @ c)\n    c = c * 0.5\n    yield h * h\n  }\n"
        "  return last, hs\n}\n",
        {{"T", length}}));
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
