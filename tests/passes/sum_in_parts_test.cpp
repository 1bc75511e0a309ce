// Sums over several axes of what blocks do not store, and near misses.
#include "passes/sum_in_parts.h"

#include <gtest/gtest.h>

#include <stdexcept>

#include "ir/language/elaborate.h"
#include "ir/print.h"
#include "passes/rewrite.h"

namespace heed {
namespace {

constexpr const char* text = R"(
fn keys(q: bf16[2, 4, 64, 16], k: bf16[2, 80, 16]) -> f32[2, 80, 16] {
  s[b, r, i, j] = sum[e](f32(q[b, r, i, e]) * f32(k[b, j, e]))
  d[b, j, e] = sum[r, i](exp(s[b, r, i, j]) * f32(q[b, r, i, e]))
  return d
}
fn slope(q: bf16[2, 4, 64, 16], k: bf16[2, 4, 80, 16]) -> f32[4] {
  s[b, h, i, j] = sum[e](f32(q[b, h, i, e]) * f32(k[b, h, j, e]))
  d[h] = 2.0 * sum[b, i, j](s[b, h, i, j] * f32(j - i))
  return d
}
fn single(q: f32[2, 4, 64, 16], k: f32[2, 80, 16]) -> f32[2, 80, 16] {
  s[b, r, i, j] = sum[e](q[b, r, i, e] * k[b, j, e])
  d[b, j, e] = sum[r, i](exp(s[b, r, i, j]) * q[b, r, i, e])
  return d
}
fn one_axis(q: bf16[2, 64, 16], k: bf16[2, 80, 16]) -> f32[2, 80, 16] {
  s[b, i, j] = sum[e](f32(q[b, i, e]) * f32(k[b, j, e]))
  d[b, j, e] = sum[i](exp(s[b, i, j]) * f32(q[b, i, e]))
  return d
}
fn large(q: bf16[2, 4, 64, 16], k: bf16[2, 80, 16], w: f32[64, 48]) -> f32[2, 80, 48] {
  s[b, r, i, j] = sum[e](f32(q[b, r, i, e]) * f32(k[b, j, e]))
  d[b, j, n] = sum[r, i](exp(s[b, r, i, j]) * w[i, n])
  return d
}
)";

// What is printed after the first line, if the scores are never stored.
std::string parts_of(const std::string& entry) {
  Diagnostics diagnostics;
  auto module = parse_module("sums.heed", text, diagnostics);
  auto elaborated = elaborate(*module, {.entry = entry, .settings = {}, .sizes = {}, .training = false}, diagnostics);
  if (!elaborated) throw std::runtime_error(diagnostics.text(false));
  const Graph& graph = elaborated->graph;
  std::unordered_set<ArrayRef> values;
  for (ArrayRef array : all_arrays(outputs_of(graph)))
    if (array->kind == Array::Kind::definition && array != graph.outputs[0].array) values.insert(array);
  const Graph parts = sum_in_parts(graph, values);
  return outputs_of(parts) == outputs_of(graph) ? "the same" : print(parts);
}

TEST(SumInParts, OverTheLongestAxisFirst) {
  const std::string keys = parts_of("keys"), slope = parts_of("slope");
  EXPECT_NE(keys.find("d: f32[i: 4, j: 2, l: 80, m: 16] = sum[n: 64](exp(s[j, i, n, l]) * q[j, i, n, m])"), std::string::npos) << keys;
  EXPECT_NE(keys.find("d_2: f32[i: 2, j: 80, l: 16] = sum[m: 4](d[m, i, j, l])"), std::string::npos) << keys;
  EXPECT_NE(slope.find("d: f32[i: 2, j: 64, l: 4] = sum[m: 80]("), std::string::npos) << slope;
  EXPECT_NE(slope.find("d_2: f32[i: 4] = 2.0 * sum[j: 2, l: 64](d[j, l, i])"), std::string::npos) << slope;
}

TEST(SumInParts, NeitherSingleNorOfOneAxisNorLarge) {
  for (const char* entry : {"single", "one_axis", "large"}) EXPECT_EQ(parts_of(entry), "the same") << entry;
}

}  // namespace
}  // namespace heed
