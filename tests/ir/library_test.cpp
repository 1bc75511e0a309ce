// The library's own examples: expressions hold, layers are made, optimizers train a small model.
#include <gtest/gtest.h>

#include <sstream>

#include "ir/evaluate.h"
#include "ir/language/elaborate.h"
#include "ir/language/syntax.h"
#include "ir/stdlib.h"

namespace heed {
namespace {

struct LibraryExample {
  std::string owner, code;
};

// Lines of a comment that are set in by two spaces; those that follow each other belong together.
std::vector<LibraryExample> library_examples() {
  std::vector<LibraryExample> result;
  for (const StdlibFile& file : stdlib_files()) {
    SourceFile source{std::string(file.name), std::string(file.source)};
    Diagnostics diagnostics;
    for (const syntax::Item& item : syntax::parse(source, diagnostics).items) {
      const auto* function = std::get_if<syntax::Function>(&item.node);
      std::istringstream lines(item.doc);
      for (std::string line; std::getline(lines, line);) {
        std::size_t indent = line.find_first_not_of(' ');
        if (function && indent != std::string::npos && indent >= 2) result.push_back({function->name.text, line.substr(indent)});
      }
    }
  }
  return result;
}

std::string program_of(const std::string& code) {
  std::string text = "import nn\n";
  if (code.starts_with("layer ")) return text + "model example(x: f32[B]) -> (y: f32) {\n  " + code + "\n  return sum(x)\n}\n";
  if (code.starts_with("param ")) {
    return text + "layer owner(in, out, width)(x) {\n  " + code + "\n  return x\n}\n" +
           "model example(x: f32[B]) -> (y: f32) {\n  layer o = owner(6, 4, 3)\n  return sum(o(x))\n}\n";
  }
  if (code.starts_with("optimizer ")) {
    return text + "model example(x: f32[B, 3]) -> (loss: f32) {\n  layer l = nn.linear(3, 1)\n  return mean(l(x) ** 2)\n}\n" +
           "train example {\n  minimize loss\n  " + code + "\n  data train = csv(\"x.csv\")\n  batch 4\n  steps 10\n}\n";
  }
  return text + "fn example() { return " + code + " }\n";
}

TEST(Library, ExamplesHold) {
  int count = 0;
  for (const auto& [owner, code] : library_examples()) {
    if (code.starts_with("y")) continue;  // goes on with names of the line above it
    ++count;
    Diagnostics diagnostics;
    std::string text = program_of(code);
    auto module = parse_module("example.heed", text, diagnostics);
    ASSERT_TRUE(module) << text << diagnostics.text(false);
    if (code.starts_with("optimizer ")) {
      EXPECT_TRUE(elaborate_training(*module, {}, diagnostics)) << owner << "\n" << diagnostics.text(false);
      continue;
    }
    auto made = elaborate(*module, {}, diagnostics);
    EXPECT_TRUE(made) << owner << ": " << code << "\n" << diagnostics.text(false);
    if (!made || code.starts_with("layer ") || code.starts_with("param ")) continue;
    std::map<std::string, Tensor> inputs;
    for (const GraphInput& input : made->graph.inputs) inputs[input.array->name] = Tensor(input.array->dtype, input.array->shape);
    Tensor result = evaluate(made->graph, inputs)[0];
    EXPECT_EQ(result.dtype, DType::boolean) << owner << ": " << code;
    for (std::int64_t k = 0; k < result.count(); ++k) EXPECT_TRUE(result.integer(k)) << owner << ": " << code << " at " << k;
  }
  EXPECT_GT(count, 50);
}

TEST(Library, HasNoMistakes) {
  for (const StdlibFile& file : stdlib_files()) {
    Diagnostics diagnostics;
    auto module = parse_module(std::string(file.name) + ".heed", std::string(file.source), diagnostics);
    ASSERT_TRUE(module) << diagnostics.text(false);
    check_module(*module, {}, diagnostics);
    EXPECT_TRUE(diagnostics.all().empty()) << diagnostics.text(false);
  }
}

}  // namespace
}  // namespace heed
