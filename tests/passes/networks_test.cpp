// Whole networks: a GPT with a tied table and the attention CNN, every gradient, and what their graphs must look like.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "gradient_check.h"
#include "notation.h"
#include "passes/rewrite.h"

namespace heed {
namespace {

ArrayRef causal(ArrayRef scores) {
  return array(*scores->arena, scores->shape, [&](Indices i) {
    return select(at_least(i[2], i[3]), at(scores, i), real(*scores->arena, -std::numeric_limits<double>::infinity(), scores->dtype));
  });
}

ArrayRef attention(ArrayRef x, const Inputs& in, const std::string& path, std::int64_t heads, bool is_causal) {
  Arena& arena = *x->arena;
  const std::int64_t width = x->shape[2], size = width / heads;
  ArrayRef qkv = linear_layer(x, in.at(path + "qkv.weight"), in.at(path + "qkv.bias"));
  ArrayRef q = split_heads(slice(qkv, 0, width), heads), k = split_heads(slice(qkv, width, width), heads),
           v = split_heads(slice(qkv, 2 * width, width), heads);
  ArrayRef scores = array(arena, {x->shape[0], heads, x->shape[1], x->shape[1]}, [&](Indices i) {
    Expr product =
        summed(arena, {size}, [&](Indices e) { return multiply(at(q, {i[0], i[1], i[2], e[0]}), at(k, {i[0], i[1], i[3], e[0]})); });
    return scale(1 / std::sqrt(static_cast<double>(size)), product);
  });
  ArrayRef o = matrix_product(softmax(is_causal ? causal(scores) : scores, 3), v);
  return linear_layer(merge_heads(o), in.at(path + "out.weight"), in.at(path + "out.bias"));
}

ArrayRef sum_of(ArrayRef a, ArrayRef b) {
  return mapped({a, b}, [](std::vector<Expr> v) { return add(v[0], v[1]); });
}

std::vector<TestInput> gpt_inputs(std::int64_t batch, std::int64_t length, std::int64_t width, std::int64_t vocabulary, int layers) {
  std::vector<TestInput> inputs{{"tokens", {batch, length}, vocabulary},
                                {"next", {batch, length}, vocabulary},
                                {"wte", {vocabulary, width}},
                                {"wpe", {length, width}}};
  auto norm = [&](const std::string& path) {
    inputs.push_back({path + ".weight", {width}, 0, 0.8, 1.2});
    inputs.push_back({path + ".bias", {width}});
  };
  auto linear = [&](const std::string& path, std::int64_t in, std::int64_t out) {
    inputs.push_back({path + ".weight", {in, out}, 0, -0.5, 0.5});
    inputs.push_back({path + ".bias", {out}});
  };
  for (int layer = 0; layer < layers; ++layer) {
    const std::string path = "h." + std::to_string(layer) + ".";
    norm(path + "ln_1");
    norm(path + "ln_2");
    linear(path + "qkv", width, 3 * width);
    linear(path + "out", width, width);
    linear(path + "fc", width, 4 * width);
    linear(path + "proj", 4 * width, width);
  }
  norm("ln_f");
  return inputs;
}

ArrayRef gpt(const Inputs& in, int layers, std::int64_t heads) {
  ArrayRef rows = embedding(in.at("wte"), in.at("tokens"));
  ArrayRef x = array(*rows->arena, rows->shape, [&](Indices i) { return add(at(rows, i), at(in.at("wpe"), {i[1], i[2]})); });
  auto norm = [&](const std::string& path) { return layer_norm(x, in.at(path + ".weight"), in.at(path + ".bias")); };
  for (int layer = 0; layer < layers; ++layer) {
    const std::string path = "h." + std::to_string(layer) + ".";
    x = sum_of(x, attention(norm(path + "ln_1"), in, path, heads, true));
    ArrayRef hidden = gelu(linear_layer(norm(path + "ln_2"), in.at(path + "fc.weight"), in.at(path + "fc.bias")));
    x = sum_of(x, linear_layer(hidden, in.at(path + "proj.weight"), in.at(path + "proj.bias")));
  }
  ArrayRef logits = linear_layer(norm("ln_f"), transpose(in.at("wte"), {1, 0}));
  return mean_of_all(cross_entropy(logits, in.at("next")));
}

// Definitions with a data-dependent guard in a sum: what a scatter kernel makes.
int count_scatters(const Graph& graph) {
  int count = 0;
  for (ArrayRef array : all_arrays(outputs_of(graph))) {
    if (array->kind != Array::Kind::definition || array->body->op != Op::reduction) continue;
    Expr body = array->body->operands[0];
    if (body->op != Op::select || body->operands[0]->op != Op::is_zero) continue;
    count += std::ranges::any_of(nodes_of(body->operands[0]), [](Expr node) { return node->op == Op::read; });
  }
  return count;
}

TEST(Networks, Gpt) {
  const CheckedGradient made = check_gradient(gpt_inputs(2, 6, 8, 11, 2), [](Arena&, const Inputs& in) { return gpt(in, 2, 2); });
  EXPECT_EQ(count_reductions(made.finished, Reduction::argmax), 0) << "shifts of softmax have no gradient";
  EXPECT_EQ(count_scatters(made.finished), 1) << "of the table by tokens";
}

TEST(Networks, AttentionCnn) {
  const std::int64_t batch = 2, side = 4, channels = 5, width = 6;
  std::vector<TestInput> inputs{
      {"image", {batch, 3, side, side}}, {"label", {batch}, 10}, {"conv.weight", {channels, 3, 3, 3}}, {"conv.bias", {channels}}};
  for (auto [name, in, out] : {std::tuple{"q", channels, width},
                               {"k", channels, width},
                               {"v", channels, width},
                               {"o", width, channels},
                               {"head", channels, std::int64_t{10}}}) {
    inputs.push_back({name + std::string(".weight"), {in, out}});
    inputs.push_back({name + std::string(".bias"), {out}});
  }
  const CheckedGradient made = check_gradient(inputs, [&](Arena& arena, const Inputs& in) {
    auto layer = [&](const std::string& name, ArrayRef x) { return linear_layer(x, in.at(name + ".weight"), in.at(name + ".bias")); };
    ArrayRef features = relu(convolution(in.at("image"), in.at("conv.weight"), in.at("conv.bias"), {.padding = 1}));
    ArrayRef x = array(arena, {batch, side * side, channels},
                       [&](Indices i) { return at(features, {i[0], i[2], floor_divide(i[1], side), remainder(i[1], side)}); });
    ArrayRef q = layer("q", x), k = layer("k", x), v = layer("v", x);
    ArrayRef scores = matrix_product(q, transpose(k, {0, 2, 1}));
    ArrayRef mixed = layer("o", matrix_product(softmax(scores, 1), v));
    ArrayRef y = relu(sum_of(x, mixed));
    ArrayRef mean = array(arena, {batch, channels}, [&](Indices i) {
      return scale(1.0 / (side * side), summed(arena, {side * side}, [&](Indices n) { return at(y, {i[0], n[0], i[1]}); }));
    });
    return mean_of_all(cross_entropy(layer("head", mean), in.at("label")));
  });
  EXPECT_EQ(count_reductions(made.finished, Reduction::argmax), 0);
}

}  // namespace
}  // namespace heed
