// What parameters alone decide comes first and keeps its place; what a step updates, or data decides, does not.
#include "passes/hoist_invariants.h"

#include <gtest/gtest.h>

#include "ir/algebra.h"
#include "ir/language/elaborate.h"
#include "passes/fuse.h"
#include "passes/lifetimes.h"
#include "passes/pipeline.h"
#include "passes/plan_memory.h"

namespace heed {
namespace {

const std::string text =
    "import nn\n"
    "model f(x: f32[M, 96], label: i32[M]) -> (loss: f32, table: f32[96]) {\n"
    "  layer a = nn.linear(96, 200)\n  layer b = nn.linear(200, 50)\n  param g: f32[96]\n"
    "  return mean(cross_entropy(b(gelu(a(x * g))), label)), exp(g)\n}\n"
    "train f {\n  minimize loss\n  optimizer sgd(lr = 0.1)\n  data train = csv(\"none.csv\", label = \"label\")\n  batch 40\n  steps "
    "10\n}\n";

Graph graph_of(bool training) {
  Diagnostics diagnostics;
  auto module = parse_module("hoist.heed", text, diagnostics);
  EXPECT_TRUE(module) << diagnostics.text(false);
  const ElaborateRequest request{.sizes = {{"M", 40}}, .training = training};
  auto elaborated = training ? elaborate_training(*module, request, diagnostics) : elaborate(*module, request, diagnostics);
  if (!elaborated) throw std::runtime_error(diagnostics.text(false));
  return elaborated->graph;
}

TEST(HoistInvariants, WeightsAreRoundedOnce) {
  const Plan plan = make_plan(graph_of(false), {.precision = DType::bf16});
  ASSERT_GE(plan.invariant_steps, 1);
  ASSERT_NO_THROW(check_memory(plan));
  int rounded = 0;
  for (int step = 0; step < static_cast<int>(plan.steps.size()); ++step) {
    const bool is_first = step < plan.invariant_steps;
    for (ArrayRef array : stored_by(plan.steps[static_cast<std::size_t>(step)])) {
      EXPECT_EQ(plan.invariants.contains(array), is_first) << array->name;
      rounded += is_first && array->dtype == DType::bf16;
    }
    for (ArrayRef array : read_by(plan.steps[static_cast<std::size_t>(step)]))
      EXPECT_TRUE(!is_first || plan.invariants.contains(array)) << array->name;
  }
  EXPECT_EQ(rounded, 2);
  // No later step may take the place of what the next run needs.
  for (const Lifetime& life : lifetimes(plan))
    if (life.made < plan.invariant_steps) EXPECT_EQ(life.last_read, static_cast<int>(plan.steps.size()));
  // A result is made in each run: the caller may give it other memory.
  for (const GraphOutput& output : plan.graph.outputs) EXPECT_FALSE(plan.invariants.contains(output.array)) << output.name;
}

TEST(HoistInvariants, UpdatedParametersAreNone) {
  const Plan plan = make_plan(graph_of(true), {.precision = DType::bf16});
  EXPECT_EQ(plan.invariant_steps, 0);
  for (const GraphInput& input : plan.graph.inputs) EXPECT_FALSE(plan.invariants.contains(input.array)) << input.array->name;
}

// Memory that is asked for is not spent on what can be made again.
TEST(HoistInvariants, NotUnderALimitOnMemory) {
  const Plan plan = make_plan(graph_of(false), {.precision = DType::bf16, .memory = 1 << 30});
  EXPECT_EQ(plan.invariant_steps, 0);
  EXPECT_TRUE(plan.invariants.empty());
}

}  // namespace
}  // namespace heed
