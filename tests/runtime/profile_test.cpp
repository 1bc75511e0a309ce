// Profiles: sums by region, line and layer; spans of threads, and no more of them than asked for.
#include "runtime/profile.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "runtime/execute.h"
#include "runtime/tensor.h"

namespace heed {
namespace {

using Role = ProgramValue::Role;

void twice(void* const* buffers, void*, std::int64_t task, Fault*) {
  static_cast<float*>(buffers[1])[task] = 2 * static_cast<const float*>(buffers[0])[task];
}

std::shared_ptr<Program> two_launches(std::int64_t count) {
  auto program = std::make_shared<Program>();
  const TensorType type{"f32", {count}};
  program->inputs = {{"x", Role::data, type}};
  program->outputs = {{"y", Role::result, type}};
  program->buffers = {{Buffer::Kind::input, 0, 4 * count, "f32"}, {Buffer::Kind::output, 0, 4 * count, "f32"}};
  for (const char* layer : {"h.0.fc", "h.1.fc"}) {
    RegionInfo region{.label = program->regions.empty() ? "first" : "second", .source = std::string(layer) + " (a.heed:3)"};
    region.flop = 1e6, region.bytes = 8e6;
    region.layer = layer, region.line = "a.heed:3";
    program->regions.push_back(region);
  }
  program->steps = {Launch{twice, count, {{0}, {1}}, 0, 0}, Launch{twice, count, {{0}, {1}}, 0, 1}};
  return program;
}

Profile profiled(Executor& executor, int runs, std::size_t spans) {
  const HostTensor x(executor.program().inputs[0].type), y(executor.program().outputs[0].type);
  void* const in[] = {x.data()};
  void* const out[] = {y.data()};
  Profile profile;
  profile.most_spans = spans;
  for (int run = 0; run < runs; ++run) executor.run(in, out, &profile);
  return profile;
}

TEST(Profile, TellsRegionsLinesAndLayers) {
  ThreadPool pool(2);
  Executor executor(two_launches(64), pool);
  const Profile profile = profiled(executor, 3, 0);
  EXPECT_EQ(profile.runs, 3);
  EXPECT_TRUE(profile.spans.empty());
  const std::string text = profile_text(executor.program(), profile);
  for (const char* part :
       {"of 3 runs", "first  h.*.fc (a.heed:3)", "second  h.*.fc (a.heed:3)", "by line", "a.heed:3  x2", "by layer", "h.*.fc  x2"})
    EXPECT_NE(text.find(part), std::string::npos) << part << "\n" << text;
}

TEST(Profile, SpansLieInOrderOnTheirThreads) {
  ThreadPool pool(2);
  Executor executor(two_launches(64), pool);
  const Profile profile = profiled(executor, 4, 1000);
  ASSERT_GE(profile.spans.size(), 8U);  // one thread may have done all
  double last[2] = {0, 0};
  for (const Profile::Span& span : profile.spans) {
    ASSERT_TRUE(span.thread == 0 || span.thread == 1);
    EXPECT_GE(span.begin, last[span.thread]);
    EXPECT_GE(span.end, span.begin);
    last[span.thread] = span.end;
  }
  const auto trace = nlohmann::json::parse(trace_json(executor.program(), profile));
  std::size_t spans = 0;
  for (const auto& event : trace["traceEvents"]) spans += event["ph"] == "X";
  EXPECT_EQ(spans, profile.spans.size());
}

TEST(Profile, KeepsNoMoreSpansThanAsked) {
  ThreadPool pool(2);
  Executor executor(two_launches(64), pool);
  EXPECT_EQ(profiled(executor, 50, 7).spans.size(), 7U);
}

}  // namespace
}  // namespace heed
