// The standard layout, and texts of every kind: whatever the bytes, nothing crashes, and what is formatted still means the same.
#include "ir/language/format.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <random>
#include <sstream>

#include "ir/language/syntax.h"
#include "tests/ir/syntax_text.h"

namespace heed {
namespace {

std::string formatted(const std::string& text) {
  SourceFile source{"test.heed", text};
  Diagnostics diagnostics;
  std::string result = format(source, diagnostics);
  EXPECT_EQ(diagnostics.text(false), "");
  return result;
}

struct Parsed {
  std::string tree;
  std::vector<std::string> comments;
  bool mistaken;
  bool operator==(const Parsed&) const = default;
};

Parsed parsed(const std::string& text) {
  SourceFile source{"test.heed", text};
  Diagnostics diagnostics;
  syntax::File file = syntax::parse(source, diagnostics);
  Parsed result{syntax::describe(file), {}, diagnostics.has_errors()};
  for (const syntax::Token& token : file.tokens) {
    if (token.kind != syntax::Token::Kind::comment) continue;
    std::string comment(token.text);
    comment.erase(comment.find_last_not_of(" \t\r") + 1);
    result.comments.push_back(comment);
  }
  EXPECT_TRUE(diagnostics.text(true).empty() == diagnostics.all().empty());
  return result;
}

// Parses and formats any text; what is formatted is a fixed point with the same meaning.
void survive(const std::string& text) {
  Parsed before = parsed(text);
  SourceFile source{"test.heed", text};
  Diagnostics diagnostics;
  std::string once = format(source, diagnostics);
  if (before.mistaken) {
    EXPECT_EQ(once, text);
    return;
  }
  EXPECT_TRUE(parsed(once) == before) << text << "\n---\n" << once;
  EXPECT_EQ(formatted(once), once) << text;
}

std::vector<std::string> samples() {
  std::vector<std::string> texts;
  std::vector<std::filesystem::path> paths;
  for (const char* folder : {"/examples", "/stdlib"}) {
    if (!std::filesystem::exists(std::string(HEED_SOURCE_DIR) + folder)) continue;
    for (const auto& entry : std::filesystem::directory_iterator(std::string(HEED_SOURCE_DIR) + folder))
      if (entry.path().extension() == ".heed") paths.push_back(entry.path());
  }
  std::sort(paths.begin(), paths.end());
  for (const auto& path : paths) {
    std::stringstream text;
    text << std::ifstream(path).rdbuf();
    texts.push_back(text.str());
  }
  return texts;
}

TEST(Format, Spaces) {
  EXPECT_EQ(formatted("fn f( x :f32[...,2 * width,N-K + 1],y)->(a:f32 , b:i32[ B ]){return -x**2+ -1,not(a<b)}"),
            "fn f(x: f32[..., 2*width, N - K + 1], y) -> (a: f32, b: i32[B]) { return -x ** 2 + -1, not (a < b) }\n");
  EXPECT_EQ(formatted("fn f(x) {\n    y=x [ : ,1 : n+1,None, - 1 ,::2] @ g ( x,axis=-1 )\n}"),
            "fn f(x) {\n  y = x[:, 1:n+1, None, -1, ::2] @ g(x, axis = -1)\n}\n");
  EXPECT_EQ(formatted("fn f(x) {\ns[b,i:2 * n]=sum[k:64,e](x [b,k+ e]*2)\nfor i in 0 .. n + 1{y=nn . f(i)}\n}"),
            "fn f(x) {\n  s[b, i: 2*n] = sum[k: 64, e](x[b, k + e] * 2)\n  for i in 0..n+1 { y = nn.f(i) }\n}\n");
}

TEST(Format, Blocks) {
  EXPECT_EQ(formatted("\n\nlet a=1\n\n\n\nfn f(x) {\n\n  if a { y = 1 } else { y=2\n }\n  # last\n\n}\n\n\n"),
            "let a = 1\n\nfn f(x) {\n  if a { y = 1 } else {\n    y = 2\n  }\n  # last\n}\n");
  EXPECT_EQ(formatted("train m {\nminimize loss\n}"), "train m {\n  minimize loss\n}\n");
  EXPECT_EQ(formatted("fn f() {}"), "fn f() {}\n");
}

TEST(Format, BrokenLines) {
  EXPECT_EQ(formatted("fn f(a,\n b) {\n y = g(\n a,\n   h(b,\n c)\n )\n}"),
            "fn f(a,\n     b) {\n  y = g(\n    a,\n    h(b,\n      c)\n  )\n}\n");
}

TEST(Format, Comments) {
  EXPECT_EQ(formatted("# top\nlet a=1 # one\nlet bcd = 2      # two\nlet e = f(   # three\n  1)"),
            "# top\nlet a = 1  # one\nlet bcd = 2      # two\nlet e = f(   # three\n  1)\n");
  std::string columns = "let a = 1       # one\nlet bcd = 2     # two\n";
  EXPECT_EQ(formatted(columns), columns);
  EXPECT_EQ(formatted("let a=1     # one\nlet bcd=2   # two\n"), "let a = 1     # one\nlet bcd = 2   # two\n");
}

TEST(Format, SamplesAreFormatted) {
  for (const std::string& text : samples()) {
    std::istringstream before(text), after(formatted(text));
    for (std::string expected, line; std::getline(before, expected);) {
      std::getline(after, line);
      ASSERT_EQ(line, expected);
    }
    EXPECT_EQ(formatted(text).size(), text.size());
  }
}

TEST(Format, Truncations) {
  for (const std::string& text : samples())
    for (std::size_t length = 0; length < text.size(); length += text.size() > 4000 ? 37 : 3) survive(text.substr(0, length));
}

TEST(Format, Mutations) {
  std::vector<std::string> texts = samples();
  std::mt19937 random(1);
  auto below = [&](std::size_t n) { return static_cast<std::size_t>(random()) % n; };
  const std::string pieces[] = {"(",  ")", "[", "]",    "{",   "}",      "\n",    ",",    ":",     "=", "..",
                                "**", "-", "#", "\"",   "fn ", "layer ", "scan(", "for ", "else ", " ", "\r\n",
                                ".",  "3", "x", "\xff", "é",   "\t",     "not ",  "None", ":="};
  for (int run = 0; run < 1500; ++run) {
    const std::string& sample = texts[below(texts.size())];
    std::size_t length = std::min<std::size_t>(sample.size(), 20 + below(800)), begin = below(sample.size() - length + 1);
    std::string text = run % 2 ? sample.substr(begin, length) : sample.substr(0, length);
    for (std::size_t change = below(6); change > 0 && !text.empty(); --change) {
      std::size_t at = below(text.size());
      if (below(2))
        text.erase(at, 1 + below(5));
      else
        text.insert(at, pieces[below(std::size(pieces))]);
    }
    survive(text);
  }
}

TEST(Format, RandomWords) {
  const std::string words[] = {"fn",  "layer", "model",  "train", "let",  "import", "param", "state", "for", "in",
                               "if",  "else",  "return", "yield", "scan", "region", "f32",   "x",     "y",   "3",
                               "1.5", "inf",   "none",   "\"s\"", "(",    ")",      "[",     "]",     "{",   "}",
                               ",",   ":",     "=",      ":=",    "->",   "+",      "-",     "*",     "**",  "@",
                               "..",  "...",   ".",      "\n",    "\n",   "not",    "and",   "==",    "<",   "#c\n"};
  std::mt19937 random(2);
  for (int run = 0; run < 2000; ++run) {
    std::string text = run % 3 ? "fn f(x) {\n" : "";
    for (unsigned length = random() % 40; length > 0; --length) text += words[random() % std::size(words)] + (random() % 4 ? " " : "");
    if (run % 3) text += "\n}\n";
    survive(text);
  }
}

TEST(Format, RandomBytes) {
  std::mt19937 random(3);
  for (int run = 0; run < 1000; ++run) {
    std::string text;
    for (unsigned length = random() % 200; length > 0; --length) text += static_cast<char>(random() % (run % 2 ? 256 : 128));
    survive(text);
  }
}

TEST(Format, DeepAndLong) {
  auto repeated = [](std::string_view text, int times) {
    std::string result;
    for (int k = 0; k < times; ++k) result += text;
    return result;
  };
  for (const char* text : {"(", "[", "{", "x(", "-", "not ", "a + ", "a ** ", "f32[", "if a {", "if a {} else ", "s = scan(", "a.", "a < ",
                           "}", ")", "x[", "x = [\n", "for i in x {\n"})
    for (const char* before : {"", "let x = ", "fn f(x) {\ny = ", "fn f(x) {\n"}) survive(before + repeated(text, 20000));
  survive("fn f(x) {\n  y = " + repeated("x + ", 900) + "x\n}\n");
}

}  // namespace
}  // namespace heed
