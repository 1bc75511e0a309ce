// What the binary tells of time and memory: profiles, traces, bench --compare, explain --memory.
#include <gtest/gtest.h>

#include "tests/tools/run_heed.h"

namespace heed {
namespace {

class Measuring : public testing::Test {
 protected:
  void SetUp() override {
    folder.write("attend.heed",
                 "fn attend(q: f32[T, E], k: f32[T, E], v: f32[T, E]) -> f32[T, E] {\n  return softmax(q @ transpose(k)) @ v\n}\n");
    folder.write("line.heed",
                 "import nn\n\nmodel line(x: f32[B, 3], label: i32[B]) -> (loss: f32) {\n  layer head = nn.linear(3, 2)\n"
                 "  return mean(cross_entropy(head(x), label))\n}\n\ntrain line {\n  minimize loss\n  optimizer adam(lr = 1e-2)\n"
                 "  data train = csv(\"data.csv\", label = \"label\")\n  batch 4\n  steps 30\n}\n");
    std::string rows = "a,b,c,label\n";
    for (int k = 0; k < 40; ++k) rows += std::to_string(k % 5) + "," + std::to_string(k % 3) + ",1," + std::to_string(k % 2) + "\n";
    folder.write("data.csv", rows);
  }
  Outcome heed(std::vector<std::string> arguments) { return run_heed(arguments, folder.path()); }
  void expect_parts(const std::string& text, std::vector<std::string> parts) {
    for (const std::string& part : parts) EXPECT_NE(text.find(part), std::string::npos) << part << "\n" << text;
  }
  Folder folder;
};

TEST_F(Measuring, ARunTellsWhereItsTimeWent) {
  Outcome outcome = heed({"run", "attend.heed", "--size", "T=512,E=32", "--profile", "--trace", "trace.json"});
  ASSERT_EQ(outcome.status, 0) << outcome.errors;
  expect_parts(outcome.output, {"by region", "by line", "attend.heed:2", "by layer"});
  expect_parts(read_text(folder / "trace.json"), {"traceEvents", "\"ph\":\"X\"", "thread_name"});
}

TEST_F(Measuring, ATrainingTellsWhereItsTimeWent) {
  Outcome outcome = heed({"train", "line.heed", "--profile", "--trace", "trace.json"});
  ASSERT_EQ(outcome.status, 0) << outcome.errors;
  expect_parts(outcome.output + outcome.errors, {"of 30 runs", "by region", "by layer", "head"});
  expect_parts(read_text(folder / "trace.json"), {"traceEvents", "\"ph\":\"X\""});
}

TEST_F(Measuring, TheEvaluatorHasNoProfile) {
  Outcome outcome = heed({"run", "attend.heed", "--size", "T=8,E=2", "--profile", "--evaluator"});
  EXPECT_EQ(outcome.status, 1);
  expect_parts(outcome.errors, {"--profile", "--evaluator"});
}

TEST_F(Measuring, BenchTellsSharesOfWhatWasMeasured) {
  Outcome outcome = heed({"bench", "attend.heed", "--size", "T=64,E=8", "--repeat", "3"});
  ASSERT_EQ(outcome.status, 0) << outcome.errors;
  expect_parts(outcome.output, {"GFLOP/s, ", "GB/s, ", "% of the measured "});
  expect_parts(heed({"devices"}).output, {"instructions of ", "measured peaks: ", "GFLOP/s in f32", "GB/s"});
}

TEST_F(Measuring, BenchComparesWithAnEarlierMeasurement) {
  Outcome first = heed({"bench", "attend.heed", "--size", "T=64,E=8", "--json", "--repeat", "5"});
  ASSERT_EQ(first.status, 0) << first.errors;
  auto with_median = [&](const std::string& seconds) {
    std::string text = first.output;
    for (const char* key : {"\"median_s\":", "\"mad_s\":"}) {
      std::size_t at = text.find(key) + std::string(key).size(), end = text.find(',', at);
      text.replace(at, end - at, std::string(key) == "\"median_s\":" ? seconds : "0.0");
    }
    folder.write("before.json", text);
    return heed({"bench", "attend.heed", "--size", "T=64,E=8", "--repeat", "5", "--compare", "before.json"});
  };
  EXPECT_EQ(with_median("1000.0").status, 0);
  Outcome slower = with_median("1e-9");
  EXPECT_EQ(slower.status, 1);
  expect_parts(slower.errors, {"slower beyond the noise"});
  folder.write("before.json", first.output);
  Outcome other = heed({"bench", "attend.heed", "--size", "T=32,E=8", "--repeat", "1", "--compare", "before.json"});
  EXPECT_EQ(other.status, 1);
  expect_parts(other.errors, {"sizes", "32", "64"});
  EXPECT_EQ(other.output, "") << "what cannot be compared is not measured";
  Outcome plain = heed({"bench", "attend.heed", "--size", "T=64,E=8", "--cpu", "plain", "--compare", "before.json"});
  EXPECT_EQ(plain.status, 1);
  expect_parts(plain.errors, {"measured cpu", "x86-64"});
  for (const char* text : {"no json", "[]", "{\"what\": \"run\"}", "{\"median_s\": \"fast\", \"mad_s\": 0}"}) {
    folder.write("before.json", text);
    Outcome wrong = heed({"bench", "attend.heed", "--size", "T=32,E=8", "--repeat", "1", "--compare", "before.json"});
    EXPECT_EQ(wrong.status, 1);
    expect_parts(wrong.errors, {"before.json: not the JSON of `heed bench --json`"});
  }
}

// The logits of a tied head, in a whole training step.
TEST_F(Measuring, ALimitOnMemoryIsKept) {
  Outcome fitted =
      run_heed({"explain", "examples/gpt2.heed", "--train", "--set", "depth=1,width=96,batch=4", "--size", "T=256", "--memory", "200MB"},
               source_folder());
  EXPECT_EQ(fitted.status, 0);
  expect_parts(fitted.errors, {"note: --memory 200 MB", "instead of", "times the arithmetic"});
}

TEST_F(Measuring, MemoryIsToldWithItsHolders) {
  Outcome table = heed({"explain", "line.heed", "--train", "--size", "B=64", "--memory", "--threads", "2"});
  ASSERT_EQ(table.status, 0) << table.errors;
  expect_parts(table.output,
               {"at most, of which", "values between regions", "scratch of 2 threads", "parameters", "states", "most is live in region"});
  Outcome json = heed({"explain", "attend.heed", "--grad", "--size", "T=256,E=16", "--memory", "--json"});
  ASSERT_EQ(json.status, 0) << json.errors;
  expect_parts(json.output, {"\"total_bytes\":", "\"arena_bytes\":", "\"holders\":["});
}

}  // namespace
}  // namespace heed
