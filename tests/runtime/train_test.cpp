// Training of a linear model whose kernels are C++ functions: resuming, checkpoints, tests, mistakes.
#include "runtime/train.h"

#include <sys/resource.h>

#include <cmath>
#include <csignal>
#include <cstring>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

#include "runtime/batches.h"
#include "runtime/checkpoint.h"
#include "runtime/curve.h"
#include "runtime/interrupt.h"
#include "runtime/safetensors.h"
#include "tests/runtime/folder.h"
#include "tests/runtime/linear_model.h"

namespace heed {
namespace {

using Role = ProgramValue::Role;

TEST(Train, LearnsAndWritesAll) {
  TestRun run;
  run.settings.epochs = 40;
  const auto result = run.train();
  EXPECT_EQ(result.step, 40 * 5);
  ASSERT_EQ(result.test.size(), 1U);
  EXPECT_LT(result.test[0].second, 1e-3);
  for (const char* name : {"checkpoint.safetensors", "weights.safetensors", "log.jsonl", "curve.svg"})
    EXPECT_FALSE(run.file(name).empty()) << name;
  const auto weights = load_weights(run.settings.folder + "/weights.safetensors", *evaluation(4));
  EXPECT_EQ(weights.size(), 1U);
  EXPECT_NEAR(floating_at("f32", weights.at("w").data() + 4), -2, 0.05);
  EXPECT_EQ(load_weights(run.settings.folder + "/checkpoint.safetensors", *evaluation(4)).size(), 1U);
  // 200 steps and 40 tests, in the order in which they were made.
  const std::string log = run.file("log.jsonl");
  EXPECT_EQ(std::count(log.begin(), log.end(), '\n'), 240);
  const auto first = nlohmann::json::parse(log.substr(0, log.find('\n')));
  for (const char* key : {"step", "epoch", "loss", "seconds", "rate"}) EXPECT_TRUE(first.contains(key)) << key;
  EXPECT_NE(log.find(R"({"split":"test","step":200,"epoch":40,"loss":)"), std::string::npos);
}

TEST(Train, TestsEveryRowOnce) {
  TestRun run;
  ThreadPool pool(1);
  NamedTensors values;
  values.emplace("w", HostTensor(TensorType{"f32", {linear_width}}));
  const DataSet data = points(6);
  double sum = 0;
  for (std::int64_t row = 0; row < 6; ++row) {
    float y = 0;
    data.columns[1].read(row, reinterpret_cast<std::byte*>(&y));
    sum += static_cast<double>(y) * static_cast<double>(y);
  }
  EXPECT_NEAR(evaluate(evaluation, data, 4, values, 0, pool).at(0).second, sum / 6, 1e-6);
}

TEST(Train, ResumedRunsHaveTheSameBits) {
  for (const bool in_place : {false, true}) {
    TestRun whole;
    whole.settings.steps = 23;
    whole.train(programs(in_place));
    for (const std::int64_t cut : {1, 4, 5, 7, 10, 22}) {
      for (const int threads : {1, 3}) {
        TestRun parts;
        parts.settings.steps = 23;
        parts.settings.until = cut;
        parts.train(programs(in_place), points(22), points(6), threads);
        parts.settings.until.reset();
        parts.settings.resume = true;
        parts.train(programs(in_place), points(22), points(6), threads);
        EXPECT_EQ(parts.file("checkpoint.safetensors"), whole.file("checkpoint.safetensors")) << cut;
        EXPECT_EQ(parts.file("weights.safetensors"), whole.file("weights.safetensors"));
        EXPECT_EQ(timeless(parts.file("log.jsonl")), timeless(whole.file("log.jsonl"))) << cut;
      }
    }
  }
}

TEST(Train, InterruptedRunsGoOn) {
  TestRun whole;
  whole.settings.steps = 15;
  whole.train();
  for (const std::int64_t cut : {3, 5, 9}) {
    TestRun run;
    run.settings.steps = 15;
    auto data = points(22);
    // Stops when the data of some step are read; the thread that works ahead makes the exact step unimportant.
    auto count = std::make_shared<std::atomic<std::int64_t>>(0);
    data.columns[0].read = [&run, count, cut, read = data.columns[0].read](std::int64_t row, std::byte* to) {
      if (++*count == cut * 4) run.stop = true;
      read(row, to);
    };
    const auto result = run.train(programs(), data);
    EXPECT_TRUE(result.interrupted);
    EXPECT_LT(result.step, 15);
    run.stop = false;
    run.settings.resume = true;
    EXPECT_FALSE(run.train().interrupted);
    EXPECT_EQ(run.file("checkpoint.safetensors"), whole.file("checkpoint.safetensors"));
    EXPECT_EQ(timeless(run.file("log.jsonl")), timeless(whole.file("log.jsonl")));
  }
}

TEST(Train, InterruptedTestsAreMadeAgain) {
  TestRun whole, run;
  whole.settings.epochs = run.settings.epochs = 2;
  whole.train();
  auto test = points(6);
  test.columns[0].read = [&run, read = test.columns[0].read](std::int64_t row, std::byte* to) {
    run.stop = true;
    read(row, to);
  };
  EXPECT_TRUE(run.train(programs(), points(22), test).interrupted);
  run.stop = false;
  run.settings.resume = true;
  EXPECT_FALSE(run.train().interrupted);
  EXPECT_EQ(run.file("checkpoint.safetensors"), whole.file("checkpoint.safetensors"));
  EXPECT_EQ(timeless(run.file("log.jsonl")), timeless(whole.file("log.jsonl")));
}

TEST(Train, SignalRaisesTheFlag) {
  const InterruptFlag flag;
  EXPECT_FALSE(flag.raised());
  raise(SIGINT);
  EXPECT_TRUE(flag.raised());
}

TEST(Train, SaysWhatIsWrongBeforeItBegins) {
  TestRun run;
  run.settings.batch = 50;
  EXPECT_EQ(run.message(), "a batch of 50 rows is larger than the data set: points has 22: make batch smaller");
  run.settings.batch = 0;
  EXPECT_EQ(run.message(), "a batch has at least 1 row, not 0");
  run.settings.batch = 4;
  run.settings.epochs.reset();
  EXPECT_EQ(run.message(), "the train block says neither epochs nor steps: add one of them");
  run.settings.epochs = 1;
  run.settings.resume = true;
  EXPECT_EQ(run.message(), "out/checkpoint.safetensors is missing: there is no run to resume; start one without --resume");
  run.settings.resume = false;
  auto large = programs();
  auto step = *large.step;
  step.arena_bytes = std::int64_t{1} << 50;
  large.step = std::make_shared<Program>(step);
  EXPECT_NE(run.message(large).find("training this model needs 1.13 PB of memory and "), std::string::npos) << run.message(large);
  auto data = points(22);
  data.columns[0].name = "features";
  data.columns[1].name = "price";
  EXPECT_EQ(run.message(programs(), data),
            "points has no column for the model's input x; it has features: f32[3], price: f32: name the input after one of them");
  data = points(22);
  data.columns[0].row.shape = {4};
  EXPECT_EQ(run.message(programs(), data),
            "points: the column x has rows of f32[4] and the model's input x takes rows of f32[3]: they must have as many elements");
  run.settings.folder = run.folder.write("file", "a file") + "/out";
  EXPECT_NE(run.message().find("cannot make the folder"), std::string::npos);
}

TEST(Train, IntegersOutOfRange) {
  Program program;
  program.inputs = {value("label", Role::data, "u8", {2})};
  program.inputs[0].range = IndexRange{0, 9};
  DataSet data{"digits", 2};
  data.columns = {{"label", {"i32", {}}, [](std::int64_t row, std::byte* to) {
                     const std::int32_t label = row == 0 ? 9 : 12;
                     std::memcpy(to, &label, 4);
                   }}};
  const auto inputs = bind_columns(data, program, 2);
  auto batch = make_batch(inputs);
  const std::int64_t rows[] = {0, 1};
  EXPECT_EQ(message_of([&] { fill_batch(data, inputs, rows, batch); }),
            "digits: label 12 in row 1 is out of range: the model's input label takes 0 … 9");
  fill_batch(data, inputs, std::span(rows).first(1), batch);
  EXPECT_EQ(integer_at("u8", batch[0].data()), 9);
}

TEST(Train, IndexFaultsNameTheRow) {
  TestRun run;
  run.settings.epochs = 1;
  auto faulty = programs();
  auto step = *faulty.step;
  step.inputs[1].type.dtype = "i32";
  step.fault_places = {"table (model.heed:3)"};
  std::get<Launch>(step.steps[0]).function = [](void* const* buffers, void*, std::int64_t, Fault* fault) {
    for (int b = 0; b < 4; ++b) {
      if (as<const std::int32_t>(buffers[1])[b] != 77) continue;
      fault->place = 1;
      fault->value = 77;
      fault->limit = 10;
    }
  };
  faulty.step = std::make_shared<Program>(step);
  auto data = points(20);
  data.columns[1] = {"y", {"i32", {}}, [](std::int64_t row, std::byte* to) {
                       const std::int32_t y = row == 13 ? 77 : 1;
                       std::memcpy(to, &y, 4);
                     }};
  const std::string message = run.message(faulty, data);
  EXPECT_TRUE(message.starts_with("points: y 77 in row 13; index 77 is out of range 0 … 9: table (model.heed:3), at step ")) << message;
}

TEST(Train, NanNamesStepAndOperation) {
  for (const bool in_place : {false, true}) {
    TestRun run;
    run.settings.epochs = 100;
    auto diverging = programs(in_place);
    auto step = *diverging.step;
    std::get<Launch>(step.steps[0]).function = [](void* const* buffers, void* scratch, std::int64_t task, Fault* fault) {
      update<4>(buffers, scratch, task, fault);
      if (*as<const std::int64_t>(buffers[5]) == 153) as<float>(buffers[7])[1] = std::sqrt(-1.0F);
    };
    diverging.step = std::make_shared<Program>(step);
    EXPECT_EQ(run.message(diverging),
              "loss became NaN at step 154: the first NaN came at step 153 from squared error, linear (model.heed:4): look there at a "
              "logarithm, a root or a "
              "quotient, or make the learning rate smaller");
  }
  TestRun run;
  const std::string message = run.message(programs(), points(22, 5));
  EXPECT_NE(message.find("the input x held NaN: mend the data"), std::string::npos) << message;
}

TEST(Train, CheckpointsOfAnotherRun) {
  TestRun run;
  run.settings.steps = 6;
  run.train();
  run.settings.resume = true;
  run.settings.seed = 4;
  EXPECT_EQ(run.message(), "out/checkpoint.safetensors was written with seed 3 and this run has 4: a resumed run needs the same");
  run.settings.seed = 3;
  auto other = programs();
  auto step = *other.step;
  step.inputs[2].type.shape = {7};
  step.inputs[3].name = "w.v";
  other.step = std::make_shared<Program>(step);
  EXPECT_EQ(run.message(other),
            "out/checkpoint.safetensors is of another model: w is f32[3] in it and f32[7] in the model; it lacks w.v: f32[3]; the model "
            "has no w.m: f32[3]");
  auto checkpoint = read_checkpoint(run.settings.folder + "/checkpoint.safetensors");
  const std::string good = run.file("checkpoint.safetensors");
  std::string bad = good;
  bad[good.size() - 3] ^= 4;
  run.folder.write("out/checkpoint.safetensors", bad);
  EXPECT_EQ(run.message(), "out/checkpoint.safetensors is damaged: its checksum does not fit its contents");
  run.folder.write("out/checkpoint.safetensors", good.substr(0, good.size() - 3));
  EXPECT_NE(run.message().find("is truncated"), std::string::npos);
  run.folder.write("out/checkpoint.safetensors", good);
  EXPECT_EQ(run.message(), "no error");
}

TEST(Train, NewerCheckpointsAreRefused) {
  const TestFolder folder;
  HostTensor w(TensorType{"f32", {linear_width}});
  write_safetensors(folder / "a", {{"w", &w}}, {{"heed", "checkpoint"}, {"heed.version", "9"}, {"step", "1"}});
  const std::string expected = "a was written by a newer version of heed: its format is 9 and this one reads up to 1";
  EXPECT_EQ(message_of([&] { read_checkpoint(folder / "a"); }, folder.path()), expected);
  EXPECT_EQ(message_of([&] { load_weights(folder / "a", *evaluation(4)); }, folder.path()), expected);
}

TEST(Train, WeightsOfAnotherModel) {
  const TestFolder folder;
  HostTensor w(TensorType{"f32", {5}});
  write_safetensors(folder / "a", {{"w", &w}, {"v", &w}}, {});
  EXPECT_EQ(message_of([&] { load_weights(folder / "a", *evaluation(4)); }, folder.path()),
            "a is of another model: w is f32[5] in it and f32[3] in the model; the model has no v: f32[5]");
}

TEST(Train, FullDiskKeepsTheCheckpoint) {
  TestRun run;
  run.settings.steps = 6;
  run.train();
  const std::string before = run.file("checkpoint.safetensors");
  run.settings.steps = 9;
  run.settings.resume = true;
  rlimit old{};
  getrlimit(RLIMIT_FSIZE, &old);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit limited{before.size() - 100, old.rlim_max};
  run.folder.write("out/log.jsonl", "");
  setrlimit(RLIMIT_FSIZE, &limited);
  const std::string message = run.message();
  setrlimit(RLIMIT_FSIZE, &old);
  std::signal(SIGXFSZ, handler);
  EXPECT_NE(message.find("cannot write out/"), std::string::npos) << message;
  EXPECT_EQ(run.file("checkpoint.safetensors"), before);
}

TEST(Train, StartingAnewKeepsTheOldRun) {
  TestRun run;
  run.settings.steps = 6;
  run.train();
  const std::string before = run.file("checkpoint.safetensors");
  run.settings.seed = 9;
  run.train();
  EXPECT_EQ(run.file("checkpoint.previous.safetensors"), before);
}

TEST(Train, OneRunAFolder) {
  TestRun run;
  run.settings.steps = 6;
  run.train();
  run.folder.write("out/checkpoint.safetensors.1234.heed-part", "left by a killed process");
  {
    const FolderLock other(run.settings.folder);
    EXPECT_EQ(run.message(), "another process is writing to the folder out: wait for it, or give another folder");
  }
  EXPECT_EQ(run.message(), "no error");
  for (const auto& entry : std::filesystem::directory_iterator(run.settings.folder)) EXPECT_NE(entry.path().extension(), ".heed-part");
}

TEST(Train, ShufflesByTheSeedAlone) {
  DataSet data{"rows", 1000};
  auto rows = shuffled_rows(data, 7, 3);
  EXPECT_EQ(rows, shuffled_rows(data, 7, 3));
  EXPECT_NE(rows, shuffled_rows(data, 8, 3));
  EXPECT_NE(rows, shuffled_rows(data, 7, 4));
  EXPECT_EQ(rows[0], 58);  // the same on every machine
  std::sort(rows.begin(), rows.end());
  for (std::int64_t k = 0; k < 1000; ++k) EXPECT_EQ(rows[static_cast<std::size_t>(k)], k);
  data.stride = 10;
  const auto windows = shuffled_rows(data, 7, 3);
  EXPECT_EQ(windows.size(), 100U);
  for (const auto row : windows) EXPECT_EQ(row % 10, windows[0] % 10);
}

TEST(Train, CurveIsAPicture) {
  std::vector<CurvePoint> many;
  for (int k = 0; k < 5000; ++k) many.push_back({static_cast<double>(k), 1.0 / (1 + k)});
  const std::string svg = draw_curves("a < b", {{"loss", many}, {"test loss", {{10, NAN}, {20, 3}}, true}});
  EXPECT_TRUE(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
  EXPECT_NE(svg.find("a &lt; b"), std::string::npos);
  EXPECT_EQ(svg.find("nan"), std::string::npos);
  EXPECT_LT(svg.size(), 20000U);
  EXPECT_TRUE(draw_curves("", {}).ends_with("</svg>\n"));
}

}  // namespace
}  // namespace heed
