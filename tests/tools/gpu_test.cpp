// Kernels for GPUs through the binary: written for every chip, assembled where there is an assembler, run on the simulated one.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <sstream>

#include "tests/tools/run_heed.h"

namespace heed {
namespace {

bool has_assembler() { return run_heed({"devices"}).output.find("ptxas none") == std::string::npos; }

struct Case {
  const char* name;
  std::vector<std::string> arguments;
  std::vector<std::string> targets;  // all of them with HEED_EVERY_CHIP
};
std::ostream& operator<<(std::ostream& out, const Case& each) { return out << each.name; }

// `most_spilled`: bytes of a kernel.
void expect_assembled(const std::filesystem::path& file, const std::string& target, int most_spilled = 0) {
  std::istringstream report(read_text(file));
  std::string line;
  std::getline(report, line);
  std::getline(report, line);
  while (std::getline(report, line)) {
    EXPECT_EQ(line.find("C75"), std::string::npos) << target << ": " << line;
    std::istringstream words(line);
    std::string kernel;
    int registers = 0, shared = 0, stored = -1, loaded = -1, occupancy = 0;
    words >> kernel >> registers >> shared >> stored >> loaded >> occupancy;
    EXPECT_GE(stored, 0) << target << ": " << line;
    EXPECT_LE(stored + loaded, 2 * most_spilled) << target << ": " << line;
    EXPECT_GT(registers, 0) << line;
    EXPECT_GT(occupancy, 0) << target << ", a block has more registers or memory than there are: " << line;
  }
}

class Assembled : public testing::TestWithParam<Case> {};

// No kernel spills registers but a value outside of its loops, for every chip some a few; and ptxas has nothing to say about it.
TEST_P(Assembled, ForEveryChip) {
  bool assembles = has_assembler();
  static const std::vector<std::string> every{"sm_75", "sm_80", "sm_86", "sm_89", "sm_90", "sm_90a", "sm_100", "sm_120"};
  const bool for_every_chip = std::getenv("HEED_EVERY_CHIP") != nullptr;
  for (const std::string& target : for_every_chip ? every : GetParam().targets) {
    if (target == "sm_75" && std::ranges::find(GetParam().arguments, "bf16") != GetParam().arguments.end()) continue;  // It has none.
    Folder folder;
    std::vector<std::string> arguments{"build"};
    arguments.insert(arguments.end(), GetParam().arguments.begin(), GetParam().arguments.end());
    for (const std::string& each : {std::string("--target"), target, std::string("-o"), (folder / "out").string()})
      arguments.push_back(each);
    Outcome outcome = run_heed(arguments, source_folder());
    ASSERT_EQ(outcome.status, 0) << target << ": " << outcome.errors;
    std::string ptx = read_text(folder / "out" / "kernel_000.ptx");
    EXPECT_NE(ptx.find(".target " + target), std::string::npos) << ptx.substr(0, 300);
    if (assembles) expect_assembled(folder / "out" / "report.txt", target, for_every_chip ? 144 : 4);
  }
  if (!assembles) GTEST_SKIP() << "there is no ptxas here: PTX was written and not assembled";
}

INSTANTIATE_TEST_SUITE_P(
    Samples, Assembled,
    testing::Values(
        Case{"Gpt",
             {"examples/gpt.heed", "--train", "--set", "width=64,heads=2,depth=1,context=64", "--size", "B=4,T=64"},
             {"sm_80", "sm_120"}},
        Case{"AttentionCnn", {"examples/attention_cnn.heed", "--train", "--size", "B=8"}, {"sm_90a"}},
        Case{"FashionCnn", {"examples/fashion_cnn.heed", "--train", "--size", "B=8"}, {"sm_86"}},
        Case{"Gpt2", {"examples/gpt2.heed", "--train", "--precision", "bf16", "--set", "depth=1", "--size", "B=1,T=256"}, {"sm_90"}},
        Case{"HalfOnTuring",
             {"examples/attention_variants.heed:causal", "--grad", "--precision", "f16", "--size", "B=2,H=2,Q=128,K=128,E=64,D=64"},
             {"sm_75"}},
        Case{"Attention",
             {"examples/attention_variants.heed:causal", "--grad", "--size", "B=2,H=2,Q=128,K=128,E=64,D=64"},
             {"sm_75", "sm_80", "sm_86", "sm_89", "sm_90", "sm_90a", "sm_100", "sm_120"}},
        Case{"Registers",
             {"examples/attention_variants.heed:causal", "--precision", "bf16", "--size", "B=1,H=2,Q=1024,K=1024,E=64,D=64"},
             {"sm_80", "sm_90", "sm_90a"}},
        Case{"Groups",
             {"examples/attention_variants.heed:causal", "--precision", "bf16", "--size", "B=1,H=2,Q=1024,K=1024,E=128,D=128"},
             {"sm_90a"}},
        Case{"GradientsInRegisters",
             {"examples/attention_variants.heed:causal", "--grad", "--precision", "bf16", "--size", "B=1,H=2,Q=1024,K=1024,E=128,D=128"},
             {"sm_80"}},
        Case{"GradientsInGroups",
             {"examples/attention_variants.heed:sigmoid_attention", "--grad", "--precision", "bf16", "--size", "B=1,H=2,T=1024,E=64,D=64"},
             {"sm_90a"}},
        Case{"TensorCores",
             {"examples/attention_variants.heed:causal", "--grad", "--precision", "bf16", "--size", "B=2,H=2,Q=128,K=128,E=64,D=64"},
             {"sm_80", "sm_90a"}}),
    [](const auto& each) { return std::string(each.param.name); });

// Products of what is stored in bf16: the largest tiles go through the ring of slices, with no register in memory.
TEST(AssembledProducts, OfStoredBf16) {
  Folder folder;
  const std::string file = folder
                               .write("products.heed",
                                      "fn rows(a: bf16[M, K], b: bf16[N, K]) -> bf16[M, N] { return a @ transpose(b) }\n"
                                      "fn columns(a: bf16[K, M], b: bf16[K, N]) -> bf16[M, N] { return transpose(a) @ b }\n")
                               .string();
  const bool assembles = has_assembler();
  for (const char* entry : {"rows", "columns"})
    for (const char* target : {"sm_80", "sm_86", "sm_90a"}) {
      Outcome outcome =
          run_heed({"build", file + ":" + entry, "--size", "M=4096,N=4096,K=4096", "--target", target, "-o", (folder / "out").string()});
      ASSERT_EQ(outcome.status, 0) << target << ": " << outcome.errors;
      const std::string ptx = read_text(folder / "out" / "kernel_000.ptx");
      const std::vector<const char*> ring{"cp.async.cg.shared.global", "cp.async.wait_group 1", "ldmatrix", "mma.sync.aligned.m16n8k16"};
      const std::vector<const char*> wide{"cp.async.bulk.tensor", "mbarrier.try_wait", "setmaxnreg.inc",
                                          "wgmma.mma_async.sync.aligned.m64n256k16"};
      for (const char* each : std::string(target) == "sm_90a" ? wide : ring)
        EXPECT_NE(ptx.find(each), std::string::npos) << target << ": no " << each;
      if (assembles) expect_assembled(folder / "out" / "report.txt", target);
    }
  if (!assembles) GTEST_SKIP() << "there is no ptxas here: PTX was written and not assembled";
}

// The two kernels of attention's gradients, for all targets: what ptxas keeps in memory are single values outside of their loops.
TEST(AssembledGradients, OfAttentionInRegisters) {
  if (!has_assembler()) GTEST_SKIP() << "there is no ptxas here: kernels of attention's gradients were not assembled";
  Folder folder;
  const std::string file = folder
                               .write("attention.heed",
                                      "fn loss(q: f32[H, T, E], k: f32[H, T, E], v: f32[H, T, E], w: f32[H, T, E]) -> f32[] {\n"
                                      "  return sum(softmax(q @ transpose(k) / sqrt(E)) @ v * w)\n}\n")
                               .string();
  std::vector<const char*> targets{"sm_80", "sm_86", "sm_100"};
  if (std::getenv("HEED_EVERY_CHIP")) targets = {"sm_80", "sm_86", "sm_89", "sm_90", "sm_100", "sm_120"};
  for (const char* size : {"H=4,T=1024,E=64", "H=4,T=1024,E=128"})
    for (const char* target : targets) {
      Outcome outcome =
          run_heed({"build", file, "--grad", "--precision", "bf16", "--size", size, "--target", target, "-o", (folder / "out").string()});
      ASSERT_EQ(outcome.status, 0) << target << ": " << outcome.errors;
      std::istringstream report(read_text(folder / "out" / "report.txt"));
      int kernels = 0;
      for (std::string line; std::getline(report, line);) {
        if (line.find("gradient of softmax over") == std::string::npos) continue;
        ++kernels;
        std::istringstream fields(line);
        std::string name;
        int registers = 0, shared = 0, spilled = 0;
        fields >> name >> registers >> shared >> spilled;
        EXPECT_LE(spilled, 8) << target << ", " << size << ": " << line;
      }
      EXPECT_EQ(kernels, 2) << target;
    }
}

void expect_same_numbers(std::vector<std::string> arguments, double tolerance = 2e-5, const std::string& device = "cuda-sim") {
  Outcome cpu = run_heed(arguments, source_folder());
  arguments.insert(arguments.end(), {"--device", device});
  Outcome gpu = run_heed(arguments, source_folder());
  ASSERT_EQ(gpu.status, 0) << gpu.errors;
  std::vector<double> expected = numbers_of(cpu.output), got = numbers_of(gpu.output);
  ASSERT_FALSE(expected.empty());
  ASSERT_EQ(got.size(), expected.size());
  for (std::size_t k = 0; k < got.size(); ++k) EXPECT_NEAR(got[k], expected[k], tolerance * (1 + std::abs(expected[k])));
}

// --precision bf16 is enough for attention to be one kernel with its scores in registers; in f32 the reason is told.
TEST(Gpu, AttentionInRegisters) {
  Folder folder;
  for (const std::string precision : {"bf16", "f16", "f32"}) {
    Outcome outcome = run_heed({"build", "examples/attention_variants.heed:alibi", "--precision", precision, "--size",
                                "B=1,H=2,T=1024,E=64,D=64", "--target", "sm_80", "-o", (folder / precision).string()},
                               source_folder());
    ASSERT_EQ(outcome.status, 0) << outcome.errors;
    const bool has_reason = outcome.output.find("its values do not stay in registers: `q` is f32") != std::string::npos;
    EXPECT_EQ(has_reason, precision == "f32") << outcome.output;
    bool has_fragments = false;
    for (const auto& entry : std::filesystem::directory_iterator(folder / precision))
      if (entry.path().extension() == ".ptx") {
        const std::string ptx = read_text(entry.path());
        has_fragments |= ptx.find("mma.sync") != std::string::npos && ptx.find("cp.async") != std::string::npos &&
                         ptx.find(".maxntid 128") != std::string::npos;
      }
    EXPECT_EQ(has_fragments, precision != "f32");
  }
}

// Where groups of warps multiply together, they do so from boxes and from registers.
TEST(Gpu, AttentionOfGroups) {
  Folder folder;
  Outcome outcome = run_heed({"build", "examples/attention_variants.heed:causal", "--precision", "bf16", "--size",
                              "B=1,H=2,Q=1024,K=1024,E=64,D=64", "--target", "sm_90a", "-o", (folder / "out").string()},
                             source_folder());
  ASSERT_EQ(outcome.status, 0) << outcome.errors;
  const std::string ptx = read_text(folder / "out" / "kernel_001.ptx");
  for (const char* each : {"cp.async.bulk.tensor", "mbarrier.try_wait", "setmaxnreg.inc", "wgmma.mma_async.sync.aligned.m64n128k16",
                           "wgmma.mma_async.sync.aligned.m64n64k16"})
    EXPECT_NE(ptx.find(each), std::string::npos) << each;
  EXPECT_EQ(ptx.find("mma.sync.aligned"), std::string::npos);
}

// Tensor cores of sm_75 multiply half the depth at a time.
TEST(Gpu, HalvesOfAProductOnTuring) {
  Folder folder;
  folder.write("product.heed", "fn f(a: f32[M, K], b: f32[K, N]) -> f32[M, N] { return a @ b }\n");
  Outcome outcome = run_heed(
      {"build", "product.heed", "--precision", "f16", "--size", "M=256,N=256,K=256", "--target", "sm_75", "-o", "out"}, folder.path());
  ASSERT_EQ(outcome.status, 0) << outcome.errors;
  bool multiplies = false;
  for (const auto& entry : std::filesystem::directory_iterator(folder / "out"))
    if (entry.path().extension() == ".ptx") {
      const std::string ptx = read_text(entry.path());
      multiplies |= ptx.find("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32") != std::string::npos;
      EXPECT_EQ(ptx.find("m16n8k16"), std::string::npos);
      EXPECT_EQ(ptx.find("cp.async"), std::string::npos);
    }
  EXPECT_TRUE(multiplies);
}

TEST(SimulatedGpu, AttentionWithGradients) {
  expect_same_numbers({"run", "examples/attention_variants.heed:causal", "--grad", "--size", "B=1,H=2,Q=150,K=150,E=64,D=64"});
}

TEST(SimulatedGpu, AttentionInBlocks) {
  expect_same_numbers({"run", "examples/attention_variants.heed:causal", "--grad", "--size", "B=1,H=1,Q=512,K=512,E=16,D=16"});
}

TEST(SimulatedGpu, AttentionInBf16) {
  expect_same_numbers(
      {"run", "examples/attention_variants.heed:causal", "--grad", "--precision", "bf16", "--size", "B=1,H=2,Q=150,K=150,E=64,D=64"}, 4e-3);
}

// As long as it takes for groups of warps to multiply together.
TEST(SimulatedGpu, OfOtherChips) {
  const std::vector<std::string> causal{"run", "examples/attention_variants.heed:causal", "--size", "B=1,H=1,Q=400,K=400,E=64,D=64",
                                        "--precision"};
  auto in = [&](const char* precision) {
    std::vector<std::string> all = causal;
    all.emplace_back(precision);
    return all;
  };
  expect_same_numbers(in("bf16"), 4e-3, "cuda-sim:sm_90a");
  expect_same_numbers(in("bf16"), 4e-3, "cuda-sim:sm_90a:5");
  expect_same_numbers(in("f16"), 4e-3, "cuda-sim:sm_75");
}

// Batches that were put ahead, tests in between, and what is left of the test set.
TEST(SimulatedGpu, TrainsAsTheProcessorDoes) {
  Folder folder;
  std::string text;
  for (int k = 0; k < 40; ++k) text += "the quick brown fox " + std::to_string(k * k % 17) + " jumps\n";
  const std::string file = folder.write("text.txt", text).string();
  auto losses = [&](const std::string& device) {
    Outcome outcome =
        run_heed({"train", "examples/gpt.heed", "--set", "file=" + file + ",width=16,heads=2,depth=1,context=16,batch=4,updates=4",
                  "--json", "--device", device, "--out", (folder / device).string()},
                 source_folder());
    EXPECT_EQ(outcome.status, 0) << outcome.errors;
    std::vector<double> all;
    std::istringstream lines(outcome.output);
    for (std::string line; std::getline(lines, line);)
      if (const std::size_t at = line.find("\"loss\":"); at != std::string::npos) all.push_back(std::stod(line.substr(at + 7)));
    return all;
  };
  const std::vector<double> expected = losses("cpu"), got = losses("cuda-sim");
  ASSERT_GE(expected.size(), 5U);  // four steps and a test
  ASSERT_EQ(got.size(), expected.size());
  for (std::size_t k = 0; k < got.size(); ++k) EXPECT_NEAR(got[k], expected[k], 1e-4) << k;
}

TEST(SimulatedGpu, GradientsAreChecked) {
  Outcome outcome = run_heed(
      {"gradcheck", "examples/attention_variants.heed:sink", "--size", "B=1,H=2,T=9,E=4,D=5", "--device", "cuda-sim"}, source_folder());
  EXPECT_EQ(outcome.status, 0) << outcome.errors;
  EXPECT_NE(outcome.output.find("on cuda-sim"), std::string::npos) << outcome.output;
}

}  // namespace
}  // namespace heed
