// Model files with words exchanged, dropped and doubled: whatever comes of it is said, nothing crashes and nothing runs away.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <sstream>

#include "ir/language/elaborate.h"
#include "ir/language/syntax.h"

namespace heed {
namespace {

std::vector<std::string> samples() {
  std::vector<std::filesystem::path> paths;
  for (const char* folder : {"/examples", "/stdlib", "/tests/golden", "/tests/language"})
    for (const auto& entry : std::filesystem::recursive_directory_iterator(std::string(HEED_SOURCE_DIR) + folder))
      if (entry.path().extension() == ".heed") paths.push_back(entry.path());
  std::sort(paths.begin(), paths.end());
  std::vector<std::string> texts;
  for (const auto& path : paths) {
    std::stringstream text;
    text << std::ifstream(path).rdbuf();
    texts.push_back(text.str());
  }
  return texts;
}

// The definitions of a file, apart: a mistake in one hides nothing of the next.
std::vector<std::string> definitions(const std::string& text) {
  std::vector<std::string> parts{""};
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (!line.empty() && std::isalpha(static_cast<unsigned char>(line[0])) && !line.starts_with("import") && !line.starts_with("train"))
      parts.emplace_back("import nn\n");
    if (!line.starts_with("import") && !line.starts_with("#")) parts.back() += line + "\n";
  }
  return parts;
}

TEST(CheckRandom, NothingCrashes) {
  std::vector<std::string> parts;
  for (const std::string& text : samples())
    for (const std::string& part : definitions(text))
      if (part.size() < 3000) parts.push_back(part);
  // Words are exchanged for words of their kind: what results still has a chance to be tries.
  const std::vector<std::string> operators{"+", "-", "*", "/", "//", "%", "**", "@", "==", "<", ">=", "and", "or"};
  const std::vector<std::string> numbers{"0",
                                         "1",
                                         "2",
                                         "3",
                                         "5",
                                         "7",
                                         "64",
                                         "-1",
                                         "-3",
                                         "0.5",
                                         "1e-3",
                                         "1e30",
                                         "inf",
                                         "100000",
                                         "2000000000",
                                         "true",
                                         "none",
                                         "[]",
                                         "[1, 2]",
                                         "[[1.0], [2.0]]",
                                         "\"b n -> n b\"",
                                         "f32",
                                         "x",
                                         "B",
                                         "B + 1",
                                         "x[0]",
                                         "(1, 2)"};
  std::vector<std::string> names{"0", "f32", "training", "step", "none", "1.5"};
  for (const std::string& part : parts) {
    SourceFile source{"words", part};
    Diagnostics ignored;
    for (const syntax::Token& token : syntax::tokenize(source, ignored))
      if (token.kind == syntax::Token::Kind::name) names.emplace_back(token.text);
  }
  auto pool_of = [&](const std::string& word) -> const std::vector<std::string>* {
    if (std::find(operators.begin(), operators.end(), word) != operators.end()) return &operators;
    if (std::isdigit(static_cast<unsigned char>(word[0])) || word[0] == '"') return &numbers;
    bool keeps =
        word == "fn" || word == "import" || word == "layer" || word == "model" || word == "return" || word == "param" || word == "in";
    if (std::isalpha(static_cast<unsigned char>(word[0])) && !keeps) return &names;
    return nullptr;
  };
  const char* wanted = std::getenv("HEED_RANDOM_COUNT");
  const int count = wanted ? std::atoi(wanted) : 600;
  const char* first = std::getenv("HEED_RANDOM_SEED");
  for (int seed = first ? std::atoi(first) : 1, last = seed + count; seed < last; ++seed) {
    std::mt19937 random(static_cast<unsigned>(seed));
    auto below = [&](std::size_t n) { return static_cast<std::size_t>(random()) % n; };
    SourceFile source{"words", parts[below(parts.size())]};
    Diagnostics ignored;
    std::vector<syntax::Token> tokens = syntax::tokenize(source, ignored);
    std::vector<std::string> texts;
    for (const syntax::Token& token : tokens) texts.emplace_back(token.text);
    int tries = 0;
    for (std::size_t change = 1 + below(3); change > 0;) {
      std::string& text = texts[below(texts.size())];
      if (++tries > 1000) break;
      if (text.empty() || !pool_of(text)) continue;
      --change;
      const std::vector<std::string>& pool = *pool_of(text);
      text = below(20) ? pool[below(pool.size())] : "";
    }
    std::string text;
    for (const std::string& word : texts) text += word + (word == "\n" || word == "." ? "" : " ");
    if (std::getenv("HEED_RANDOM_SHOW")) fmt::print(stderr, "--- seed {}\n{}\n", seed, text);
    auto begin = std::chrono::steady_clock::now();
    try {
      Diagnostics diagnostics;
      auto module = parse_module("random.heed", text, diagnostics);
      if (module) check_module(*module, {}, diagnostics);
      diagnostics.text(false);
    } catch (const std::exception& error) {
      ADD_FAILURE() << "seed " << seed << ": " << error.what() << "\n" << text;
    }
    std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
    EXPECT_LT(seconds.count(), 5) << "seed " << seed << "\n" << text;
  }
}

}  // namespace
}  // namespace heed
