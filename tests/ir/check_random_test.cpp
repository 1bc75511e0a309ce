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
  std::vector<std::string> words{"0", "-1", "3", "1.5",    "inf", "none", "true", "\"b n -> n b\"",
                                 "x", "B",  "T", "[1, 2]", "f32", "axis", "i32",  "..."};
  for (const std::string& part : parts) {
    SourceFile source{"words", part};
    Diagnostics ignored;
    for (const syntax::Token& token : syntax::tokenize(source, ignored))
      if (token.kind != syntax::Token::Kind::newline && token.kind != syntax::Token::Kind::comment) words.emplace_back(token.text);
  }
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
    for (std::size_t change = 1 + below(3); change > 0; --change) {
      std::string& text = texts[below(texts.size())];
      std::size_t kind = below(4);
      if (kind == 0)
        text = "";
      else if (kind == 1)
        text += " " + text;
      else
        text = words[below(words.size())];
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
