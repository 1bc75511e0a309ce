// Whole model files, planned and compiled, against the evaluator.
#include <gtest/gtest.h>

#include "codegen/compile.h"
#include "ir/language/elaborate.h"
#include "passes/differentiate.h"
#include "passes/pipeline.h"
#include "tests/codegen/compiled.h"

namespace heed {
namespace {

std::shared_ptr<const Module> example(const std::string& file, Diagnostics& diagnostics) {
  return load_module(std::string(HEED_SOURCE_DIR) + "/examples/" + file, diagnostics);
}

Graph training_step(std::shared_ptr<const Module> module, Diagnostics& diagnostics, const Settings& settings, const Sizes& sizes) {
  EXPECT_TRUE(module) << diagnostics.text(false);
  ElaborateRequest request{.settings = settings, .sizes = sizes, .training = true};
  auto elaborated = elaborate_training(*module, request, diagnostics);
  if (!elaborated) throw std::runtime_error(diagnostics.text(false));
  return elaborated->graph;
}

void check(const Graph& graph, double tolerance) {
  std::map<std::string, Tensor> inputs = inputs_for(graph, 1);
  for (const GraphInput& input : graph.inputs)  // parameters small, second moments positive, as they are in training
    if (is_floating(input.array->dtype) && input.role != GraphInput::Role::data) {
      Tensor& tensor = inputs.at(input.array->name);
      bool state = input.role == GraphInput::Role::state;
      for (std::int64_t k = 0; k < tensor.count(); ++k) tensor.set(k, state ? 0.1 + 0.01 * tensor.real(k) : 0.1 * tensor.real(k));
    } else if (input.role == GraphInput::Role::step) {
      inputs.at(input.array->name).set(0, std::int64_t{3});
    }
  expect_as_evaluated(make_plan(graph), differentiate(graph), inputs, tolerance);
}

Graph training_step(const std::string& file, const Settings& settings, const Sizes& sizes) {
  Diagnostics diagnostics;
  return training_step(example(file, diagnostics), diagnostics, settings, sizes);
}

// A model of these lines, trained by momentum.
Graph small_model(const std::string& head, const std::string& body, const Sizes& sizes) {
  Diagnostics diagnostics;
  std::string text = "import nn\nmodel small(" + head + ") -> (loss: f32) {\n" + body +
                     "\n  return loss\n}\ntrain small {\n  minimize loss\n  optimizer sgd(lr = 0.1, momentum = 0.9)\n  data train = "
                     "csv(\"none.csv\")\n  batch 4\n  steps 10\n}\n";
  return training_step(parse_module("small.heed", text, diagnostics), diagnostics, {}, sizes);
}

TEST(Networks, Gpt) {
  check(training_step("gpt.heed", {{"width", "32"}, {"heads", "2"}, {"depth", "2"}, {"context", "16"}, {"vocab", "37"}},
                      {{"B", 3}, {"T", 16}}),
        2e-4);
}

struct Small {
  const char *name, *head, *body;
  Sizes sizes;
};

void PrintTo(const Small& small, std::ostream* out) { *out << small.name; }

class Layers : public testing::TestWithParam<Small> {};
TEST_P(Layers, Train) { check(small_model(GetParam().head, GetParam().body, GetParam().sizes), 3e-4); }

constexpr const char* image = "x: f32[B, 6, 9, 11]";
INSTANTIATE_TEST_SUITE_P(
    Networks, Layers,
    testing::Values(
        Small{"lstm",
              "x: f32[B, T, 5]",
              "  layer rnn = nn.lstm(5, 7)\n  y, h, c = rnn(x)\n  loss = mean(y * y) + mean(h) + mean(c)",
              {{"B", 3}, {"T", 6}}},
        Small{"gru", "x: f32[B, T, 5]", "  layer rnn = nn.gru(5, 7)\n  y, h = rnn(x)\n  loss = mean(y * y)", {{"B", 3}, {"T", 6}}},
        Small{"two_lstms",
              "x: f32[B, T, 5]",
              "  layer a = nn.lstm(5, 7)\n  layer b = nn.gru(7, 4)\n  y, h, c = a(x)\n  z, s = b(y)\n  loss = mean(z * z)",
              {{"B", 2}, {"T", 5}}},
        Small{"nested_scan",
              "x: f32[T, S, B, 3]",
              "  param w: f32[3, 3] = uniform(-0.5, 0.5)\n  ys, h = scan(a in x, h = zeros([B, 3])) {\n    zs, g = scan(b in a, g = h) {\n"
              "      g = tanh(b @ w + g)\n      yield g * g\n    }\n    h = g + mean(zs, axis = 0)\n    yield zs\n  }\n  loss = mean(ys) + "
              "mean(h * h)",
              {{"B", 2}, {"T", 3}, {"S", 4}}},
        Small{"conv", image, "  layer c = nn.conv2d(6, 8, kernel = 3, stride = 2, padding = 1)\n  loss = mean(gelu(c(x)))", {{"B", 2}}},
        Small{"conv_groups",
              image,
              "  layer c = nn.conv2d(6, 6, kernel = 3, dilation = 2, groups = 3)\n  y = c(x)\n  loss = mean(y * y)",
              {{"B", 2}}},
        Small{"pools",
              image,
              "  layer c = nn.conv2d(6, 4, kernel = 1)\n  y = nn.max_pool2d(c(x), kernel = 3, stride = 2, padding = 1)\n  z = "
              "nn.avg_pool2d(y, kernel = 2)\n  loss = mean(z * z)",
              {{"B", 2}}},
        Small{"group_norm", image, "  layer n = nn.group_norm(2, 6)\n  y = n(x)\n  loss = mean(y * y * x)", {{"B", 3}}},
        Small{"batch_norm", image, "  layer n = nn.batch_norm(6)\n  y = n(x)\n  loss = mean(y * y * x)", {{"B", 3}}},
        Small{"mlp_dropout",
              "x: f32[B, 20], label: i32[B]",
              "  layer a = nn.linear(20, 33)\n  layer b = nn.linear(33, 7)\n  loss = mean(cross_entropy(b(dropout(relu(a(x)), rate = "
              "0.3)), label))",
              {{"B", 9}}},
        Small{"encoder",
              "x: f32[B, T, 12]",
              "  layer e = nn.encoder_block(12, 3, causal = true)\n  y = e(x)\n  loss = mean(y * y)",
              {{"B", 2}, {"T", 7}}},
        Small{"embedding",
              "ids: i32[B, T]",
              "  layer e = nn.embedding(11, 18)\n  y = e(ids)\n  loss = mean(softmax(y, axis = 1) * y)",
              {{"B", 3}, {"T", 8}}}),
    [](const auto& info) { return info.param.name; });

TEST(Networks, AttentionCnn) { check(training_step("attention_cnn.heed", {}, {{"B", 1}}), 2e-4); }

}  // namespace
}  // namespace heed
