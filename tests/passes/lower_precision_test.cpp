// A training step in bf16: what is rounded, what is not, and how often.
#include "passes/lower_precision.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "ir/algebra.h"
#include "networks.h"
#include "passes/explain.h"
#include "passes/kind.h"
#include "passes/pipeline.h"

namespace heed {
namespace {

bool is_bf16(Expr factor) {
  if (factor->op == Op::select) return is_bf16(factor->operands[1]) && is_bf16(factor->operands[2]);
  if (factor->op == Op::cast) return factor->to == DType::bf16;
  return factor->op == Op::constant || (factor->op == Op::read && factor->array->dtype == DType::bf16);
}

Graph training_in_bf16() { return run_passes(gpt_training({.layers = 2}), {.precision = DType::bf16}); }

TEST(LowerPrecision, FactorsAreRoundedAndSumsAreNot) {
  const Graph graph = training_in_bf16();
  int products = 0;
  for (ArrayRef array : in_order(graph)) {
    if (array->kind != Array::Kind::definition) continue;
    const Kind kind = kind_of(array);
    if (kind == Kind::reduction || kind == Kind::scatter) EXPECT_EQ(array->dtype, compute_type(array->dtype)) << array->name;
    if (kind != Kind::product) continue;
    ++products;
    const ProductForm form = *product_form_of(array);
    EXPECT_EQ(form.sum->dtype, DType::f32);
    EXPECT_TRUE(is_bf16(form.a) && is_bf16(form.b)) << array->name;
  }
  EXPECT_GT(products, 30);
}

TEST(LowerPrecision, ParametersHaveOneCopyAndUpdatesKeepTheirType) {
  const Graph graph = training_in_bf16();
  std::map<ArrayRef, int> copies;
  for (ArrayRef array : in_order(graph))
    if (array->dtype == DType::bf16 && array->body->op == Op::read && array->reads[0]->kind == Array::Kind::input)
      ++copies[array->reads[0]];
  EXPECT_GE(copies.size(), 8U);
  for (const auto& [input, count] : copies) EXPECT_EQ(count, 1) << input->name;
  // From each update back through all that is elementwise, down to sums.
  std::vector<ArrayRef> open;
  for (const GraphOutput& output : graph.outputs) {
    EXPECT_NE(output.array->dtype, DType::bf16) << output.name;
    if (output.updates) open.push_back(output.array);
  }
  EXPECT_GT(open.size(), 30U);
  while (!open.empty()) {
    ArrayRef array = open.back();
    open.pop_back();
    EXPECT_NE(array->dtype, DType::bf16) << array->name;
    if (array->kind == Array::Kind::definition && kind_of(array) == Kind::map)
      for (ArrayRef read : reads_of(array)) open.push_back(read);
  }
}

TEST(LowerPrecision, StoresLessAndRunsTheSameRegionsInBlocks) {
  const Graph graph = gpt_training({.batch = 2, .context = 256, .width = 128, .heads = 2});
  const Explanation wide = explain(make_plan(graph)), narrow = explain(make_plan(graph, {.precision = DType::bf16}));
  EXPECT_LT(static_cast<double>(narrow.stored_bytes), 0.75 * static_cast<double>(wide.stored_bytes));
  auto blocks = [](const Explanation& explanation) { return std::ranges::count(explanation.regions, "blocks", &RegionRow::kernel); };
  EXPECT_GT(blocks(wide), 0);
  EXPECT_EQ(blocks(narrow), blocks(wide));
}

TEST(LowerPrecision, OnceIsEnough) {
  const Graph once = training_in_bf16(), twice = lower_precision(once, DType::bf16);
  for (std::size_t k = 0; k < once.outputs.size(); ++k) EXPECT_EQ(once.outputs[k].array, twice.outputs[k].array) << once.outputs[k].name;
}

TEST(LowerPrecision, IsNotDoneUnasked) {
  const Graph graph = run_passes(gpt_training({.layers = 1}));
  for (ArrayRef array : in_order(graph)) EXPECT_NE(array->dtype, DType::bf16);
}

}  // namespace
}  // namespace heed
