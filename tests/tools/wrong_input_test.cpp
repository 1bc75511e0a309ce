// Whatever is wrong with what a user gives: one clear message that names the thing, exit status 1, nothing lost.
#include <gtest/gtest.h>

#include <random>

#include "tests/tools/run_heed.h"

namespace heed {
namespace {

constexpr const char* model_text = R"(import nn

let file = "data.csv"

model line(x: f32[B, 3], label: i32[B]) -> (loss: f32, logits: f32[B, 2]) {
  layer hidden = nn.linear(3, 4)
  layer head = nn.linear(4, 2)
  logits = head(relu(hidden(x)))
  return mean(cross_entropy(logits, label)), logits
}

train line {
  minimize loss
  optimizer adam(lr = 1e-2)
  data train = csv(file, label = "label", split = "train")
  data test = csv(file, label = "label", split = "test")
  batch 8
  epochs 4
  seed 3
}
)";

std::string rows(int count, int label_limit) {
  std::string text = "a,b,c,label\n";
  std::mt19937 draw(1);
  for (int k = 0; k < count; ++k) {
    for (int column = 0; column < 3; ++column) text += std::to_string(static_cast<int>(draw() % 200) - 100) + ",";
    text += std::to_string(draw() % static_cast<unsigned>(label_limit)) + "\n";
  }
  return text;
}

class WrongInput : public testing::Test {
 protected:
  void SetUp() override {
    folder.write("line.heed", model_text);
    folder.write("data.csv", rows(100, 2));
  }
  Outcome heed(std::vector<std::string> arguments) { return run_heed(arguments, folder.path()); }
  // Exit status 1, and a message with all of the words.
  void expect_mistake(const std::vector<std::string>& arguments, const std::vector<std::string>& words) {
    Outcome outcome = heed(arguments);
    EXPECT_EQ(outcome.status, 1) << outcome.errors;
    EXPECT_EQ(outcome.output, "");
    for (const std::string& word : words)
      EXPECT_NE(outcome.errors.find(word), std::string::npos) << "no `" << word << "` in: " << outcome.errors;
  }
  Folder folder;
};

TEST_F(WrongInput, ModelFiles) {
  expect_mistake({"check", "none.heed"}, {"none.heed"});
  folder.write("bad.heed", "fn f(x: f32[A]) -> f32[A] { return x + }\n");
  expect_mistake({"check", "bad.heed"}, {"bad.heed:1:", "^"});
  folder.write("shapes.heed", "fn f(x: f32[N, 3], y: f32[N, 4]) -> f32[N, 3] {\n  return x + y\n}\n");
  expect_mistake({"check", "shapes.heed"}, {"shapes.heed:2:", "3", "4"});
  expect_mistake({"run", "line.heed:lin"}, {"lin", "line"});
  expect_mistake({"run", "line.heed", "--size", "C=3"}, {"C"});
  expect_mistake({"run", "line.heed", "--set", "fil=x"}, {"fil", "file"});
}

TEST_F(WrongInput, Inputs) {
  expect_mistake({"run", "line.heed", "--input", "y=zeros"}, {"y", "x"});
  expect_mistake({"run", "line.heed", "--input", "x=none.npy"}, {"none.npy"});
  ASSERT_EQ(heed({"run", "line.heed", "--size", "B=2", "--output", "values"}).status, 0);
  expect_mistake({"run", "line.heed", "--size", "B=2", "--input", "x=values/logits.npy"}, {"f32[2, 3]", "f32[2, 2]"});
  expect_mistake({"run", "line.heed", "--size", "B=2", "--input", "label=values/logits.npy"}, {"i32", "f32"});
  folder.write("not.npy", "this is no array");
  expect_mistake({"run", "line.heed", "--input", "x=not.npy"}, {"not.npy"});
}

TEST_F(WrongInput, Devices) {
  expect_mistake({"run", "line.heed", "--device", "cuda:x"}, {"--device cuda:x", "number"});
  expect_mistake({"run", "line.heed", "--device", "tpu"}, {"--device tpu", "cuda-sim"});
  expect_mistake({"run", "line.heed", "--device", "cuda-sim:sm_70"}, {"--device cuda-sim:sm_70", "unknown GPU target `sm_70`", "sm_90a"});
  expect_mistake({"run", "line.heed", "--device", "cuda-sim:sm_90a:x"}, {"--device cuda-sim:sm_90a:x", "a seed", "cuda-sim:sm_90a:7"});
  expect_mistake({"run", "line.heed", "--cpu", "pentium"}, {"--cpu pentium", "host"});
  expect_mistake({"run", "line.heed", "--precision", "bf61"}, {"--precision bf61", "bf16"});
  expect_mistake({"run", "line.heed", "--device", "cuda:999999"}, {"--device cuda:999999"});  // no driver, or not so many
  expect_mistake({"build", "line.heed", "--target", "sm_70", "-o", "out"}, {"sm_70", "sm_75", "cpu"});
  expect_mistake({"build", "line.heed", "--cpu", "pentium", "-o", "out"}, {"--cpu pentium", "avx2", "plain"});
  expect_mistake({"build", "line.heed", "--cpu", "plain", "--target", "sm_80", "-o", "out"}, {"--cpu plain", "--target cpu", "sm_80"});
}

TEST_F(WrongInput, IndicesOutOfRange) {
  Outcome outcome = heed({"run", "line.heed", "--size", "B=2", "--input", "label=7"});
  EXPECT_EQ(outcome.status, 1);
  EXPECT_NE(outcome.errors.find("7"), std::string::npos) << outcome.errors;
}

// Kernels of equal regions are shared, but not their messages.
TEST_F(WrongInput, TheTableOfAnIndexOutOfRangeIsNamed) {
  folder.write("tables.heed",
               "fn f(first: f32[4, 8], second: f32[4, 8], i: i32[T], j: i32[T]) -> (x: f32[T, 8], y: f32[T, 8]) {\n"
               "  return gather(first, i, axis = 0), gather(second, j, axis = 0)\n}\n");
  for (auto [wrong, table] : {std::pair{"i=7", "first"}, {"j=7", "second"}}) {
    Outcome outcome = run_heed({"run", "tables.heed", "--size", "T=5", "--input", wrong}, folder.path());
    EXPECT_EQ(outcome.status, 1);
    EXPECT_NE(outcome.errors.find(table), std::string::npos) << outcome.errors;
  }
}

TEST_F(WrongInput, Data) {
  expect_mistake({"train", "line.heed", "--set", "file=none.csv"}, {"none.csv"});
  folder.write("empty.csv", "a,b,c,label\n");
  expect_mistake({"train", "line.heed", "--set", "file=empty.csv"}, {"empty.csv"});
  folder.write("text.csv", "a,b,c,label\n1,2,3,0\n1,2,cat,1\n");
  expect_mistake({"train", "line.heed", "--set", "file=text.csv"}, {"text.csv", "cat"});
  expect_mistake({"train", "line.heed", "--set", "batch=5000"}, {"5000", "90"});
  folder.write("labels.csv", rows(100, 9));
  expect_mistake({"train", "line.heed", "--set", "file=labels.csv"}, {"label"});
}

TEST_F(WrongInput, CheckpointsAreWholeOrRefused) {
  ASSERT_EQ(heed({"train", "line.heed", "--steps", "8", "--out", "run"}).status, 0);
  std::string path = folder / "run/checkpoint.safetensors", whole = read_text(path);
  ASSERT_GT(whole.size(), 100U);
  std::mt19937 draw(7);
  for (int k = 0; k < 12; ++k) {
    std::string flipped = whole;
    flipped[draw() % flipped.size()] ^= static_cast<char>(1 << draw() % 8);
    folder.write("run/checkpoint.safetensors", flipped);
    expect_mistake({"train", "line.heed", "--steps", "12", "--out", "run", "--resume"}, {"checkpoint.safetensors"});
  }
  folder.write("run/checkpoint.safetensors", whole.substr(0, whole.size() / 2));
  expect_mistake({"train", "line.heed", "--steps", "12", "--out", "run", "--resume"}, {"checkpoint.safetensors"});
  folder.write("run/checkpoint.safetensors", whole);
  std::string other = model_text;
  other.replace(other.find("nn.linear(3, 4)"), 15, "nn.linear(3, 5)");
  other.replace(other.find("nn.linear(4, 2)"), 15, "nn.linear(5, 2)");
  folder.write("other.heed", other);
  expect_mistake({"train", "other.heed", "--steps", "12", "--out", "run", "--resume"}, {"hidden", "4", "5"});
  EXPECT_EQ(heed({"train", "line.heed", "--steps", "12", "--out", "run", "--resume"}).status, 0);
}

TEST_F(WrongInput, FoldersThatCannotBeWritten) {
  folder.write("taken", "a file");
  expect_mistake({"train", "line.heed", "--out", "taken"}, {"taken"});
  expect_mistake({"run", "line.heed", "--output", "taken"}, {"taken"});
}

TEST_F(WrongInput, ALossThatBecomesNaNNamesStepAndOperation) {
  std::string wild = model_text;
  wild.replace(wild.find("lr = 1e-2"), 9, "lr = 1e30");
  folder.write("wild.heed", wild);
  expect_mistake({"train", "wild.heed"}, {"step", "NaN"});
}

TEST_F(WrongInput, AModelTooLargeForMemoryIsRefusedBeforeTraining) {
  std::string large = model_text;
  large.replace(large.find("nn.linear(3, 4)"), 15, "nn.linear(3, 9000000000)");
  large.replace(large.find("nn.linear(4, 2)"), 15, "nn.linear(9000000000, 2)");
  folder.write("large.heed", large);
  expect_mistake({"train", "large.heed"}, {"GB"});
}

TEST_F(WrongInput, FilesThatAreNoText) {
  folder.write("zero.heed", std::string("model\0m", 7));
  expect_mistake({"check", "zero.heed"}, {"zero.heed", "UTF-8", "5"});
  folder.write("data.csv", "");
  expect_mistake({"train", "line.heed"}, {"data.csv", "is empty"});
}

TEST_F(WrongInput, OutputThatCannotBeWritten) {
  Outcome outcome = run_program({"bash", "-c", std::string(HEED_BINARY) + " run line.heed --cache off > /dev/full"}, folder.path());
  EXPECT_EQ(outcome.status, 1);
  EXPECT_NE(outcome.errors.find("cannot write to standard output"), std::string::npos) << outcome.errors;
}

TEST_F(WrongInput, AReaderThatStopsLosesNoTraining) {
  std::string train = std::string(HEED_BINARY) + " train line.heed --set epochs=1000000 --json --out 'a run'";
  Outcome outcome = run_program({"bash", "-c", "ulimit -t 60; " + train + " | head -n 1; exit ${PIPESTATUS[0]}"}, folder.path());
  EXPECT_EQ(outcome.status, 1) << outcome.errors;
  EXPECT_NE(outcome.errors.find("--out 'a run' --resume"), std::string::npos) << outcome.errors;
  EXPECT_TRUE(std::filesystem::exists(folder / "a run/checkpoint.safetensors"));
}

TEST(Training, ResumesWithTheBitsOfARunThatWasNeverStopped) {
  Folder folder;
  folder.write("line.heed", model_text);
  folder.write("data.csv", rows(100, 2));
  auto weights = [&](const std::string& name) { return read_text(folder / (name + "/weights.safetensors")); };
  ASSERT_EQ(run_heed({"train", "line.heed", "--steps", "30", "--out", "whole"}, folder.path()).status, 0);
  for (std::string steps : {"1", "7", "13", "29"}) {
    ASSERT_EQ(run_heed({"train", "line.heed", "--steps", steps, "--out", "cut" + steps}, folder.path()).status, 0);
    ASSERT_EQ(run_heed({"train", "line.heed", "--steps", "30", "--out", "cut" + steps, "--resume"}, folder.path()).status, 0);
    EXPECT_EQ(weights("whole"), weights("cut" + steps)) << steps;
  }
  for (std::string threads : {"1", "2", "3"}) {
    ASSERT_EQ(run_heed({"train", "line.heed", "--steps", "30", "--threads", threads, "--out", "with" + threads}, folder.path()).status, 0);
    EXPECT_EQ(weights("whole"), weights("with" + threads)) << threads << " threads";
  }
}

}  // namespace
}  // namespace heed
