// Commands that find their program in the cache, and everything that makes them compile anew.
#include <gtest/gtest.h>

#include <fstream>
#include <regex>

#include "tests/tools/run_heed.h"

namespace heed {
namespace {

class WarmStart : public testing::Test {
 protected:
  void SetUp() override {
    folder.write("layers.heed", "fn double(x: f32[T, E]) -> f32[T, E] {\n  return 2 * x\n}\n");
    folder.write("model.heed",
                 "import \"layers.heed\" as layers\nlet strength = 3\n"
                 "fn f(x: f32[T, E]) -> f32[T, E] {\n  return softmax(layers.double(x) * strength) @ transpose(x) @ x\n}\n");
  }
  Outcome run(std::vector<std::string> more = {}) {
    std::vector<std::string> arguments{"run", "model.heed", "-v", "--cache", "kept", "--size", "T=16,E=16"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    Outcome outcome = run_heed(arguments, folder.path());
    EXPECT_EQ(outcome.status, 0) << outcome.errors;
    return outcome;
  }
  static bool is_warm(const Outcome& outcome) { return outcome.errors.find("are from the cache") != std::string::npos; }
  std::filesystem::path program() const {
    for (const auto& entry : std::filesystem::directory_iterator(folder / "kept"))
      if (entry.path().extension() == ".program") return entry.path();
    return {};
  }
  Folder folder;
};

TEST_F(WarmStart, GivesTheSameAndSaysWhatCameFromTheCache) {
  Outcome first = run();
  EXPECT_FALSE(is_warm(first));
  EXPECT_NE(first.errors.find("planned anew (the cache has no program of this model"), std::string::npos) << first.errors;
  EXPECT_NE(first.errors.find("compiled: "), std::string::npos) << first.errors;
  Outcome second = run();
  EXPECT_TRUE(is_warm(second)) << second.errors;
  EXPECT_EQ(first.output, second.output);
  EXPECT_TRUE(is_warm(run({"--seed", "7", "--threads", "1"})));  // Neither decides what is compiled.
}

TEST_F(WarmStart, WhateverDecidesTheProgramIsLookedAt) {
  Outcome first = run();
  EXPECT_FALSE(is_warm(run({"--size", "T=17"})));
  EXPECT_FALSE(is_warm(run({"--set", "strength=4"})));
  EXPECT_FALSE(is_warm(run({"--grad"})));
  EXPECT_FALSE(is_warm(run({"--exact"})));
  EXPECT_FALSE(is_warm(run({"--memory", "1GB"})));
  folder.write("layers.heed", "fn double(x: f32[T, E]) -> f32[T, E] {\n  return 3 * x\n}\n");
  Outcome changed = run();
  EXPECT_FALSE(is_warm(changed));
  EXPECT_NE(first.output, changed.output);
  folder.write("layers.heed", "fn double(x: f32[T, E]) -> f32[T, E] {\n  return 2 * x\n}\n");
  EXPECT_TRUE(is_warm(run()));
}

TEST_F(WarmStart, ADamagedProgramIsCompiledAnew) {
  Outcome first = run();
  std::filesystem::resize_file(program(), std::filesystem::file_size(program()) / 2);
  Outcome second = run();
  EXPECT_NE(second.errors.find("damaged"), std::string::npos) << second.errors;
  EXPECT_EQ(first.output, second.output);
  EXPECT_TRUE(is_warm(run()));
}

TEST_F(WarmStart, TwoProcessesAtOnce) {
  const std::string one = std::string(HEED_BINARY) + " run model.heed --cache kept --size T=40,E=24";
  Outcome both = run_program(
      {"bash", "-c", "for k in 1 2 3 4; do " + one + " > out.$k & done; wait; for k in 2 3 4; do cmp out.1 out.$k; done"}, folder.path());
  EXPECT_EQ(both.status, 0) << both.output << both.errors;
  EXPECT_NE(read_text(folder / "out.1"), "");
  EXPECT_TRUE(is_warm(run({"--size", "T=40,E=24"})));
}

TEST_F(WarmStart, WhatALimitOnMemoryCostsIsToldAgain) {
  folder.write("loss.heed", "fn f(x: f32[T, E], w: f32[E, V], label: i32[T]) -> f32[] {\n  return mean(cross_entropy(x @ w, label))\n}\n");
  std::vector<std::string> command{"run", "loss.heed", "--grad", "--cache", "kept", "--size", "T=512,E=256,V=2048", "--memory", "10MB"};
  Outcome first = run_heed(command, folder.path()), second = run_heed(command, folder.path());
  ASSERT_EQ(first.status, 0) << first.errors;
  EXPECT_NE(first.errors.find("times the arithmetic"), std::string::npos) << first.errors;
  EXPECT_EQ(first.errors, second.errors);
  EXPECT_EQ(first.output, second.output);
}

}  // namespace
}  // namespace heed
