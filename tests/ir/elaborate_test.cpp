// Model files to graphs: the samples, and what each part of the language means.
#include "ir/language/elaborate.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "ir/evaluate.h"

namespace heed {
namespace {

std::shared_ptr<const Module> load(const std::string& path) {
  Diagnostics diagnostics;
  auto module = load_module(std::string(HEED_SOURCE_DIR) + "/" + path, diagnostics);
  EXPECT_TRUE(module) << diagnostics.text(false);
  return module;
}

Elaborated elaborated(const Module& module, ElaborateRequest request) {
  Diagnostics diagnostics;
  auto result = elaborate(module, request, diagnostics);
  EXPECT_TRUE(result) << diagnostics.text(false);
  return result ? std::move(*result) : Elaborated{};
}

TEST(Elaborate, AttentionVariants) {
  auto module = load("examples/attention_variants.heed");
  for (const EntryInfo& entry : entries(*module)) {
    Elaborated result = elaborated(*module, {.entry = entry.name});
    EXPECT_EQ(result.graph.outputs.size(), 1u) << entry.name;
    EXPECT_EQ(result.nominal, entry.symbols) << entry.name;
  }
}

TEST(Elaborate, Models) {
  for (const char* file : {"examples/gpt.heed", "examples/gpt2.heed", "examples/attention_cnn.heed"}) {
    auto module = load(file);
    Elaborated result = elaborated(*module, {});
    EXPECT_GE(result.graph.outputs.size(), 2u) << file;
    Diagnostics diagnostics;
    auto training = elaborate_training(*module, {}, diagnostics);
    EXPECT_TRUE(training) << diagnostics.text(false);
  }
}

std::map<std::string, Tensor> seed_and_step(std::int64_t seed, std::int64_t step) {
  std::map<std::string, Tensor> given;
  for (const auto& [name, number] : {std::pair("seed", seed), std::pair("step", step)}) {
    Tensor tensor(DType::i64, {});
    tensor.set(0, number);
    given.emplace(name, tensor);
  }
  return given;
}

std::shared_ptr<const Module> parsed(const std::string& text) {
  Diagnostics diagnostics;
  auto module = parse_module("test.heed", text, diagnostics);
  EXPECT_TRUE(module) << diagnostics.text(false);
  return module;
}

TEST(Elaborate, RandomNumbersDifferFromTurnToTurnOfAScan) {
  auto module = parsed(R"(fn f() -> f32[3, 2, 4] {
  xs = scan(i in 0..3) {
    ys = scan(j in 0..2) {
      yield uniform(0, 1, shape = [4])
    }
    yield ys
  }
  return xs
})");
  Tensor drawn = evaluate(elaborated(*module, {}).graph, seed_and_step(7, 1))[0];
  std::set<double> values;
  for (std::int64_t k = 0; k < drawn.count(); ++k) values.insert(drawn.real(k));
  EXPECT_EQ(values.size(), 24u);
}

TEST(Elaborate, InitialValuesMayDependOnOnesBefore) {
  auto module = parsed(R"(model m(x: f32[4]) -> f32 {
  param w: f32[4] = normal(0, 1)
  param size: f32 = sqrt(sum(w * w))
  state twin: f32[4] = w
  return sum(x * w) * size + sum(twin)
})");
  Elaborated made = elaborated(*module, {});
  Graph initial;
  initial.arena = made.graph.arena;
  for (const GraphInput& input : made.graph.inputs) {
    if (input.role == GraphInput::Role::seed) initial.inputs.push_back(input);
    if (input.initial) initial.outputs.push_back({input.array->name, input.initial});
  }
  std::vector<Tensor> values = evaluate(initial, seed_and_step(7, 1));
  ASSERT_EQ(values.size(), 3u);
  double squares = 0;
  for (int k = 0; k < 4; ++k) {
    squares += values[0].real(k) * values[0].real(k);
    EXPECT_EQ(values[0].real(k), values[2].real(k));
  }
  EXPECT_NEAR(values[1].real(0), std::sqrt(squares), 1e-6);
}

TEST(Elaborate, ChecksSamples) {
  for (const char* file : {"examples/gpt.heed", "examples/gpt2.heed", "examples/attention_cnn.heed", "examples/attention_variants.heed"}) {
    Diagnostics diagnostics;
    check_module(*load(file), {}, diagnostics);
    EXPECT_TRUE(diagnostics.all().empty()) << diagnostics.text(false);
  }
}

}  // namespace
}  // namespace heed
