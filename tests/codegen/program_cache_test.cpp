// Programs that the cache gives back: the same bits as fresh ones, and nothing where a file is damaged.
#include "codegen/program_cache.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <thread>

#include "codegen/program_bytes.h"
#include "ir/fingerprint.h"
#include "ir/language/elaborate.h"
#include "passes/pipeline.h"
#include "passes/with_gradients.h"
#include "tests/codegen/compiled.h"

namespace heed {
namespace {

namespace fs = std::filesystem;

Elaborated required(std::optional<Elaborated> elaborated, const Diagnostics& diagnostics) {
  if (!elaborated) throw std::runtime_error(diagnostics.text(false));
  return std::move(*elaborated);
}

Graph gpt_step() {
  Diagnostics diagnostics;
  auto module = load_module(std::string(HEED_SOURCE_DIR) + "/examples/gpt.heed", diagnostics);
  Settings settings{{"width", "32"}, {"heads", "2"}, {"depth", "2"}, {"context", "64"}, {"vocab", "37"}};
  ElaborateRequest request{.settings = settings, .sizes = {{"B", 3}, {"T", 48}}, .training = true};
  return required(elaborate_training(*module, request, diagnostics), diagnostics).graph;
}

// Blocks whose columns are chosen by data.
Graph documents() {
  Diagnostics diagnostics;
  auto module = load_module(std::string(HEED_SOURCE_DIR) + "/examples/attention_variants.heed", diagnostics);
  ElaborateRequest request{.entry = "documents", .sizes = {{"B", 2}, {"H", 2}, {"T", 512}, {"E", 16}, {"D", 16}}};
  return with_gradients(required(elaborate(*module, request, diagnostics), diagnostics).graph);
}

// A loop, also backward, and indices that are checked.
Graph recurrent(std::int64_t length = 5) {
  Diagnostics diagnostics;
  auto module = parse_module(
      "recurrent.heed",
      "fn recurrent(x: f32[T, K], table: f32[9, K], ids: i32[T], w: f32[K, N], u: f32[N, N]) -> f32[T, N] {\n"
      "  hs, last = scan(e in x + gather(table, ids, axis = 0), h = zeros([N])) {\n    h = tanh(e @ w + h @ u)\n    yield h\n  }\n"
      "  return hs * last\n}\n",
      diagnostics);
  ElaborateRequest request{.sizes = {{"T", length}, {"K", 12}, {"N", 20}}};
  return with_gradients(required(elaborate(*module, request, diagnostics), diagnostics).graph);
}

class Programs : public ::testing::Test {
 protected:
  void SetUp() override {
    folder = fs::temp_directory_path() / fmt::format("heed_program_test_{}", getpid());
    fs::remove_all(folder);
    options.settings.cache = {.enabled = true, .folder = folder};
  }
  void TearDown() override {
    std::error_code ignored;
    fs::remove_all(folder, ignored);
  }
  // As a command does it.
  Compilation get(const Graph& graph) {
    ProgramCache cache(fingerprint(graph), options);
    ProgramCache::Found found = cache.find();
    why_none = found.why_none, note = found.note;
    if (found.compilation) return std::move(*found.compilation);
    Compilation fresh = compile(make_plan(graph), options);
    cache.store(fresh, "a note");
    return fresh;
  }
  fs::path file() const {
    for (const auto& entry : fs::directory_iterator(folder))
      if (entry.path().extension() == program_extension) return entry.path();
    return {};
  }
  void expect_same_bits(const Graph& graph) {
    Compilation fresh = get(graph);
    ASSERT_GT(fresh.compiled, 0);
    EXPECT_NE(why_none.find("has no program"), std::string::npos);
    Compilation loaded = get(graph);
    EXPECT_EQ(why_none, "");
    EXPECT_EQ(note, "a note");
    EXPECT_EQ(loaded.compiled, 0);
    EXPECT_EQ(loaded.from_cache, fresh.compiled + fresh.from_cache);
    EXPECT_EQ(bytes_of({loaded.program, loaded.kernels, ""}), bytes_of({fresh.program, fresh.kernels, ""}));
    std::map<std::string, Tensor> inputs = inputs_for(graph, 1);
    std::vector<Tensor> expected = run_compiled(fresh.program, inputs, 2), got = run_compiled(loaded.program, inputs, 2);
    ASSERT_EQ(expected.size(), got.size());
    for (std::size_t k = 0; k < got.size(); ++k) EXPECT_EQ(expected[k].bytes, got[k].bytes) << k;
  }
  fs::path folder;
  CompileOptions options;
  std::string why_none, note;
};

TEST_F(Programs, OfATrainingStepComesBack) { expect_same_bits(gpt_step()); }
TEST_F(Programs, InBlocksComesBack) { expect_same_bits(documents()); }
TEST_F(Programs, WithLoopsComesBack) { expect_same_bits(recurrent()); }

TEST_F(Programs, OtherSizesOrTargetsAreOtherPrograms) {
  get(recurrent());
  EXPECT_EQ(get(recurrent()).compiled, 0);
  get(recurrent(6));
  EXPECT_NE(why_none, "");
  options.target.level2_bytes *= 2;
  EXPECT_GT(get(recurrent()).compiled, 0);
}

TEST_F(Programs, DamagedFilesAreRewritten) {
  Graph graph = recurrent();
  get(graph);
  fs::path path = file();
  std::ifstream in(path, std::ios::binary);
  std::string whole((std::istreambuf_iterator<char>(in)), {});
  std::string flipped = whole;
  flipped[whole.size() / 2] ^= 4;
  for (const std::string& content : {flipped, whole.substr(0, whole.size() / 2), std::string(), std::string("no program"), whole + "x"}) {
    std::ofstream(path, std::ios::binary | std::ios::trunc) << content;
    EXPECT_EQ(get(graph).compiled, 0);  // Its kernels are there.
    EXPECT_NE(why_none.find("damaged"), std::string::npos);
    get(graph);
    EXPECT_EQ(why_none, "");
  }
}

TEST_F(Programs, WithoutItsKernelsIsCompiledAnew) {
  Graph graph = recurrent();
  const int all = get(graph).compiled;
  for (const auto& entry : fs::directory_iterator(folder))
    if (entry.path().extension() == kernel_extension) {
      fs::remove(entry.path());
      break;
    }
  Compilation again = get(graph);
  EXPECT_GE(again.compiled, 1);  // More where kernels that share their code lay in this file.
  EXPECT_GE(again.from_cache, 1);
  EXPECT_EQ(again.compiled + again.from_cache, all);
  EXPECT_NE(why_none.find("lost a kernel"), std::string::npos);
  get(graph);
  EXPECT_EQ(why_none, "");
}

TEST_F(Programs, AreNotKeptWithoutACache) {
  options.settings.cache.enabled = false;
  get(recurrent());
  EXPECT_NE(why_none, "");
  get(recurrent());
  EXPECT_NE(why_none, "");
  EXPECT_FALSE(fs::exists(folder));
}

TEST_F(Programs, ForAGpuComeBackWithTheirCode) {
  options.cuda = cuda_target_named("sm_80");
  Graph graph = recurrent();
  Compilation fresh = get(graph), loaded = get(graph);
  EXPECT_EQ(why_none, "");
  EXPECT_EQ(loaded.compiled, 0);
  EXPECT_EQ(bytes_of({loaded.program, {}, ""}), bytes_of({fresh.program, {}, ""}));
  ASSERT_EQ(loaded.program.kernels.size(), fresh.program.kernels.size());
  for (std::size_t k = 0; k < fresh.program.kernels.size(); ++k) EXPECT_EQ(loaded.program.kernels[k].code, fresh.program.kernels[k].code);
  options.precision = Precision::tf32;
  get(graph);
  EXPECT_NE(why_none, "");
}

TEST_F(Programs, ManyAtOnce) {
  std::vector<std::thread> threads;
  std::vector<std::vector<Tensor>> results(4);
  for (auto& result : results)
    threads.emplace_back([this, &result] {
      Graph graph = recurrent();
      ProgramCache cache(fingerprint(graph), options);
      auto found = cache.find();
      Compilation compilation = found.compilation ? std::move(*found.compilation) : compile(make_plan(graph), options);
      cache.store(compilation, "");
      result = run_compiled(compilation.program, inputs_for(graph, 1));
    });
  for (auto& thread : threads) thread.join();
  for (auto& result : results)
    for (std::size_t k = 0; k < result.size(); ++k) EXPECT_EQ(result[k].bytes, results[0][k].bytes);
  get(recurrent());
  EXPECT_EQ(why_none, "");
}

// Without the checksum of the file before them: what is read is checked, too.
TEST(ProgramBytes, OfAnythingElseAreRefused) {
  Program program = program_without_code(make_plan(gpt_step()));
  std::string whole = bytes_of({program, {"a", "b"}, "note"});
  auto again = program_of(whole);
  ASSERT_TRUE(again);
  EXPECT_EQ(bytes_of(*again), whole);
  EXPECT_EQ(launches_of(again->program).size(), launches_of(program).size());
  EXPECT_FALSE(program_of(whole + "x"));
  const std::size_t step = std::max<std::size_t>(1, whole.size() / 500);
  for (std::size_t k = 0; k < whole.size(); k += step) {
    EXPECT_FALSE(program_of(whole.substr(0, k))) << k;
    for (char bit : {1, 64, -128}) {
      std::string flipped = whole;
      flipped[k] = static_cast<char>(flipped[k] ^ bit);
      program_of(flipped);  // Whatever comes: no fault.
    }
  }
}

}  // namespace
}  // namespace heed
