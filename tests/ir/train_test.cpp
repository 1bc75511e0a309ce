// Train blocks, settings of the command line, and the graph of a training step.
#include <gtest/gtest.h>

#include "ir/language/elaborate.h"

namespace heed {
namespace {

const std::string text = R"(
let folder = "data/x", width = 4, updates = 100
layer counted(n)(x: f32[B, n]) -> f32[B, n] {
  param scale: f32[n] = ones()
  state calls: i32 = 0
  calls := calls + 1
  return x * scale
}
model m(x: f32[B, width], label: i32[B]) -> (loss: f32, logits: f32[B, 3]) {
  param w: f32[width, 3] = normal(0, 0.1)
  layer c = counted(width)
  logits = c(x) @ w
  loss = mean(cross_entropy(logits, label))
  return loss, logits
}
train m {
  minimize loss
  optimizer sgd(lr = cosine(0.1, steps = updates), momentum = 0.9, clip = 1.0)
  data train = csv(folder, header = true, share = 0.5, parts = 3)
  data test = csv("other")
  batch 8
  steps updates
  seed 7
}
)";

std::shared_ptr<const Module> module_of(const std::string& source) {
  Diagnostics diagnostics;
  auto module = parse_module("nets/m.heed", source, diagnostics);
  EXPECT_TRUE(module) << diagnostics.text(false);
  return module;
}

TEST(Train, ReadsTheBlock) {
  Diagnostics diagnostics;
  auto block = train_block(*module_of(text), "", {}, diagnostics);
  ASSERT_TRUE(block) << diagnostics.text(false);
  EXPECT_EQ(block->model, "m");
  EXPECT_EQ(block->minimize, "loss");
  EXPECT_EQ(block->batch, 8);
  EXPECT_EQ(block->steps, 100);
  EXPECT_FALSE(block->epochs);
  EXPECT_EQ(block->seed, 7);
  ASSERT_TRUE(block->train && block->test);
  EXPECT_EQ(block->train->reader, "csv");
  EXPECT_EQ(block->train->folder, "nets/");
  ASSERT_EQ(block->train->arguments.size(), 4u);
  EXPECT_EQ(std::get<std::string>(block->train->arguments[0].second), "data/x");
  EXPECT_EQ(std::get<bool>(block->train->arguments[1].second), true);
  EXPECT_EQ(std::get<double>(block->train->arguments[2].second), 0.5);
  EXPECT_EQ(std::get<std::int64_t>(block->train->arguments[3].second), 3);
}

TEST(Train, TakesSettings) {
  Diagnostics diagnostics;
  auto module = module_of(text);
  auto block = train_block(*module, "", {{"folder", "/tmp/y"}, {"batch", "2"}, {"updates", "5"}, {"seed", "1"}}, diagnostics);
  ASSERT_TRUE(block) << diagnostics.text(false);
  EXPECT_EQ(block->train->folder, "");
  EXPECT_EQ(std::get<std::string>(block->train->arguments[0].second), "/tmp/y");
  EXPECT_EQ(block->test->folder, "nets/");
  EXPECT_EQ(block->batch, 2);
  EXPECT_EQ(block->steps, 5);
  EXPECT_EQ(block->seed, 1);
  EXPECT_FALSE(train_block(*module, "", {{"widht", "3"}}, diagnostics));
  EXPECT_NE(diagnostics.text(false).find("did you mean `width`?"), std::string::npos) << diagnostics.text(false);
}

TEST(Train, MakesAStep) {
  Diagnostics diagnostics;
  auto made = elaborate_training(*module_of(text), {.settings = {{"width", "6"}}}, diagnostics);
  ASSERT_TRUE(made) << diagnostics.text(false);
  EXPECT_TRUE(made->nominal.empty());
  std::vector<std::string> inputs, outputs;
  for (const GraphInput& input : made->graph.inputs) inputs.push_back(input.array->name);
  for (const GraphOutput& output : made->graph.outputs) outputs.push_back(output.name + (output.updates ? ":=" : ""));
  EXPECT_EQ(inputs, (std::vector<std::string>{"x", "label", "w", "c.scale", "c.calls", "w.m", "c.scale.m", "seed", "step"}));
  EXPECT_EQ(outputs, (std::vector<std::string>{"loss", "w:=", "c.scale:=", "c.calls:=", "w.m:=", "c.scale.m:="}));
  EXPECT_EQ(made->graph.inputs[0].array->shape, (std::vector<std::int64_t>{8, 6}));
  for (const GraphInput& input : made->graph.inputs) {
    bool owned = input.role == GraphInput::Role::parameter || input.role == GraphInput::Role::state;
    EXPECT_EQ(input.initial != nullptr, owned) << input.array->name;
    if (owned) EXPECT_EQ(input.initial->shape, input.array->shape);
  }
}

TEST(Train, EvaluatesWithoutUpdates) {
  Diagnostics diagnostics;
  auto made = elaborate(*module_of(text), {.sizes = {{"B", 3}}}, diagnostics);
  ASSERT_TRUE(made) << diagnostics.text(false);
  EXPECT_EQ(made->graph.outputs.size(), 3u);  // the state counts calls in evaluation, too
  EXPECT_EQ(made->graph.sizes, (std::vector<std::pair<std::string, std::int64_t>>{{"B", 3}}));
  EXPECT_FALSE(elaborate(*module_of(text), {.sizes = {{"Q", 3}}}, diagnostics));
  EXPECT_NE(diagnostics.text(false).find("`m` has no symbol `Q`"), std::string::npos) << diagnostics.text(false);
}

}  // namespace
}  // namespace heed
