// The standard library, values and derivatives, under the evaluator against PyTorch; the examples in its comments; its edges.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <sstream>

#include "ir/evaluate.h"
#include "ir/language/elaborate.h"
#include "ir/language/syntax.h"
#include "ir/stdlib.h"
#include "passes/differentiate.h"
#include "tests/golden/cases.h"

namespace heed {
namespace {

using golden::Case, golden::complete, golden::graph_of, golden::trains;

void expect_near(const Tensor& found, const Tensor& expected, const std::string& what) {
  ASSERT_EQ(found.shape, expected.shape) << what;
  for (std::int64_t k = 0; k < found.count(); ++k) {
    double a = found.real(k), b = expected.real(k);
    if (std::abs(a - b) <= 2e-6 * std::max(1.0, std::abs(b))) continue;
    ADD_FAILURE() << what << "[" << k << "]: " << a << ", PyTorch " << b;
    return;
  }
}

class Library : public testing::TestWithParam<Case> {};

TEST_P(Library, AgreesWithPyTorch) {
  const Case& one = GetParam();
  Graph graph = differentiate(graph_of(one));
  std::map<std::string, Tensor> inputs = complete(graph, one.inputs);
  std::vector<Tensor> results;
  for (int step = 0; step < (trains(one) ? golden::steps : 1); ++step) {
    results = evaluate(graph, inputs, {EvaluateOptions::Precision::f64});
    golden::advance(graph, results, inputs);
  }
  if (trains(one)) return expect_near(inputs.at("w"), one.outputs[0], "w");
  ASSERT_EQ(results.size(), one.outputs.size());
  for (std::size_t k = 0; k < results.size(); ++k) expect_near(results[k], one.outputs[k], graph.outputs[k].name);
}

INSTANTIATE_TEST_SUITE_P(Golden, Library, testing::ValuesIn(golden::read_cases()), [](const auto& info) { return info.param.name; });

// Lines of a comment that are set in: code.
std::vector<std::string> examples(const std::string& doc) {
  std::vector<std::string> result;
  std::istringstream lines(doc);
  for (std::string line; std::getline(lines, line);)
    if (line.starts_with("  ")) result.push_back(line.substr(2));
  return result;
}

TEST(LibraryComments, HaveExamplesThatAreTrue) {
  for (const StdlibFile& file : stdlib_files()) {
    SourceFile source{std::string(file.name), std::string(file.source)};
    Diagnostics diagnostics;
    syntax::File tree = syntax::parse(source, diagnostics);
    for (const syntax::Item& item : tree.items) {
      const auto* function = std::get_if<syntax::Function>(&item.node);
      if (!function) continue;
      EXPECT_NE(item.doc, "") << file.name << "." << function->name.text;
      for (const std::string& example : examples(item.doc)) {
        if (example.find("==") == std::string::npos && example.find(" <") == std::string::npos && example.find(" >") == std::string::npos)
          continue;
        Diagnostics mistakes;
        auto module = parse_module("example", "import nn\nfn example() -> bool { return all(" + example + ") }\n", mistakes);
        auto elaborated = module ? elaborate(*module, {}, mistakes) : std::nullopt;
        ASSERT_TRUE(elaborated) << example << "\n" << mistakes.text(false);
        EXPECT_EQ(evaluate(elaborated->graph, complete(elaborated->graph, {}))[0].integer(0), 1) << example;
      }
    }
  }
}

Tensor run(const std::string& text, std::map<std::string, Tensor> inputs, bool training = false) {
  Diagnostics diagnostics;
  auto module = parse_module("test.heed", text, diagnostics);
  auto elaborated = module ? elaborate(*module, {.training = training}, diagnostics) : std::nullopt;
  if (!elaborated) throw std::runtime_error(diagnostics.text(false));
  Graph graph = differentiate(elaborated->graph);
  return evaluate(graph, complete(graph, std::move(inputs)))[0];
}

TEST(LibraryEdges, FullyMaskedRowsAreZero) {
  for (const char* result : {"softmax(s)", "grad(sum(softmax(s) * x), x)", "grad(sum(softmax(s) @ transpose(x)), x)"}) {
    Tensor y =
        run(fmt::format("fn f(x: f32[2, 3]) -> f32[2, 3] {{\n  s = where(iota(2)[:, None] == 0, x, -inf)\n  return {}\n}}\n", result), {});
    for (int k = 0; k < 6; ++k) EXPECT_TRUE(std::isfinite(y.real(k))) << result;
    if (result == std::string("softmax(s)"))
      for (int k = 3; k < 6; ++k) EXPECT_EQ(y.real(k), 0);
  }
}

TEST(LibraryEdges, DropoutKeepsTheMean) {
  Tensor y = run("fn f(x: f32[20000]) -> f32[20000] { return dropout(x + 1, rate = 0.25) }\n", {}, true);
  double total = 0;
  int zeros = 0;
  for (int k = 0; k < 20000; ++k) total += y.real(k), zeros += y.real(k) == 0;
  EXPECT_NEAR(total / 20000, 1, 0.02);
  EXPECT_NEAR(zeros / 20000.0, 0.25, 0.02);
  EXPECT_EQ(run("fn f(x: f32[3]) -> f32[3] { return dropout(x + 1, rate = 0.25) }\n", {}).real(1), 1);
}

TEST(LibraryEdges, InitialValues) {
  for (auto [text, deviation] :
       std::initializer_list<std::pair<const char*, double>>{{"kaiming_uniform(fan_in = 100)", std::sqrt(2.0 / 100)},
                                                             {"kaiming_normal(fan_in = 100)", std::sqrt(2.0 / 100)},
                                                             {"xavier_uniform(100, 300)", std::sqrt(2.0 / 400)},
                                                             {"xavier_normal(100, 300)", std::sqrt(2.0 / 400)},
                                                             {"normal(0, 0.02)", 0.02},
                                                             {"uniform(-1, 1)", std::sqrt(1.0 / 3)},
                                                             {"constant(0)", 0}}) {
    Diagnostics diagnostics;
    auto module = parse_module(
        "test.heed", fmt::format("model m() -> (y: f32) {{\n  param w: f32[100, 100] = {}\n  return sum(w)\n}}\n", text), diagnostics);
    auto elaborated = module ? elaborate(*module, {}, diagnostics) : std::nullopt;
    ASSERT_TRUE(elaborated) << diagnostics.text(false);
    Graph graph = elaborated->graph;
    for (const GraphInput& input : elaborated->graph.inputs)
      if (input.initial) graph.outputs = {{"w", input.initial}};
    Tensor w = evaluate(graph, complete(graph, {}))[0];
    double mean = 0, square = 0;
    for (int k = 0; k < 10000; ++k) mean += w.real(k) / 10000, square += w.real(k) * w.real(k) / 10000;
    EXPECT_NEAR(mean, 0, 0.04 * deviation) << text;
    EXPECT_NEAR(std::sqrt(square), deviation, 0.03 * deviation) << text;
  }
}

}  // namespace
}  // namespace heed
