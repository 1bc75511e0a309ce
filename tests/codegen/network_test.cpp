// Whole model files, planned and compiled, against the evaluator.
#include <gtest/gtest.h>

#include "codegen/compile.h"
#include "ir/language/elaborate.h"
#include "passes/differentiate.h"
#include "passes/pipeline.h"
#include "tests/codegen/compiled.h"

namespace heed {
namespace {

Graph training_step(const std::string& file, const Settings& settings, const Sizes& sizes) {
  Diagnostics diagnostics;
  auto module = load_module(std::string(HEED_SOURCE_DIR) + "/examples/" + file, diagnostics);
  EXPECT_TRUE(module) << diagnostics.text(false);
  ElaborateRequest request{.settings = settings, .sizes = sizes, .training = true};
  auto elaborated = elaborate_training(*module, request, diagnostics);
  EXPECT_TRUE(elaborated) << diagnostics.text(false);
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

TEST(Networks, Gpt) {
  check(training_step("gpt.heed", {{"width", "32"}, {"heads", "2"}, {"depth", "2"}, {"context", "16"}, {"vocab", "37"}},
                      {{"B", 3}, {"T", 16}}),
        2e-4);
}

TEST(Networks, AttentionCnn) { check(training_step("attention_cnn.heed", {}, {{"B", 1}}), 2e-4); }

}  // namespace
}  // namespace heed
