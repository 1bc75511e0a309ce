// What regions come out of small programs and of whole networks, and what stays apart.
#include "passes/fuse.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <unordered_set>

#include "gradient_check.h"
#include "ir/region_frame.h"
#include "networks.h"
#include "notation.h"
#include "passes/kind.h"
#include "passes/lifetimes.h"
#include "passes/pipeline.h"
#include "passes/with_gradients.h"
#include "tests/machines.h"

namespace heed {
namespace {

Graph graph_of(std::shared_ptr<Arena> arena, std::vector<ArrayRef> inputs, std::vector<ArrayRef> outputs) {
  Graph graph{.arena = std::move(arena), .name = "test", .is_function = true};
  for (ArrayRef array : inputs) graph.inputs.push_back({GraphInput::Role::data, array});
  for (std::size_t k = 0; k < outputs.size(); ++k) graph.outputs.push_back({"out" + std::to_string(k), outputs[k]});
  return graph;
}

std::vector<Region> regions_of(const Plan& plan) {
  std::vector<Region> regions;
  for (const Plan::Step& step : plan.steps)
    if (const Region* region = std::get_if<Region>(&step)) regions.push_back(*region);
  return regions;
}

// Each array is made once, by a step after those that make what it reads; locals are read inside of their region alone.
void expect_sound(const Plan& plan) {
  std::unordered_set<ArrayRef> stored;
  for (const GraphInput& input : plan.graph.inputs) stored.insert(input.array);
  for (const Plan::Step& step : plan.steps) {
    for (ArrayRef read : read_by(step)) EXPECT_TRUE(stored.contains(read)) << "array " << read->id << " is read before it is stored";
    if (const auto* scan = std::get_if<std::shared_ptr<PlannedScan>>(&step)) expect_sound((*scan)->body);
    for (ArrayRef made : stored_by(step)) EXPECT_TRUE(stored.insert(made).second) << "array " << made->id << " is stored twice";
  }
  for (const GraphOutput& output : plan.graph.outputs) EXPECT_TRUE(stored.contains(output.array)) << output.name;
}

class Fuse : public testing::Test {
 protected:
  std::shared_ptr<Arena> arena = std::make_shared<Arena>();
  ArrayRef data(std::string name, std::vector<std::int64_t> shape) { return input(*arena, std::move(name), std::move(shape), DType::f32); }
  std::vector<Region> regions(std::vector<ArrayRef> inputs, std::vector<ArrayRef> outputs) {
    Plan plan = make_plan(graph_of(arena, std::move(inputs), std::move(outputs)));
    expect_sound(plan);
    return regions_of(plan);
  }
};

TEST_F(Fuse, SoftmaxIsOneRegion) {
  ArrayRef x = data("x", {64, 128});
  auto found = regions({x}, {softmax(x, 1)});
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].outputs.size(), 1u);
  auto frame = region_frame(found[0]);
  ASSERT_TRUE(frame);
  EXPECT_EQ(frame->outer, 1);
  EXPECT_EQ(frame->passes(), 3);
}

TEST_F(Fuse, SoftmaxOverRowsThatLieAcrossMemoryIsOneRegion) {
  ArrayRef x = data("x", {8, 128, 512});
  auto found = regions({x}, {softmax(x, 1)});
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(region_frame(found[0])->outer, 2);
}

TEST_F(Fuse, WhatFollowsAProductIsStoredWithIt) {
  ArrayRef x = data("x", {64, 32}), w = data("w", {32, 48}), b = data("b", {48});
  ArrayRef y = linear_layer(x, w, b);
  auto found = regions({x, w, b}, {gelu(y), y});
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].outputs.size(), 2u);
  EXPECT_EQ(kind_of(arrays_of(found[0])[0]), Kind::product);
  EXPECT_TRUE(found[0].label.starts_with("product 64x48x32")) << found[0].label;
}

TEST_F(Fuse, AReductionOfAProductStaysApart) {
  ArrayRef x = data("x", {64, 32}), w = data("w", {32, 48});
  EXPECT_EQ(regions({x, w}, {softmax(linear_layer(x, w), 1)}).size(), 2u);
}

TEST_F(Fuse, TwoProductsAreTwoRegionsTheirSumInTheSecond) {
  ArrayRef x = data("x", {64, 32}), w = data("w", {32, 48}), u = data("u", {32, 48});
  ArrayRef sum = mapped({linear_layer(x, w), linear_layer(x, u)}, [](std::vector<Expr> v) { return add(v[0], v[1]); });
  auto found = regions({x, w, u}, {sum});
  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(arrays_of(found[0]).size(), 1u);
  EXPECT_EQ(arrays_of(found[1]).size(), 2u);
}

TEST_F(Fuse, LayerNormReadsARowOnce) {
  ArrayRef x = data("x", {4, 64, 96}), w = data("w", {96}), b = data("b", {96});
  auto found = regions({x, w, b}, {layer_norm(x, w, b)});
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(region_frame(found[0])->outer, 2);
}

TEST_F(Fuse, ASumOverRowsAndOneOverColumnsStayApart) {
  ArrayRef x = data("x", {512, 512});
  ArrayRef rows = array(*arena, {512}, [&](Indices p) { return summed(*arena, {512}, [&](Indices k) { return at(x, {p[0], k[0]}); }); });
  ArrayRef columns = array(*arena, {512}, [&](Indices p) { return summed(*arena, {512}, [&](Indices k) { return at(x, {k[0], p[0]}); }); });
  EXPECT_EQ(regions({x}, {rows, columns}).size(), 2u);
}

TEST_F(Fuse, SumsOverTheSameRowsShareARegion) {
  ArrayRef x = data("x", {512, 512}), y = data("y", {512, 512});
  auto over_rows = [&](auto body) {
    return array(*arena, {512}, [&](Indices p) { return summed(*arena, {512}, [&](Indices k) { return body(k[0], p[0]); }); });
  };
  ArrayRef first = over_rows([&](Expr i, Expr j) { return at(x, {i, j}); });
  ArrayRef second = over_rows([&](Expr i, Expr j) { return multiply(at(x, {i, j}), at(y, {i, j})); });
  EXPECT_EQ(regions({x, y}, {first, second}).size(), 1u);
}

// What is summed over rows of what a softmax makes of them, for each column.
ArrayRef column_sums(ArrayRef y, ArrayRef g) {
  return array(*y->arena, {y->shape[1]}, [&](Indices p) {
    return summed(*y->arena, {y->shape[0]}, [&](Indices k) { return multiply(at(y, {k[0], p[0]}), at(g, {k[0], p[0]})); });
  });
}

TEST_F(Fuse, SumsOverRowsAreMadeWithTheRows) {
  ArrayRef x = data("x", {512, 96}), g = data("g", {512, 96});
  ArrayRef y = softmax(x, 1);
  ArrayRef of_source =
      array(*arena, {96}, [&](Indices p) { return summed(*arena, {512}, [&](Indices k) { return at(x, {k[0], p[0]}); }); });
  auto found = regions({x, g}, {y, column_sums(y, g), of_source});
  ASSERT_EQ(found.size(), 1u);
  auto frame = region_frame(found[0]);
  ASSERT_TRUE(frame);
  EXPECT_EQ(frame->outer, 1);
  EXPECT_EQ(frame->sizes[0], 512);
  EXPECT_EQ(std::ranges::count(frame->over_rows, true), 2);
}

TEST_F(Fuse, SumsOverFewRowsStayApart) {
  ArrayRef x = data("x", {16, 4096}), g = data("g", {16, 4096}), y = softmax(x, 1);
  for (const Region& region : regions({x, g}, {y, column_sums(y, g)}))
    EXPECT_EQ(std::ranges::count(region_frame(region)->over_rows, true), 0) << region.label;
}

TEST_F(Fuse, WhatReadsSumsOverRowsComesAfterThem) {
  ArrayRef x = data("x", {512, 96}), g = data("g", {512, 96}), y = softmax(x, 1), sums = column_sums(y, g);
  ArrayRef shifted = array(*arena, {512, 96}, [&](Indices p) { return subtract(at(y, p), at(sums, {p[1]})); });
  auto found = regions({x, g}, {shifted});
  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(found[0].outputs.size(), 2u);  // What the softmax gives, and the sums.
  EXPECT_EQ(std::ranges::count(region_frame(found[0])->over_rows, true), 1);
  EXPECT_EQ(arrays_of(found[1]).size(), 1u);
}

TEST_F(Fuse, AReadBesideItsOwnPlaceStaysApart) {
  ArrayRef x = data("x", {64, 64});
  ArrayRef e = mapped({x}, [](std::vector<Expr> v) { return exponential(v[0]); });
  ArrayRef shifted = array(*arena, {64, 63}, [&](Indices p) { return subtract(at(e, {p[0], shift(p[1], 1)}), at(e, p)); });
  EXPECT_EQ(regions({x}, {shifted, e}).size(), 2u);
}

TEST_F(Fuse, WhatIsMadeFromNothingIsNeverStored) {
  ArrayRef x = data("x", {64, 64});
  ArrayRef mask = array(*arena, {64, 64}, [&](Indices p) { return select(at_least(p[0], p[1]), real(*arena, 1), real(*arena, 0)); });
  ArrayRef masked = mapped({x, mask}, [](std::vector<Expr> v) { return multiply(v[0], v[1]); });
  ArrayRef other = mapped({x, mask}, [](std::vector<Expr> v) { return add(v[0], v[1]); });
  auto found = regions({x}, {masked, other});
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(arrays_of(found[0]).size(), 2u);
}

int in_blocks(const std::vector<Region>& found) {
  return static_cast<int>(std::ranges::count_if(found, [](const Region& region) { return region.blocks != nullptr; }));
}

TEST_F(Fuse, ScoresAreNeverStored) {
  ArrayRef q = data("q", {4, 512, 32}), k = data("k", {4, 512, 32}), v = data("v", {4, 512, 32});
  auto found = regions({q, k, v}, {matrix_product(softmax(matrix_product(q, transpose(k, {0, 2, 1})), 2), v)});
  ASSERT_EQ(found.size(), 1u);
  EXPECT_TRUE(found[0].blocks);
}

TEST_F(Fuse, ScoresSmallerThanWhatTheyAreMadeFromAreStored) {
  ArrayRef q = data("q", {4, 24, 64}), k = data("k", {4, 24, 64}), v = data("v", {4, 24, 64});
  EXPECT_EQ(in_blocks(regions({q, k, v}, {matrix_product(softmax(matrix_product(q, transpose(k, {0, 2, 1})), 2), v)})), 0);
}

TEST_F(Fuse, WhatAttendsToItselfIsOneRegion) {
  ArrayRef x = data("x", {4, 512, 32});
  auto found = regions({x}, {matrix_product(softmax(matrix_product(x, transpose(x, {0, 2, 1})), 2), x)});
  ASSERT_EQ(found.size(), 1u);
  EXPECT_TRUE(found[0].blocks);
}

TEST_F(Fuse, WhatNothingMakesSmallIsStored) {
  ArrayRef q = data("q", {4, 512, 32}), k = data("k", {4, 512, 32});
  EXPECT_EQ(in_blocks(regions({q, k}, {relu(matrix_product(q, transpose(k, {0, 2, 1})))})), 0);
}

// Keys of all heads are larger than what they are made from, but have no queries: they are stored, and the rest is one region.
TEST_F(Fuse, KeysOfALatentAreStored) {
  ArrayRef c = data("c", {512, 32}), w = data("w", {4, 32, 64}), q = data("q", {4, 512, 64}), v = data("v", {4, 512, 64});
  ArrayRef k = array(*arena, {4, 512, 64}, [&](Indices p) {
    return summed(*arena, {32}, [&](Indices r) { return multiply(at(c, {p[1], r[0]}), at(w, {p[0], r[0], p[2]})); });
  });
  auto found = regions({c, w, q, v}, {matrix_product(softmax(matrix_product(q, transpose(k, {0, 2, 1})), 2), v)});
  EXPECT_EQ(found.size(), 2u);
  EXPECT_EQ(in_blocks(found), 1);
}

TEST_F(Fuse, AGateIsPartOfTheAttentionItFollows) {
  ArrayRef q = data("q", {4, 512, 32}), k = data("k", {4, 512, 32}), v = data("v", {4, 512, 32}), gate = data("gate", {4, 512, 32});
  ArrayRef attended = matrix_product(softmax(matrix_product(q, transpose(k, {0, 2, 1})), 2), v);
  ArrayRef gated = mapped({attended, gate}, [](std::vector<Expr> e) { return multiply(e[0], e[1]); });
  ASSERT_EQ(regions({q, k, v, gate}, {attended, gated}).size(), 1u);
  // The near miss: what makes more than it would read again.
  ArrayRef wide = data("wide", {4, 512, 32, 8});
  ArrayRef spread = array(*arena, {4, 512, 32, 8}, [&](Indices p) { return multiply(at(attended, {p[0], p[1], p[2]}), at(wide, p)); });
  EXPECT_EQ(regions({q, k, v, wide}, {attended, spread}).size(), 2u);
}

// Each row of scores is read at other columns than its own.
TEST_F(Fuse, ColumnsMayBeReadAtAnyIndex) {
  ArrayRef q = data("q", {4, 512, 32}), r = data("r", {4, 1024, 32}), v = data("v", {4, 512, 32});
  ArrayRef scores = matrix_product(q, transpose(r, {0, 2, 1}));
  ArrayRef shifted = array(*arena, {4, 512, 512}, [&](Indices p) { return at(scores, {p[0], p[1], shift(subtract(p[1], p[2]), 511)}); });
  auto found = regions({q, r, v}, {matrix_product(softmax(shifted, 2), v)});
  ASSERT_EQ(found.size(), 1u);
  EXPECT_TRUE(found[0].blocks);
}

// The near miss: rows read at other rows are not independent.
TEST_F(Fuse, RowsReadAtOtherRowsAreStored) {
  ArrayRef q = data("q", {1, 512, 32}), k = data("k", {1, 512, 32}), v = data("v", {1, 512, 32});
  ArrayRef scores = matrix_product(q, transpose(k, {0, 2, 1}));
  ArrayRef sum = array(*arena, {1, 512, 512},
                       [&](Indices p) { return add(exponential(at(scores, {p[0], p[1], p[2]})), at(scores, {p[0], p[2], p[1]})); });
  auto found = regions({q, k, v}, {matrix_product(softmax(sum, 2), v)});
  EXPECT_TRUE(std::ranges::any_of(found, [&](const Region& region) {
    return std::ranges::any_of(region.outputs, [](ArrayRef array) { return element_count(array) == 512 * 512; });
  }));
}

// Heads could be the rows of the way back, and nothing would be added to; then every block would have all columns.
TEST_F(Fuse, RowsOfGradientsAreThoseThatAMaskTellsApart) {
  Graph graph = graph_of_text(
      "fn f(q: f32[6, 256, 32], k: f32[6, 256, 32], v: f32[6, 256, 32]) -> f32[6, 256, 32] {\n"
      "  score = where(iota(256)[:, None] >= iota(256)[None, :], q @ transpose(k), -inf)\n"
      "  return softmax(score) @ v\n}\n",
      {}, "f");
  Plan plan = make_plan(with_gradients(graph, true));
  expect_sound(plan);
  const std::vector<Region> found = regions_of(plan);
  EXPECT_GT(in_blocks(found), 0);
  for (const Region& region : found)
    if (region.blocks) EXPECT_LT(region.blocks->visited, 0.8);
}

// Blocks have fewer rows where that spares many columns. The near miss: of long rows a mask spares as many either way.
TEST_F(Fuse, BlocksHaveFewerRowsWhereThatSparesColumns) {
  for (const auto& [length, rows] : {std::pair(256, 64), std::pair(1024, 128)}) {
    Graph graph = graph_of_text(
        "fn f(q: f32[6, T, 32], k: f32[6, T, 32], v: f32[6, T, 32]) -> f32[6, T, 32] {\n"
        "  return softmax(where(iota(T)[:, None] >= iota(T)[None, :], q @ transpose(k), -inf)) @ v\n}\n",
        {{"T", length}}, "f");
    const Plan plan = make_plan(graph);
    const std::vector<Region> found = regions_of(plan);
    ASSERT_EQ(in_blocks(found), 1);
    for (const Region& region : found)
      if (region.blocks) EXPECT_EQ(region.blocks->rows, rows);
  }
}

// Of two regions one reads an early value of the other, which has a late one that reads the first.
TEST_F(Fuse, RegionsInBlocksDoNotWaitForEachOther) {
  Graph graph = graph_of_text(
      "fn f(q: f32[4, 27], k: f32[27, 4], v: f32[27, 2], mix: f32[1], share: f32[27, 27]) -> (f32[27, 2], f32[27]) {\n"
      "  i = iota(27)[:, None]\n  j = iota(27)[None, :]\n"
      "  s = where(j <= i and i - j < 3, transpose(q) @ transpose(k) / 2.0 * mix, -inf)\n"
      "  e = exp(s - maximum(max(s, axis = 0, keep = true), -1e9))\n"
      "  p = e / (sum(e, axis = 0, keep = true) + 1e-6)\n"
      "  return (p * share) @ v, max(maximum(s, -5.0), axis = -1)\n}\n",
      {}, "f");
  Plan plan = make_plan(with_gradients(graph, true), {.machine = eager_machine()});
  expect_sound(plan);
  EXPECT_GT(in_blocks(regions_of(plan)), 1);
}

TEST_F(Fuse, AScatterIsAlone) {
  ArrayRef ids = input(*arena, "ids", {64}, DType::i32, Interval{0, 99}), g = data("g", {64, 8}), w = data("w", {100, 8});
  ArrayRef scattered = array(*arena, {100, 8}, [&](Indices p) {
    return summed(*arena, {64}, [&](Indices k) { return select(equal(at(ids, {k[0]}), p[0]), at(g, {k[0], p[1]}), real(*arena, 0)); });
  });
  ArrayRef moved = mapped({w, scattered}, [](std::vector<Expr> v) { return subtract(v[0], v[1]); });
  auto found = regions({ids, g, w}, {moved});
  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(kind_of(found[0].outputs[0]), Kind::scatter);
}

TEST_F(Fuse, ScansArePlansOfTheirOwn) {
  ArrayRef x = data("x", {16, 4, 8}), w = data("w", {8, 8}), start = data("start", {4, 8});
  ArrayRef xt = input(*arena, "xt", {4, 8}, DType::f32), h = input(*arena, "h", {4, 8}, DType::f32);
  ArrayRef halved = mapped({w}, [](std::vector<Expr> v) { return power(v[0], 2); });  // Does not depend on the step.
  ArrayRef next =
      mapped({xt, linear_layer(h, halved)}, [](std::vector<Expr> v) { return apply(*find_function("tanh"), {add(v[0], v[1])}); });
  std::vector<ArrayRef> results = scan(
      *arena,
      {.length = 16, .elements = {x}, .element_inputs = {xt}, .starts = {start}, .carried_inputs = {h}, .yields = {next}, .next = {next}});
  Plan plan = make_plan(graph_of(arena, {x, w, start}, {results[0]}));
  expect_sound(plan);
  ASSERT_EQ(plan.steps.size(), 2u);
  const auto& planned = std::get<std::shared_ptr<PlannedScan>>(plan.steps[1]);
  EXPECT_EQ(planned->captured.size(), 1u);
  EXPECT_EQ(planned->body.steps.size(), 1u);
  EXPECT_EQ(planned->body.graph.inputs.size(), 3u);
}

TEST(FuseNetworks, AGptLayerIsEightRegionsForward) {
  auto count = [](int layers) { return make_plan(gpt_forward({.layers = layers})).steps.size(); };
  EXPECT_EQ(count(3) - count(2), 9u);
}

TEST(FuseNetworks, TrainingStepsAreSound) {
  for (const Graph& graph :
       {gpt_training({}), gpt_training({.batch = 8, .context = 256, .width = 384, .heads = 6, .vocabulary = 256, .layers = 3}),
        attention_cnn_training({}), attention_cnn_training({.batch = 32, .side = 32, .channels = 64, .inner = 128})}) {
    Plan plan = make_plan(graph);
    expect_sound(plan);
    for (const Region& region : regions_of(plan)) {
      if (arrays_of(region).size() == 1) continue;
      EXPECT_TRUE(region_frame(region)) << region.label;
      for (ArrayRef array : arrays_of(region)) EXPECT_NE(kind_of(array), Kind::scatter);
    }
  }
}

TEST(FuseNetworks, AnUpdateFollowsTheProductOfItsGradient) {
  Plan plan = make_plan(gpt_training({.layers = 1}));
  int together = 0;
  for (const Region& region : regions_of(plan))
    together +=
        kind_of(arrays_of(region)[0]) == Kind::product && region.outputs.size() == 3 && region.label.find("adam") != std::string::npos;
  EXPECT_EQ(together, 4);  // qkv, fc, proj, and the table; the gradient of out lies by heads.
}

TEST(FuseNetworks, TheSameGraphGivesTheSamePlan) {
  auto labels = [] {
    std::string text;
    for (const Region& region : regions_of(make_plan(gpt_training({})))) text += region.label + "\n";
    return text;
  };
  EXPECT_EQ(labels(), labels());
}

}  // namespace
}  // namespace heed
