// What is printed can be read back: it prints the same again and means the same.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <fstream>

#include "ir/evaluate.h"
#include "ir/language/elaborate.h"
#include "ir/print.h"
#include "ir/verify.h"

namespace heed {
namespace {

// Without the comment that names the symbols: what is read back has none.
std::string without_sizes(std::string text) { return text.starts_with("# sizes") ? text.substr(text.find('\n') + 1) : text; }

std::map<std::string, Tensor> some_inputs(const Graph& graph) {
  std::map<std::string, Tensor> inputs;
  std::uint64_t state = 1;
  for (const GraphInput& input : graph.inputs) {
    Tensor& tensor = inputs[input.array->name] = Tensor(input.array->dtype, input.array->shape);
    for (std::int64_t k = 0; k < tensor.count(); ++k) {
      state = state * 6364136223846793005u + 1442695040888963407u;
      if (is_floating(tensor.dtype))
        tensor.set(k, static_cast<double>(state >> 40) * 0x1p-23 - 1);
      else
        tensor.set(k, static_cast<std::int64_t>(input.role == GraphInput::Role::step ? 1 : state >> 62));
    }
  }
  return inputs;
}

void expect_round_trip(const Graph& graph, const std::vector<Region>& regions, bool evaluates) {
  ASSERT_NO_THROW(verify(graph, "elaboration"));
  std::string text = without_sizes(print(graph, regions));
  Diagnostics diagnostics;
  auto module = parse_module("printed.heed", text, diagnostics);
  ASSERT_TRUE(module) << diagnostics.text(false) << text;
  auto again = elaborate(*module, {.training = true}, diagnostics);
  ASSERT_TRUE(again) << diagnostics.text(false) << text;
  ASSERT_NO_THROW(verify(again->graph, "reading back")) << text;
  EXPECT_EQ(print(again->graph, again->regions), text);
  if (!evaluates) return;
  auto inputs = some_inputs(graph);
  EvaluateOptions exactly{EvaluateOptions::Precision::f64};
  std::vector<Tensor> first = evaluate(graph, inputs, exactly), second = evaluate(again->graph, inputs, exactly);
  for (std::size_t k = 0; k < first.size(); ++k)
    for (std::int64_t n = 0; n < first[k].count(); ++n) {
      double a = first[k].real(n), b = second[k].real(n);
      if (!std::isnan(a) || !std::isnan(b)) {
        ASSERT_NEAR(a, b, 1e-9 * (1 + std::abs(a))) << graph.outputs[k].name << " " << n << "\n" << text;
      }
    }
}

std::shared_ptr<const Module> example(const std::string& name) {
  Diagnostics diagnostics;
  auto module = load_module(std::string(HEED_SOURCE_DIR) + "/examples/" + name, diagnostics);
  EXPECT_TRUE(module) << diagnostics.text(false);
  return module;
}

TEST(RoundTrip, AttentionVariants) {
  auto module = example("attention_variants.heed");
  for (const EntryInfo& entry : entries(*module)) {
    SCOPED_TRACE(entry.name);
    Sizes sizes;
    std::int64_t size = 2;
    for (const std::string& symbol : entry.symbols) sizes[symbol] = size++;
    Diagnostics diagnostics;
    auto result = elaborate(*module, {.entry = entry.name, .sizes = sizes, .training = true}, diagnostics);
    ASSERT_TRUE(result) << diagnostics.text(false);
    expect_round_trip(result->graph, {}, true);
  }
}

TEST(RoundTrip, Networks) {
  struct Case {
    std::string file;
    Settings settings;
    Sizes sizes;
    bool evaluates;
  };
  std::vector<Case> cases = {
      {"gpt.heed", {{"vocab", "5"}, {"context", "6"}, {"width", "8"}, {"heads", "2"}, {"depth", "2"}}, {{"B", 2}, {"T", 6}}, true},
      {"attention_cnn.heed", {}, {{"B", 2}}, false}};
  for (const Case& each : cases) {
    SCOPED_TRACE(each.file);
    auto module = example(each.file);
    Diagnostics diagnostics;
    auto model = elaborate(*module, {.settings = each.settings, .sizes = each.sizes}, diagnostics);
    ASSERT_TRUE(model) << diagnostics.text(false);
    expect_round_trip(model->graph, {}, each.evaluates);
    auto training = elaborate_training(*module, {.settings = each.settings, .sizes = each.sizes}, diagnostics);
    ASSERT_TRUE(training) << diagnostics.text(false);
    expect_round_trip(training->graph, {}, false);
  }
}

}  // namespace
}  // namespace heed
