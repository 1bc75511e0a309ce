// Model files to graphs: the samples, and what each part of the language means.
#include "ir/language/elaborate.h"

#include <gtest/gtest.h>

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
  for (const char* file : {"examples/gpt.heed", "examples/attention_cnn.heed"}) {
    auto module = load(file);
    Elaborated result = elaborated(*module, {});
    EXPECT_GE(result.graph.outputs.size(), 2u) << file;
    Diagnostics diagnostics;
    auto training = elaborate_training(*module, {}, diagnostics);
    EXPECT_TRUE(training) << diagnostics.text(false);
  }
}

TEST(Elaborate, ChecksSamples) {
  for (const char* file : {"examples/gpt.heed", "examples/attention_cnn.heed", "examples/attention_variants.heed"}) {
    Diagnostics diagnostics;
    check_module(*load(file), {}, diagnostics);
    EXPECT_TRUE(diagnostics.all().empty()) << diagnostics.text(false);
  }
}

}  // namespace
}  // namespace heed
