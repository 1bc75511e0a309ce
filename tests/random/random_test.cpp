// Random graphs through every check. HEED_RANDOM_COUNT: how many (200), HEED_RANDOM_SEED: the first (1), HEED_RANDOM_SECONDS: at most
// this long for each test (25). A failure prints its seed and the smallest graph that still fails, and leaves that as a model file.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "ir/language/elaborate.h"
#include "ir/print.h"
#include "tests/device.h"
#include "tests/machines.h"
#include "tests/random/check.h"
#include "tests/random/generate.h"

namespace heed {
namespace {

std::int64_t setting(const char* name, std::int64_t usual) {
  const char* text = std::getenv(name);
  return text ? std::atoll(text) : usual;
}

void report(std::uint64_t seed, const std::string& what, const Graph& graph, const GraphCheck& check) {
  Graph small = shrunk(graph, check);
  std::string text = print(small);
  std::filesystem::path file = std::filesystem::temp_directory_path() / fmt::format("heed_random_{}_{}.heed", what, seed);
  std::ofstream(file) << text;
  ADD_FAILURE() << "seed " << seed << ", " << what << ": " << check(small).value_or(check(graph).value_or("only once")) << "\n"
                << text << "see: heed run --evaluator " << file.string();
}

void check_random_graphs(const std::string& what, const GraphCheck& check, bool smooth = false, std::int64_t usual = 200) {
  auto begin = std::chrono::steady_clock::now();
  auto first = static_cast<std::uint64_t>(setting("HEED_RANDOM_SEED", 1));
  std::int64_t count = setting("HEED_RANDOM_COUNT", usual), limit = setting("HEED_RANDOM_SECONDS", 25), done = 0, failures = 0;
  for (std::uint64_t seed = first; done < count && failures < 3; ++seed, ++done) {
    if (std::chrono::steady_clock::now() - begin > std::chrono::seconds(limit)) break;
    Graph graph = random_graph(seed, smooth);
    if (!check(graph)) continue;
    report(seed, what, graph, check);
    ++failures;
  }
  ::testing::Test::RecordProperty("graphs", static_cast<int>(done));
  std::printf("%lld graphs\n", static_cast<long long>(done));
}

TEST(RandomGraphs, PassesKeepTheirMeaning) { check_random_graphs("passes", check_passes); }
TEST(RandomGraphs, PassesKeepGradients) { check_random_graphs("gradient_passes", check_passes_of_gradients); }
TEST(RandomGraphs, GradientsAreDerivatives) { check_random_graphs("derivatives", check_derivatives, true); }
TEST(RandomGraphs, PrintedOnesReadBack) { check_random_graphs("round_trip", check_round_trip); }
TEST(RandomGraphs, CompiledAsEvaluated) { check_random_graphs("compiled", check_compiled); }
TEST(RandomGraphs, CompiledGradientsAsEvaluated) { check_random_graphs("compiled_gradients", check_compiled_gradients); }
TEST(RandomGraphs, SharedCodeGivesTheSameBits) { check_random_graphs("shared_code", check_shared_code, false, 40); }

TEST(RandomGraphs, InBf16AsEvaluated) {
  check_random_graphs("bf16", [](const Graph& graph) { return check_in_bf16(graph, {}); }, true, 40);
}

// Each was a fault once that long runs found.
TEST(RandomGraphs, SeedsThatFailedOnce) {
  for (std::uint64_t seed : {1004U, 5036U, 5159U, 5257U, 20701U, 20820U, 20843U, 22394U, 22674U, 24726U, 32631U, 41722U})
    for (const GraphCheck& check : {check_passes, check_passes_of_gradients, check_round_trip, check_compiled, check_compiled_gradients})
      if (Graph graph = random_graph(seed, false); check(graph)) report(seed, "once", graph, check);
  // A sum stands in the condition of another one over the same axis.
  if (Graph graph = random_graph(5257, true); check_compiled_gradients(graph)) report(5257, "once", graph, check_compiled_gradients);
}

Graph attention_graph(std::uint64_t seed) {
  std::string text = random_attention(seed);
  Diagnostics diagnostics;
  auto module = parse_module("random.heed", text, diagnostics);
  auto model = module ? elaborate(*module, {}, diagnostics) : std::nullopt;
  if (!model) throw std::logic_error(fmt::format("seed {}\n{}{}", seed, text, diagnostics.text(false)));
  return model->graph;
}

// Every other plan cuts columns into blocks, too, where there are kernels for that.
Machine machine_for(std::uint64_t seed) { return seed % 2 == 0 || test_device_name() != "cpu" ? eager_machine() : narrow_machine(); }

bool has_fault_in_blocks(std::uint64_t seed, const Machine& machine, bool* goes_by_blocks = nullptr) {
  Graph graph = attention_graph(seed);
  if (!check_in_blocks(graph, machine, goes_by_blocks)) return false;
  report(seed, "attention", graph, [&](const Graph& smaller) { return check_in_blocks(smaller, machine); });
  return true;
}

// Each was a fault once that long runs found.
TEST(RandomAttention, SeedsThatFailedOnce) {
  for (std::uint64_t seed : {287U, 528U, 729U, 2511U, 4670U, 6638U, 8840U, 13174U, 18783U})
    for (const Machine& machine : {eager_machine(), narrow_machine()}) has_fault_in_blocks(seed, machine);
}

TEST(RandomAttention, InBf16AsEvaluated) {
  const auto first = static_cast<std::uint64_t>(setting("HEED_RANDOM_SEED", 1));
  const auto count = static_cast<std::uint64_t>(setting("HEED_RANDOM_COUNT", 20));
  for (std::uint64_t seed = first; seed < first + count; ++seed) {
    const GraphCheck check = [&](const Graph& graph) { return check_in_bf16(graph, machine_for(seed + 1)); };
    if (Graph graph = attention_graph(seed); check(graph)) report(seed, "attention in bf16", graph, check);
  }
}

// Half of the graphs of HEED_RANDOM_COUNT for each of the two (500 in all), so that they can run side by side.
class RandomAttentions : public testing::TestWithParam<int> {};

TEST_P(RandomAttentions, InBlocksAsWithout) {
  auto begin = std::chrono::steady_clock::now();
  const std::int64_t count = setting("HEED_RANDOM_COUNT", 500), limit = setting("HEED_RANDOM_SECONDS", 60);
  std::int64_t done = 0, in_blocks = 0, failures = 0;
  for (std::int64_t k = GetParam(); k < count && failures < 3; k += 2, ++done) {
    if (std::chrono::steady_clock::now() - begin > std::chrono::seconds(limit)) break;
    const auto seed = static_cast<std::uint64_t>(setting("HEED_RANDOM_SEED", 1) + k);
    bool goes_by_blocks = false;
    failures += has_fault_in_blocks(seed, machine_for(seed % 4 / 2), &goes_by_blocks);
    in_blocks += goes_by_blocks;
  }
  ::testing::Test::RecordProperty("graphs", static_cast<int>(done));
  std::printf("%lld graphs, %lld in blocks\n", static_cast<long long>(done), static_cast<long long>(in_blocks));
  constexpr std::int64_t enough_to_judge = 50;  // a loaded machine does few in its time
  if (done >= enough_to_judge) EXPECT_GE(in_blocks * 2, done) << "too few of them go by blocks";
}

INSTANTIATE_TEST_SUITE_P(Halves, RandomAttentions, testing::Values(0, 1));

TEST(RandomModels, ThroughEveryCheck) {
  auto begin = std::chrono::steady_clock::now();
  auto first = static_cast<std::uint64_t>(setting("HEED_RANDOM_SEED", 1));
  std::int64_t count = setting("HEED_RANDOM_COUNT", 100), limit = setting("HEED_RANDOM_SECONDS", 25);
  for (std::uint64_t seed = first; seed < first + static_cast<std::uint64_t>(count); ++seed) {
    if (std::chrono::steady_clock::now() - begin > std::chrono::seconds(limit) || ::testing::Test::HasFailure()) break;
    std::string text = random_model(seed);
    Diagnostics diagnostics;
    auto module = parse_module("random.heed", text, diagnostics);
    ASSERT_TRUE(module) << diagnostics.text(false);
    auto model = elaborate(*module, {}, diagnostics);
    ASSERT_TRUE(model) << diagnostics.text(false);
    for (const GraphCheck& check :
         {check_passes, check_passes_of_gradients, check_derivatives, check_round_trip, check_compiled, check_compiled_gradients})
      if (check(model->graph)) report(seed, "model", model->graph, check);
  }
}

}  // namespace
}  // namespace heed
