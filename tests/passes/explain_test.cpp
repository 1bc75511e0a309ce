// What people are told of regions in blocks: labels, masks in words, blocks counted.
#include "passes/explain.h"

#include <gtest/gtest.h>

#include <map>
#include <sstream>

#include "gradient_check.h"
#include "notation.h"
#include "passes/describe_blocks.h"
#include "passes/pipeline.h"
#include "passes/with_gradients.h"

namespace heed {
namespace {

constexpr const char* qkv = "(q: f32[B, H, T, E], k: f32[B, H, T, E], v: f32[B, H, T, D]) -> f32[B, H, T, D] {\n";
const std::map<std::string, std::int64_t> sizes{{"B", 1}, {"H", 2}, {"T", 512}, {"E", 32}, {"D", 32}};

// The only region in blocks of a program.
RegionRow blocks_of(const Graph& graph) {
  Explanation explanation = explain(make_plan(graph));
  RegionRow found;
  int count = 0;
  for (const RegionRow& row : explanation.regions)
    if (row.kernel == "blocks") found = row, ++count;
  EXPECT_EQ(count, 1) << text_of(explanation);
  return found;
}

Graph attention(const std::string& mask) {
  return graph_of_text(std::string("fn f") + qkv + "  i = iota(T)[:, None]\n  j = iota(T)[None, :]\n" +
                           "  s = q @ transpose(k) / sqrt(E)\n  return softmax(" + (mask.empty() ? "s" : "where(" + mask + ", s, -inf)") +
                           ", axis = -1) @ v\n}\n",
                       sizes, "f");
}

TEST(ExplainBlocks, MasksAreSaidInWords) {
  const std::pair<const char*, const char*> cases[] = {
      {"", "softmax over keys, one pass"},
      {"i >= j", "softmax over keys, causal, one pass"},
      {"not (j > i)", "softmax over keys, causal, one pass"},
      {"j < i", "softmax over keys, strictly causal, one pass"},
      {"j - 1 <= i", "softmax over keys, at most 1 ahead, one pass"},
      {"i - j < 128 and j <= i", "softmax over keys, causal, window of 128, one pass"},
      {"i - j <= 64 and j - i <= 64", "softmax over keys, at most 64 ahead, at most 64 back, one pass"},
      {"j >= i", "softmax over keys, at most 0 back, one pass"},
      {"j < 100 or j <= i", "softmax over keys, causal or the first 100 keys, one pass"},
      {"i // 64 == j // 64", "softmax over keys, within chunks of 64, one pass"},
  };
  for (const auto& [mask, label] : cases) EXPECT_EQ(blocks_of(attention(mask)).label, label) << mask;
}

TEST(ExplainBlocks, WhatIsNormalisedOverWhatIsToldByTheProducts) {
  auto label = [](const std::string& inputs, const std::string& body) {
    return blocks_of(graph_of_text("fn f(" + inputs + ") -> f32[B, H, T, D] {\n" + body + "}\n", sizes, "f")).label;
  };
  const std::string three = "q: f32[B, H, T, E], k: f32[B, H, T, E], v: f32[B, H, T, D]";
  EXPECT_EQ(label(three, "  return softmax(q @ transpose(k), axis = -2) @ v\n"), "softmax over queries, one pass");
  EXPECT_EQ(label(three, "  return transpose(softmax(k @ transpose(q), axis = -2)) @ v\n"), "softmax over keys, one pass");
  EXPECT_EQ(label(three, "  return sigmoid(q @ transpose(k)) @ v\n"), "sigmoid summed over keys, one pass");
  EXPECT_EQ(label(three, "  return softmax(20.0 * tanh(q @ transpose(k))) @ v\n"), "softmax over keys, tanh, one pass");
  EXPECT_EQ(label(three + ", table: f32[H, T, T]", "  return softmax(q @ transpose(k) + table) @ v\n"),
            "softmax over keys, plus table, one pass");
  EXPECT_EQ(label(three + ", doc: i32[B, T]",
                  "  same = doc[:, None, :, None] == doc[:, None, None, :]\n  return softmax(where(same, q @ transpose(k), -inf)) @ v\n"),
            "softmax over keys, the same doc, one pass");
  EXPECT_EQ(label(three + ", length: i32[B]",
                  "  seen = iota(T)[None, None, None, :] < length[:, None, None, None]\n"
                  "  return softmax(where(seen, q @ transpose(k), -inf)) @ v\n"),
            "softmax over keys, keys up to length, one pass");
}

TEST(ExplainBlocks, GradientsAreSaidToBe) {
  Explanation explanation = explain(make_plan(with_gradients(attention("j <= i"), true)));
  int forward_and_back = 0;
  for (const RegionRow& row : explanation.regions) forward_and_back += row.label.find("gradient, causal, one pass") != std::string::npos;
  EXPECT_EQ(forward_and_back, 1) << text_of(explanation);
}

TEST(ExplainBlocks, BlocksAreCounted) {
  RegionRow whole = blocks_of(attention("")), half = blocks_of(attention("j <= i")), narrow = blocks_of(attention("j <= i and i - j < 32"));
  EXPECT_EQ(whole.axes, "[H, T] x [T]");
  EXPECT_EQ(whole.products, 2);
  EXPECT_EQ(whole.passes, 1);
  EXPECT_EQ(whole.blocks_skipped, 0);
  EXPECT_EQ(whole.blocks % 2, 0);  // of both heads
  EXPECT_EQ(whole.bytes_written, 4 * 2 * 512 * 32);
  EXPECT_GT(whole.scratch_bytes, 4 * whole.block_rows * 512);
  for (const RegionRow& row : {half, narrow}) {
    const std::int64_t grid = 2 * (512 / row.block_rows) * (512 / row.block_columns);
    EXPECT_NEAR(static_cast<double>(row.blocks + row.blocks_skipped), static_cast<double>(grid), 0.05 * static_cast<double>(grid));
  }
  EXPECT_LT(half.flop, 0.8 * whole.flop);
  EXPECT_LT(narrow.flop, 0.5 * whole.flop);
  EXPECT_GT(narrow.blocks_skipped * 2, narrow.blocks + narrow.blocks_skipped);
}

TEST(ExplainBlocks, ReturnedWeightsAreSaidToBeReturned) {
  Graph graph = graph_of_text(
      "fn f(q: f32[B, H, T, E], k: f32[B, H, T, E], v: f32[B, H, T, D]) -> (y: f32[B, H, T, D], w: f32[B, H, T, T]) {\n"
      "  w = softmax(q @ transpose(k))\n  return w @ v, w\n}\n",
      sizes, "f");
  Explanation explanation = explain(make_plan(graph));
  ASSERT_FALSE(explanation.unfused.empty());
  EXPECT_NE(explanation.unfused[0].why.find("the model returns it"), std::string::npos) << explanation.unfused[0].why;
}

TEST(ExplainText, FitsTheWidthAndFoldsLayers) {
  Graph graph = graph_of_text(
      "import nn\nmodel m(x: f32[B, T, 64]) -> (y: f32[B, T, 64]) {\n  layer a.0 = nn.linear(64, 64)\n  layer a.1 = nn.linear(64, 64)\n"
      "  layer a.2 = nn.linear(64, 64)\n  return tanh(a.2(tanh(a.1(tanh(a.0(x))))))\n}\n",
      {{"B", 4}, {"T", 32}}, "m", true);
  std::string text = text_of(explain(make_plan(graph))), line;
  EXPECT_NE(text.find("  x3 product"), std::string::npos) << text;
  EXPECT_NE(text.find("[B, T, 64]"), std::string::npos) << text;
  for (const std::string& mask : {"", "j <= i"}) text += text_of(explain(make_plan(with_gradients(attention(mask)))));
  std::istringstream lines(text);
  while (std::getline(lines, line)) EXPECT_LE(line.size(), 124U) << line;  // the ellipsis counts as three
}

}  // namespace
}  // namespace heed
