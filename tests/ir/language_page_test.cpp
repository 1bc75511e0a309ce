// Every `heed` block of docs/language.md is a file without mistakes.
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "ir/language/elaborate.h"

namespace heed {
namespace {

TEST(LanguagePage, BlocksHaveNoMistakes) {
  std::ifstream page(HEED_SOURCE_DIR "/docs/language.md");
  int blocks = 0;
  for (std::string line; std::getline(page, line);) {
    if (line != "```heed") continue;
    std::string text;
    while (std::getline(page, line) && line != "```") text += line + "\n";
    Diagnostics diagnostics;
    auto module = parse_module("block.heed", text, diagnostics);
    if (module) check_module(*module, {}, diagnostics);
    EXPECT_TRUE(diagnostics.all().empty()) << diagnostics.text(false);
    ++blocks;
  }
  EXPECT_GE(blocks, 6);
}

TEST(LanguagePage, ShowsTheMistakeAsItIs) {
  const std::string text =
      "layer linear(n)(x: f32[B, N, 64]) -> f32[B, N, n] {\n  param w: f32[64, n] = zeros()\n  return x @ w\n}\n"
      "layer attention()(x: f32[B, N, 64]) { layer q = linear(128)\n  layer k = linear(128)\n"
      "  weight = softmax(q(x) @ k(x))\n  return weight\n}\n";
  Diagnostics diagnostics;
  auto module = parse_module("attention.heed", text, diagnostics);
  ASSERT_TRUE(module) << diagnostics.text(false);
  check_module(*module, {}, diagnostics);
  std::ostringstream page;
  page << std::ifstream(HEED_SOURCE_DIR "/docs/language.md").rdbuf();
  EXPECT_NE(page.str().find(diagnostics.text(false)), std::string::npos) << diagnostics.text(false);
}

}  // namespace
}  // namespace heed
