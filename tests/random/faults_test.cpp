// Faults planted on purpose into optimised graphs and plans: the checks see them.
#include "tests/random/faults.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <limits>

#include "ir/evaluate.h"
#include "ir/verify.h"
#include "passes/pipeline.h"
#include "passes/with_gradients.h"
#include "tests/random/check.h"
#include "tests/random/generate.h"

namespace heed {
namespace {

constexpr int graphs = 60;
// Of the faults of a kind: some change nothing, as that in a maximum that is only subtracted before exp, or in a row that is masked anyway.
constexpr double seen_at_least = 0.45;

class NodeFaults : public testing::TestWithParam<NodeFault> {};
INSTANTIATE_TEST_SUITE_P(Planted, NodeFaults, testing::ValuesIn(node_faults().begin(), node_faults().end()), [](const auto& info) {
  std::string name(info.param.name);
  std::erase(name, ' ');
  return name;
});

TEST_P(NodeFaults, AreSeen) {
  std::mt19937_64 random(1);
  int planted_ones = 0, seen = 0;
  for (std::uint64_t seed = 1; seed <= graphs; ++seed) {
    Graph graph = run_passes(seed % 2 ? random_graph(seed) : with_gradients(random_graph(seed)));
    Finding found;
    bool has_place = false;
    try {
      if (difference(graph, graph)) continue;  // results that are not finite cannot be compared
      auto wrong = planted(graph, GetParam(), random);
      if (!wrong) continue;
      has_place = true;
      verify(*wrong, "planting");
      found = difference(graph, *wrong);
    } catch (const std::exception& error) {
      found = error.what();
    }
    planted_ones += has_place;
    seen += has_place && found;
  }
  std::printf("%d of %d seen\n", seen, planted_ones);
  ASSERT_GT(planted_ones, 0);
  EXPECT_GE(seen, seen_at_least * planted_ones);
}

class PlanFaults : public testing::TestWithParam<PlanFault> {};
INSTANTIATE_TEST_SUITE_P(Planted, PlanFaults, testing::ValuesIn(plan_faults().begin(), plan_faults().end()), [](const auto& info) {
  std::string name(info.param.name);
  std::erase(name, ' ');
  return name;
});

TEST_P(PlanFaults, AreSeen) {
  std::mt19937_64 random(1);
  int planted_ones = 0, seen = 0;
  for (std::uint64_t seed = 1; seed <= graphs / 2; ++seed) {
    Plan plan = make_plan(random_graph(seed));
    if (!GetParam().plant(plan, random)) continue;
    ++planted_ones;
    seen += check_plan(plan).has_value();
  }
  std::printf("%d of %d seen\n", seen, planted_ones);
  ASSERT_GT(planted_ones, 0);
  EXPECT_GE(seen, seen_at_least * planted_ones);
}

}  // namespace
}  // namespace heed
