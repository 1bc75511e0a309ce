// Pairs of programs that say the same in different words: same values, as many regions, as many bytes stored between them, forward and
// with gradients. HEED_RANDOM_COUNT: how many pairs (1000), HEED_RANDOM_SEED: the first (1), HEED_RANDOM_SECONDS: at most this long for
// each half of them (30). A failure prints both programs, written as alike as they can be and still differ.
#include "tests/random/spell.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>

#include "ir/evaluate.h"
#include "ir/language/elaborate.h"
#include "passes/explain.h"
#include "passes/pipeline.h"
#include "passes/with_gradients.h"
#include "tests/random/check.h"

namespace heed {
namespace {

std::int64_t setting(const char* name, std::int64_t usual) {
  const char* text = std::getenv(name);
  return text ? std::atoll(text) : usual;
}

bool is_square(const Mathematics& what) { return what.mask == Mathematics::Mask::causal || what.mask == Mathematics::Mask::window; }

Graph graph_of(const Mathematics& what, const Spelling& how, const Sizes& sizes) {
  Diagnostics diagnostics;
  auto module = parse_module("pair.heed", written(what, how), diagnostics);
  auto elaborated = module ? elaborate(*module, {.sizes = sizes}, diagnostics) : std::nullopt;
  if (!elaborated) throw std::logic_error(diagnostics.text(false));
  return elaborated->graph;
}

std::string counts(const Plan& plan) {
  Explanation explanation = explain(plan);
  return fmt::format("{} regions, {} bytes stored", explanation.regions.size(), explanation.stored_bytes);
}

// What differs between two spellings; nothing if nothing does.
Finding difference(const Mathematics& what, const Spelling& a, const Spelling& b) {
  try {
    const std::int64_t small = is_square(what) ? 6 : 5, large = 192;
    const Sizes tiny = {{"B", 2}, {"H", 2}, {"T", small}, {"K", 6}, {"E", 3}, {"D", 4}};
    const Sizes usual = {{"B", 1}, {"H", 4}, {"T", large}, {"K", large}, {"E", 32}, {"D", 32}};
    Graph first = graph_of(what, a, tiny), second = graph_of(what, b, tiny);
    constexpr EvaluateOptions exactly{EvaluateOptions::Precision::f64};
    if (Finding found = difference(evaluate(first, values_of(first, a), exactly), evaluate(second, values_of(second, b), exactly), 1e-9))
      return "values: " + *found;
    Machine machine;  // On which blocks always win.
    machine.bytes_per_second = 1e3;
    machine.launch_seconds = 0;
    for (bool with_gradient : {false, true}) {
      auto planned = [&](const Spelling& how) {
        Graph graph = graph_of(what, how, usual);
        return counts(make_plan(with_gradient ? with_gradients(graph, true) : graph, {.machine = machine}));
      };
      std::string one = planned(a), other = planned(b);
      if (one != other) return fmt::format("{}: {} and {}", with_gradient ? "with gradients" : "forward", one, other);
    }
    return {};
  } catch (const std::exception& error) {
    return error.what();
  }
}

class EquivalentPairs : public testing::TestWithParam<int> {};

TEST_P(EquivalentPairs, HaveTheSamePlans) {
  const std::int64_t first = setting("HEED_RANDOM_SEED", 1), count = setting("HEED_RANDOM_COUNT", 1000);
  const std::int64_t most_failures = setting("HEED_RANDOM_FAILURES", 3);
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(setting("HEED_RANDOM_SECONDS", 30));
  int failures = 0, done = 0;
  for (std::int64_t seed = first + GetParam(); seed < first + count && failures < most_failures; seed += 2, ++done) {
    if (std::chrono::steady_clock::now() > end) break;
    const Mathematics what = random_mathematics(static_cast<std::uint64_t>(seed));
    Spelling a = random_spelling(static_cast<std::uint64_t>(2 * seed)), b = random_spelling(static_cast<std::uint64_t>(2 * seed + 1));
    Finding found = difference(what, a, b);
    if (!found) continue;
    ++failures;
    for (std::size_t way = 0; way < a.choice.size(); ++way) {
      for (int usual : {0, a.choice[way], b.choice[way]}) {
        Spelling one = a, other = b;
        one.choice[way] = other.choice[way] = usual;
        Finding again = difference(what, one, other);
        if (!again) continue;
        a = one, b = other, found = again;
        break;
      }
    }
    ADD_FAILURE() << "seed " << seed << ": " << *found << "\n" << written(what, a) << written(what, b);
  }
  std::printf("%d pairs\n", done);
}

INSTANTIATE_TEST_SUITE_P(Halves, EquivalentPairs, testing::Values(0, 1));

}  // namespace
}  // namespace heed
