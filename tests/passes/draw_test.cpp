// Pictures: equal layers once, distinct ones apart, text that Graphviz reads.
#include "passes/draw.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "networks.h"
#include "notation.h"
#include "passes/explain.h"
#include "passes/picture.h"
#include "passes/pipeline.h"

namespace heed {
namespace {

int count(const std::string& text, const std::string& part) {
  int found = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++found;
  return found;
}

TEST(Draw, EqualLayersAreDrawnOnce) {
  Picture twelve = folded(picture_of(gpt_forward({.layers = 12}))), six = folded(picture_of(gpt_forward({.layers = 6})));
  EXPECT_EQ(twelve.boxes.size(), six.boxes.size());
  ASSERT_EQ(twelve.folds.size(), 1u);
  EXPECT_EQ(twelve.folds[0].path, (std::vector<std::string>{"h.0"}));
  EXPECT_EQ(twelve.folds[0].count, 12);
  EXPECT_TRUE(std::ranges::any_of(twelve.links, &Link::to_next));
  EXPECT_NE(draw(gpt_forward({.layers = 12})).find("x12"), std::string::npos);
}

TEST(Draw, UnequalLayersAreDrawnEach) {
  Graph graph = gpt_forward({.layers = 3});
  Picture picture = picture_of(graph);
  for (Box& box : picture.boxes)
    if (!box.path.empty() && box.path[0] == "h.1" && box.title == "gelu") box.title = "relu";
  EXPECT_EQ(folded(picture).folds.at(0).count, 2);
}

TEST(Draw, ACallIsABox) {
  Picture picture = picture_of(gpt_forward({.layers = 1}));
  EXPECT_EQ(std::ranges::count(picture.boxes, "softmax", &Box::title), 1);
  EXPECT_EQ(std::ranges::count(picture.boxes, "layer_norm", &Box::title), 3);
}

TEST(Draw, TheOptimizerIsOneBoxForAllParameters) {
  Plan plan = make_plan(gpt_training({.layers = 4}));
  Picture picture = folded(picture_of(plan));
  std::set<std::string> titles;
  for (const Box& box : picture.boxes)
    if (box.path == std::vector<std::string>{"optimizer"}) EXPECT_TRUE(titles.insert(box.title).second) << box.title;
}

TEST(Draw, LinksAndClustersAreWellFormed) {
  for (const std::string& text : {draw(gpt_training({})), draw(make_plan(gpt_training({}))), draw(make_plan(attention_cnn_training({}))),
                                  draw(gpt_training({}), {.fold = false})}) {
    EXPECT_EQ(count(text, "{"), count(text, "}"));
    EXPECT_EQ(count(text, "<table"), count(text, "</table>"));
    EXPECT_EQ(count(text, "<tr>"), count(text, "</tr>"));
    std::set<int> boxes;
    Picture picture = picture_of(gpt_training({}));
    for (const Link& link : picture.links)
      EXPECT_TRUE(link.from >= 0 && link.to >= 0 && link.from < static_cast<int>(picture.boxes.size()) &&
                  link.to < static_cast<int>(picture.boxes.size()));
  }
}

TEST(Draw, NamesAreEscaped) {
  auto arena = std::make_shared<Arena>();
  arena->set_origin({"a.heed", "", "<&\">", 1});
  ArrayRef x = input(*arena, "x", {3}, DType::f32);
  Graph graph{.arena = arena,
              .name = "a<b",
              .inputs = {{GraphInput::Role::data, x}},
              .outputs = {{"y", mapped({x}, [](std::vector<Expr> v) { return exponential(v[0]); })}}};
  std::string text = draw(graph);
  EXPECT_NE(text.find("&lt;&amp;&quot;&gt;"), std::string::npos);
  EXPECT_NE(text.find("a&lt;b"), std::string::npos);
}

TEST(Explain, CountsWhatAProductDoes) {
  auto arena = std::make_shared<Arena>();
  ArrayRef x = input(*arena, "x", {64, 32}, DType::f32), w = input(*arena, "w", {32, 48}, DType::f32);
  Graph graph{.arena = arena,
              .name = "f",
              .inputs = {{GraphInput::Role::data, x}, {GraphInput::Role::data, w}},
              .outputs = {{"y", softmax(linear_layer(x, w), 1)}}};
  Explanation explanation = explain(make_plan(graph));
  ASSERT_EQ(explanation.regions.size(), 2u);
  const RegionRow &product = explanation.regions[0], &rows = explanation.regions[1];
  EXPECT_EQ(product.kernel, "product");
  EXPECT_EQ(product.products, 1);
  EXPECT_EQ(product.flop, 2.0 * 64 * 48 * 32);
  EXPECT_EQ(product.bytes_read, 4 * (64 * 32 + 32 * 48));
  EXPECT_EQ(product.bytes_written, 4 * 64 * 48);
  EXPECT_EQ(rows.kernel, "sweep");
  EXPECT_EQ(rows.axes, "[64] x [48]");
  EXPECT_EQ(rows.passes, 3);
  EXPECT_EQ(explanation.stored_bytes, 4 * 64 * 48);
  ASSERT_EQ(explanation.unfused.size(), 1u);
  EXPECT_NE(explanation.unfused[0].why.find("does more than follow the product elementwise"), std::string::npos);
  EXPECT_NE(text_of(explanation).find("2 regions"), std::string::npos);
}

TEST(Explain, EveryStoredValueHasItsReason) {
  for (const Graph& graph : {gpt_training({}), attention_cnn_training({})}) {
    Plan plan = make_plan(graph);
    Explanation explanation = explain(plan);
    EXPECT_EQ(explanation.regions.size(), plan.steps.size());
    for (const Unfused& value : explanation.unfused) {
      EXPECT_FALSE(value.source.empty());
      EXPECT_NE(value.why.find("is stored: "), std::string::npos);
    }
  }
}

}  // namespace
}  // namespace heed
