// --precision and the setting of a train block, through the binary.
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>

#include "tests/tools/run_heed.h"

namespace heed {
namespace {

constexpr const char* model_text = R"(import nn

let file = "data.csv"

model line(x: f32[B, 3], label: i32[B]) -> (loss: f32, logits: f32[B, 2]) {
  layer hidden = nn.linear(3, 24)
  layer middle = nn.linear(24, 24)
  layer head = nn.linear(24, 2)
  logits = head(relu(middle(relu(hidden(x)))))
  return mean(cross_entropy(logits, label)), logits
}

train line {
  minimize loss
  optimizer adam(lr = 1e-2)
  data train = csv(file, label = "label", split = "train")
  batch 8
  epochs 4
  precision bf16
}
)";

class PrecisionOption : public testing::Test {
 protected:
  void SetUp() override {
    folder.write("line.heed", model_text);
    std::string rows = "a,b,c,label\n";
    for (int k = 0; k < 100; ++k)
      rows += std::to_string(k % 7 - 3) + "," + std::to_string(k % 5 - 2) + "," + std::to_string(k % 3 - 1) + "," +
              std::to_string(k % 7 > 3) + "\n";
    folder.write("data.csv", rows);
  }
  // The weights after a training with these arguments besides.
  std::string trained(const std::string& name, std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"train", "line.heed", "--out", name});
    Outcome outcome = run_heed(arguments, folder.path());
    EXPECT_EQ(outcome.status, 0) << outcome.errors;
    return read_text(folder / (name + "/weights.safetensors"));
  }
  Folder folder;
};

TEST_F(PrecisionOption, TheTrainBlockSaysItAndTheCommandLineWins) {
  const std::string block = trained("block", {"--steps", "20"}), f32 = trained("f32", {"--steps", "20", "--precision", "f32"});
  EXPECT_EQ(block, trained("bf16", {"--steps", "20", "--set", "precision=f32", "--precision", "bf16"}));
  EXPECT_EQ(f32, trained("set", {"--steps", "20", "--set", "precision=f32"}));
  EXPECT_NE(block, f32);
  // Weights and checkpoints are those of the model.
  EXPECT_EQ(block.size(), f32.size());
  EXPECT_EQ(std::filesystem::file_size(folder / "block/checkpoint.safetensors"),
            std::filesystem::file_size(folder / "f32/checkpoint.safetensors"));
  Outcome resumed = run_heed({"train", "line.heed", "--out", "block", "--resume", "--steps", "24", "--precision", "f32"}, folder.path());
  EXPECT_EQ(resumed.status, 0) << resumed.errors;
}

TEST_F(PrecisionOption, ResumesWithTheSameBits) {
  const std::string whole = trained("whole", {"--steps", "30"});
  trained("cut", {"--steps", "13"});
  EXPECT_EQ(whole, trained("cut", {"--steps", "30", "--resume"}));
  EXPECT_EQ(whole, trained("threads", {"--steps", "30", "--threads", "3"}));
}

TEST_F(PrecisionOption, TheEvaluatorRoundsTheSameValues) {
  auto values = [&](const std::string& precision, const std::vector<std::string>& more) {
    std::vector<std::string> arguments = {"run", "line.heed", "--size", "B=16", "--grad", "--precision", precision};
    arguments.insert(arguments.end(), more.begin(), more.end());
    Outcome outcome = run_heed(arguments, folder.path());
    EXPECT_EQ(outcome.status, 0) << outcome.errors;
    return numbers_of(outcome.output);
  };
  for (const char* precision : {"bf16", "f16"}) {
    const std::vector<double> compiled = values(precision, {}), evaluated = values(precision, {"--evaluator"}), f32 = values("f32", {});
    ASSERT_EQ(compiled.size(), evaluated.size());
    ASSERT_EQ(compiled.size(), f32.size());
    double from_evaluator = 0, from_f32 = 0;
    for (std::size_t k = 0; k < compiled.size(); ++k) {
      from_evaluator = std::max(from_evaluator, std::abs(compiled[k] - evaluated[k]));
      from_f32 = std::max(from_f32, std::abs(compiled[k] - f32[k]));
    }
    EXPECT_GT(from_f32, 2e-5) << precision;
    EXPECT_LT(from_f32, 3e-2) << precision;
    EXPECT_LT(from_evaluator, 0.5 * from_f32) << precision;
  }
}

TEST_F(PrecisionOption, ExplainShowsTheTypes) {
  Outcome outcome = run_heed({"explain", "line.heed", "--train", "--size", "B=512"}, folder.path());
  EXPECT_NE(outcome.output.find("bf16[B, 24]"), std::string::npos) << outcome.output;
  outcome = run_heed({"explain", "line.heed", "--train", "--size", "B=512", "--precision", "f32"}, folder.path());
  EXPECT_EQ(outcome.output.find("bf16"), std::string::npos) << outcome.output;
}

#if defined(__x86_64__)
TEST_F(PrecisionOption, MatricesOfBf16AreForProcessorsThatHaveThem) {
  folder.write("product.heed", "fn product(a: f32[M, K], b: f32[K, N]) -> f32[M, N] { return a @ b }\n");
  auto instructions = [&](const std::string& precision) {
    Outcome outcome = run_heed(
        {"build", "product.heed", "--cpu", "amx", "--precision", precision, "--size", "M=200,N=200,K=200", "-o", precision}, folder.path());
    EXPECT_EQ(outcome.status, 0) << outcome.errors;
    std::string text;
    for (const auto& file : std::filesystem::directory_iterator(folder / precision))
      if (file.path().extension() == ".s") text += read_text(file.path());
    return text;
  };
  EXPECT_NE(instructions("bf16").find("tdpbf16ps"), std::string::npos);
  EXPECT_EQ(instructions("f32").find("tdpbf16ps"), std::string::npos);

  const std::string devices = run_heed({"devices"}).output;
  const bool is_used = devices.find("multiplied in matrices (AMX)") != std::string::npos;
  EXPECT_NE(is_used, devices.find("AMX is not used: ") != std::string::npos) << devices;
  Outcome outcome = run_heed({"run", "product.heed", "--cpu", "amx", "--precision", "bf16", "--size", "M=200,N=200,K=200"}, folder.path());
  if (devices.find(" amx,") != std::string::npos) {
    EXPECT_EQ(outcome.status, 0) << outcome.errors;
  } else {
    EXPECT_EQ(outcome.status, 1);
    EXPECT_NE(outcome.errors.find("--cpu amx: this machine"), std::string::npos) << outcome.errors;
  }
}
#endif

TEST_F(PrecisionOption, WhatCannotBeIsRefused) {
  auto expect_mistake = [&](const std::vector<std::string>& arguments, const std::vector<std::string>& words) {
    Outcome outcome = run_heed(arguments, folder.path());
    EXPECT_EQ(outcome.status, 1);
    for (const std::string& word : words) EXPECT_NE(outcome.errors.find(word), std::string::npos) << word << ": " << outcome.errors;
  };
  expect_mistake({"run", "line.heed", "--precision", "tf32"}, {"precision tf32", "bf16"});
  expect_mistake({"build", "line.heed", "--precision", "tf32", "-o", "out"}, {"precision tf32", "bf16"});
  expect_mistake({"build", "line.heed", "--precision", "bf16", "--target", "sm_75", "-o", "out"}, {"precision bf16", "sm_75", "sm_80"});
  expect_mistake({"train", "line.heed", "--precision", "f16"}, {"precision f16", "bf16"});
  expect_mistake({"train", "line.heed", "--set", "precision=f16"}, {"precision f16", "bf16"});
  expect_mistake({"train", "line.heed", "--set", "precision=bf61"}, {"precision", "bf61", "bf16"});
}

}  // namespace
}  // namespace heed
