// Every operation's example holds, and the page of operations is current.
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "ir/evaluate.h"
#include "ir/language/elaborate.h"
#include "ir/ops/operation.h"

namespace heed {
namespace {

class Example : public testing::TestWithParam<const Operation*> {};

TEST_P(Example, Holds) {
  std::string text = "fn example() { return " + std::string(GetParam()->example) + " }\n";
  Diagnostics diagnostics;
  auto module = parse_module("example.heed", text, diagnostics);
  ASSERT_TRUE(module) << diagnostics.text(false);
  auto made = elaborate(*module, {}, diagnostics);
  ASSERT_TRUE(made) << diagnostics.text(false);
  std::map<std::string, Tensor> inputs;
  for (const GraphInput& input : made->graph.inputs) {
    inputs[input.array->name] = Tensor(input.array->dtype, input.array->shape);
    inputs[input.array->name].set(0, std::int64_t{1});
  }
  Tensor result = evaluate(made->graph, inputs)[0];
  EXPECT_EQ(result.dtype, DType::boolean) << text;
  for (std::int64_t k = 0; k < result.count(); ++k) EXPECT_TRUE(result.integer(k)) << text << "at " << k;
}

INSTANTIATE_TEST_SUITE_P(Operations, Example, testing::ValuesIn(operations()), [](const auto& info) { return std::to_string(info.index); });

TEST(Operations, PageIsCurrent) {
  std::string path = std::string(HEED_SOURCE_DIR) + "/docs/operations.md";
  if (std::getenv("HEED_BLESS")) std::ofstream(path) << operations_page();
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  EXPECT_EQ(text.str(), operations_page()) << "run the tests with HEED_BLESS=1";
}

}  // namespace
}  // namespace heed
