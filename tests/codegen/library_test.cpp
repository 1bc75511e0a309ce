// The standard library, values and derivatives, planned and compiled, against PyTorch.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "passes/pipeline.h"
#include "tests/codegen/compiled.h"
#include "tests/golden/cases.h"

namespace heed {
namespace {

using golden::Case;

void expect_near(const Tensor& found, const Tensor& expected, const std::string& what) {
  ASSERT_EQ(found.shape, expected.shape) << what;
  double largest = 1;
  for (std::int64_t k = 0; k < expected.count(); ++k) largest = std::max(largest, std::abs(expected.real(k)));
  for (std::int64_t k = 0; k < found.count(); ++k) {
    double a = found.real(k), b = expected.real(k);
    if (std::abs(a - b) <= 2e-5 * largest) continue;
    ADD_FAILURE() << what << "[" << k << "]: " << a << ", PyTorch " << b;
    return;
  }
}

class CompiledLibrary : public testing::TestWithParam<Case> {};

TEST_P(CompiledLibrary, AgreesWithPyTorch) {
  const Case& one = GetParam();
  Plan plan = make_plan(golden::graph_of(one));
  Program program = compile(plan, test_options()).program;
  std::map<std::string, Tensor> inputs = golden::complete(plan.graph, one.inputs);
  std::vector<Tensor> results;
  for (int step = 0; step < (golden::trains(one) ? golden::steps : 1); ++step) {
    results = run_compiled(program, inputs);
    golden::advance(plan.graph, results, inputs);
  }
  if (golden::trains(one)) return expect_near(inputs.at("w"), one.outputs[0], "w");
  ASSERT_EQ(results.size(), one.outputs.size());
  for (std::size_t k = 0; k < results.size(); ++k) expect_near(results[k], one.outputs[k], plan.graph.outputs[k].name);
}

INSTANTIATE_TEST_SUITE_P(Golden, CompiledLibrary, testing::ValuesIn(golden::read_cases()),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace heed
