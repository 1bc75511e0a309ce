// Files of mistakes, tests/language/*/*.heed: each says on the offending line what is said of it, `# error: message; help: mend` or
// `# warning: …`, or on lines of their own below it, `#^ error: …`. What is missing and what is too much fails. HEED_BLESS=1 writes
// the markers anew.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>

#include "ir/language/elaborate.h"
#include "ir/language/syntax.h"

namespace heed {
namespace {

using Markers = std::map<int, std::vector<std::string>>;  // by line

const std::string kinds[] = {"error: ", "warning: "};

// Where a marker begins on the line; none if there is none.
std::size_t find_marker(const std::string& line, std::size_t from = 0) {
  std::size_t first = std::string::npos;
  for (const std::string& kind : kinds) first = std::min({first, line.find("# " + kind, from), line.find("#^ " + kind, from)});
  return first;
}

struct Text {
  std::vector<std::string> lines;  // without markers
  std::vector<int> numbers;        // of each in the file
  Markers expected;
};

Text read(const std::filesystem::path& path) {
  Text text;
  std::ifstream stream(path);
  int number = 0;
  for (std::string line; std::getline(stream, line);) {
    ++number;
    std::size_t marker = find_marker(line);
    if (marker != 0 || !line.starts_with("#^")) {
      text.lines.push_back(line.substr(0, marker));
      text.numbers.push_back(number);
    }
    if (marker != std::string::npos && !text.lines.empty() && marker != 0) {
      std::string& kept = text.lines.back();
      kept.erase(kept.find_last_not_of(' ') + 1);
    }
    while (marker != std::string::npos) {
      std::size_t next = find_marker(line, marker + 1);
      std::string expected = line.substr(marker, next - marker);
      expected.erase(0, expected.find(' ') + 1);
      expected.erase(expected.find_last_not_of(' ') + 1);
      text.expected[text.numbers.back()].push_back(expected);
      marker = next;
    }
  }
  return text;
}

std::string marker(const Diagnostic& diagnostic) {
  std::string text = kinds[diagnostic.severity == Diagnostic::Severity::warning] + diagnostic.message;
  if (!diagnostic.help.empty()) text += "; help: " + diagnostic.help;
  return text;
}

Markers found(const std::filesystem::path& path) {
  std::stringstream text;
  text << std::ifstream(path).rdbuf();
  Diagnostics diagnostics;
  auto module = parse_module(path.filename(), text.str(), diagnostics);  // what parses is checked, too
  if (module) check_module(*module, {}, diagnostics);
  Markers markers;
  for (const Diagnostic& one : diagnostics.all()) markers[one.span.line].push_back(marker(one));
  return markers;
}

// A string that does not end would take a marker on its line into itself.
bool takes_comment(const std::string& line) { return std::count(line.begin(), line.end(), '"') % 2 == 0; }

void bless(const std::filesystem::path& path, const Text& text, const Markers& markers) {
  std::ofstream stream(path);
  for (std::size_t k = 0; k < text.lines.size(); ++k) {
    stream << text.lines[k];
    auto here = markers.find(text.numbers[k]);
    if (here != markers.end())
      for (const std::string& one : here->second)
        stream << (takes_comment(text.lines[k]) && &one == &here->second[0] ? "  # " : "\n#^ ") << one;
    stream << "\n";
  }
}

TEST(Mistakes, AreSaidWhereTheyAre) {
  std::vector<std::filesystem::path> paths;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(HEED_SOURCE_DIR "/tests/language"))
    if (entry.path().extension() == ".heed") paths.push_back(entry.path());
  std::sort(paths.begin(), paths.end());
  for (const auto& path : paths) {
    Text text = read(path);
    Markers markers = found(path);
    if (std::getenv("HEED_BLESS")) {
      bless(path, text, markers);
      continue;
    }
    auto times = [](Markers& where, int line, const std::string& one) { return std::count(where[line].begin(), where[line].end(), one); };
    for (const auto& [line, all] : Markers(text.expected))
      for (const std::string& one : all)
        EXPECT_GE(times(markers, line, one), times(text.expected, line, one)) << path << ":" << line << ": missing: " << one;
    for (const auto& [line, all] : Markers(markers))
      for (const std::string& one : all)
        EXPECT_LE(times(markers, line, one), times(text.expected, line, one)) << path << ":" << line << ": extra: " << one;
  }
}

std::string said(const std::string& text) {
  SourceFile source{"test.heed", text};
  Diagnostics diagnostics;
  syntax::parse(source, diagnostics);
  return diagnostics.text(false);
}

TEST(Mistakes, Text) {
  EXPECT_EQ(said("fn f(x) {\n  weight = softmax(x @ é, x y)\n}\n"),
            "test.heed:2:24: error: `é` is not part of the language\n"
            "   2 |   weight = softmax(x @ é, x y)\n"
            "     |                        ^\n");
  EXPECT_EQ(said("fn f(x) {\n  é\ty = \"é\" x\n  x == 1\n}\n"),
            "test.heed:2:3: error: `é` is not part of the language\n"
            "   2 |   é\ty = \"é\" x\n"
            "     |   ^\n"
            "test.heed:3:3: error: this value is not used\n"
            "   3 |   x == 1\n"
            "     |   ^^^^^^\n"
            "     = help: give it a name: `y = …`\n");
  EXPECT_EQ(said("let a = (1,\n  2\n"),
            "test.heed:1:9: error: `(` is never closed\n"
            "   1 | let a = (1,\n"
            "     |         ^\n"
            "     = help: close it with `)`\n");
}

TEST(Mistakes, TextOfTypes) {
  std::string text =
      "import nn\n\nlayer attention(in, out)(x: f32[B, N, in]) -> f32[B, N, N] {\n  layer q = nn.linear(in, out)\n  layer k = "
      "nn.linear(in, out)\n"
      "  weight = softmax(q(x) @ k(x))\n  return weight\n}\n\n"
      "model m(x: f32[B, N, 64]) -> (loss: f32) {\n  layer a = attention(64, 128)\n  return sum(a(x))\n}\n";
  Diagnostics diagnostics;
  auto module = parse_module("attention.heed", text, diagnostics);
  ASSERT_TRUE(module);
  check_module(*module, {}, diagnostics);
  EXPECT_EQ(diagnostics.text(false),
            "attention.heed:6:20: error: `@` multiplies f32[B, N, 128] by f32[B, N, 128]: inner dimensions 128 and N differ\n"
            "   6 |   weight = softmax(q(x) @ k(x))\n"
            "     |                    ^^^^^^^^^^^\n"
            "     = help: transpose the right operand: `q(x) @ transpose(k(x))`\n");
}

TEST(Mistakes, LongLines) {
  std::string line = "let a = " + std::string(500, 'b') + " c " + std::string(500, 'd');
  EXPECT_EQ(said(line), "test.heed:1:510: error: expected the end of the line after this definition, found `c`\n   1 | …" +
                            std::string(59, 'b') + " c " + std::string(98, 'd') + "…\n     |  " + std::string(60, ' ') + "^\n");
}

TEST(Mistakes, InOrderAndOnce) {
  SourceFile source{"test.heed", "a\nb\n"};
  Diagnostics diagnostics;
  diagnostics.error({&source, 2, 1, 1}, "second");
  diagnostics.warning({&source, 1, 1, 1}, "first");
  diagnostics.error({&source, 2, 1, 1}, "second");
  ASSERT_EQ(diagnostics.all().size(), 2u);
  EXPECT_EQ(diagnostics.all()[0].message, "first");
  EXPECT_TRUE(diagnostics.has_errors());
}

}  // namespace
}  // namespace heed
