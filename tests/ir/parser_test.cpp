// What the parser makes of each form of the language.
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "ir/language/syntax.h"
#include "tests/ir/syntax_text.h"

namespace heed::syntax {
namespace {

std::string parsed(const std::string& text) {
  SourceFile source{"test.heed", text};
  Diagnostics diagnostics;
  File file = parse(source, diagnostics);
  EXPECT_EQ(diagnostics.text(false), "");
  return describe(file);
}

// The value of one assignment.
std::string value(const std::string& text) {
  std::string all = parsed("fn f() {\n  y = " + text + "\n}\n");
  std::string before = "fn f()() -> () {y = ";
  EXPECT_TRUE(all.starts_with(before)) << all;
  return all.substr(before.size(), all.size() - before.size() - 1);
}

std::string statement(const std::string& text) {
  std::string all = parsed("fn f() {\n" + text + "\n}\n");
  std::string before = "fn f()() -> () {";
  return all.substr(before.size(), all.size() - before.size() - 1);
}

TEST(Parser, Strength) {
  EXPECT_EQ(value("a + b * c ** -d ** e"), "(a + (b * (c ** (- (d ** e)))))");
  EXPECT_EQ(value("-a ** 2"), "(- (a ** 2))");
  EXPECT_EQ(value("a - b - c"), "((a - b) - c)");
  EXPECT_EQ(value("a // b % c @ d"), "(((a // b) % c) @ d)");
  EXPECT_EQ(value("not a == b and c or d"), "(((not (a == b)) and c) or d)");
  EXPECT_EQ(value("0 <= r + u - 1 < 32"), "(0 <= ((r + u) - 1) < 32)");
  EXPECT_EQ(value("(a + b) * c"), "((a + b) * c)");
  EXPECT_EQ(value("q @ transpose(k) / sqrt(E)"), "((q @ transpose(k)) / sqrt(E))");
}

TEST(Parser, Leaves) {
  EXPECT_EQ(value("[1, 2.5, 1e-3, .5, 1_000, inf, -inf]"), "[1, 2.5, 1e-3, .5, 1_000, inf, (- inf)]");
  EXPECT_EQ(value("(1, 2)"), "tuple(1, 2)");
  EXPECT_EQ(value("(1,)"), "tuple(1)");
  EXPECT_EQ(value("()"), "tuple()");
  EXPECT_EQ(value("f(true, none, \"b t (h e) -> \\\"b\\\"\", h = 6)"), "f(true, none, \"b t (h e) -> \"b\"\", h = 6)");
  EXPECT_EQ(value("h.3.attn.weight[0]"), "h.3.attn.weight[0]");
  EXPECT_EQ(value("h[3](x).y"), "h[3](x).y");
}

TEST(Parser, Subscripts) {
  EXPECT_EQ(value("x[:, 1:5, None, ..., -1, ::2, 1:n + 1:2]"),
            "x[slice(, , ), slice(1, 5, ), none, ..., (- 1), slice(, , 2), slice(1, (n + 1), 2)]");
  EXPECT_EQ(value("sum[k: 64, e](x[b, k + e])"), "sum[slice(k, 64, ), e](x[b, (k + e)])");
}

TEST(Parser, LinesBreakInBrackets) { EXPECT_EQ(value("f(a,\n    b\n      + c, # why\n\n  d = [1,\n 2],\n)"), "f(a, (b + c), d = [1, 2])"); }

TEST(Parser, Statements) {
  EXPECT_EQ(statement("param hidden.weight: f32[784, 2*width] = kaiming_uniform(fan_in = 784)"),
            "param hidden.weight: f32[784, (2 * width)] = kaiming_uniform(fan_in = 784)");
  EXPECT_EQ(statement("state m = zeros_like(p)\nm := decay * m + g"), "state m = zeros_like(p); m := ((decay * m) + g)");
  EXPECT_EQ(statement("layer h[depth] = block(width, heads)"), "layer h[depth] = block(width, heads)");
  EXPECT_EQ(statement("q, k, v = split(x, 3)"), "q, k, v = split(x, 3)");
  EXPECT_EQ(statement("s[b, i, j: N - K + 1] = x[b, i]"), "s[b, i, slice(j, ((N - K) + 1), )] = x[b, i]");
  EXPECT_EQ(statement("a: f32[b: B, n: 256] = x[b, n]"), "a: f32[b: B, n: 256] = x[b, n]");
  EXPECT_EQ(statement("for b in h { x = b(x) }"), "for b in h {x = b(x)}");
  EXPECT_EQ(statement("for i in 0..n {\n  x = f(x, i)\n\n  y = x\n}"), "for i in 0..n {x = f(x, i); y = x}");
  EXPECT_EQ(statement("if a {\n x = 1\n} else if b == 2 { x = 2 } else { x = 3 }"), "if a {x = 1} else {if (b == 2) {x = 2} else {x = 3}}");
  EXPECT_EQ(statement("if a { x = 1 }\n\nelse { x = 3 }\nreturn x, y"), "if a {x = 1} else {x = 3}; return x, y");
  EXPECT_EQ(statement("in = 1\nstate = in\nstep = state"), "in = 1; state = in; step = state");
}

TEST(Parser, ScansAndRegions) {
  EXPECT_EQ(statement("hs, last = scan(x in xs, t in 0..n, h = zeros([B, n])) {\n  h = tanh(x @ w)\n  yield h\n}"),
            "hs, last = scan(x in xs, t in 0..n | h = zeros([B, n])) {h = tanh((x @ w)); yield h}");
  EXPECT_EQ(statement("o: f32[B, T], m: f32[B] = region(q, k) {   # why\n  m: f32[b: B] = q[b]\n  return o, m\n}"),
            "o: f32[B, T], m: f32[B] = region(q, k) {m: f32[b: B] = q[b]; return o, m}");
}

TEST(Parser, TopLevel) {
  EXPECT_EQ(parsed("import nn\nimport \"a/blocks.heed\" as blocks\nimport \"more.heed\"\nlet width = 384, heads = width / 64\n"),
            "import nn as nn\nimport file a/blocks.heed as blocks\nimport file more.heed as more\nlet width = 384, heads = (width / 64)");
  EXPECT_EQ(parsed("layer linear(in, out, bias = true)(x: f32[..., in]) -> f32[..., out] {\n  return x\n}"),
            "layer linear(in, out, bias = true)(x: f32[..., in]) -> (f32[..., out]) {return x}");
  EXPECT_EQ(parsed("fn f(x) -> (loss: f32, f32[B]) { return x, x }"), "fn f()(x) -> (loss: f32, f32[B]) {return x, x}");
  EXPECT_EQ(parsed("train m {\n  minimize loss\n  data train = mnist(\"d\", split = \"train\")\n  batch 32\n}"),
            "train m {minimize loss; data train = mnist(\"d\", split = \"train\"); batch 32}");
}

TEST(Parser, Documentation) {
  SourceFile source{"test.heed",
                    "# About the file.\n# More.\nimport nn\n\n# not this\n\n# What f does.\n#   indented\nfn f(x) { return x }\n"};
  Diagnostics diagnostics;
  File file = parse(source, diagnostics);
  EXPECT_EQ(file.doc, "About the file.\nMore.");
  EXPECT_EQ(file.items[1].doc, "What f does.\n  indented");
}

TEST(Parser, Places) {
  SourceFile source{"test.heed", "fn f(q, k) {\n  w = softmax(q(x) @ k(x),\n    axis = 1)\n}\n"};
  Diagnostics diagnostics;
  File file = parse(source, diagnostics);
  const auto& assignment = std::get<Assignment>(std::get<Function>(file.items[0].node).body[0].node);
  const auto& call = std::get<Call>(assignment.value->node);
  EXPECT_EQ(assignment.value->span.column, 7);
  EXPECT_EQ(assignment.value->span.length, 20);  // to the end of its first line
  EXPECT_EQ(call.arguments[0].value->span.line, 2);
  EXPECT_EQ(call.arguments[0].value->span.column, 15);
  EXPECT_EQ(call.arguments[0].value->span.length, 11);
  EXPECT_EQ(call.arguments[1].name->span.line, 3);
}

TEST(Parser, Samples) {
  for (const char* name : {"gpt", "gpt2", "attention_cnn", "attention_variants"}) {
    std::ifstream stream(std::string(HEED_SOURCE_DIR) + "/examples/" + name + ".heed");
    std::stringstream text;
    text << stream.rdbuf();
    EXPECT_NE(parsed(text.str()), "");
  }
}

}  // namespace
}  // namespace heed::syntax
