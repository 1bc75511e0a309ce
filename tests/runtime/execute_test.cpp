// Programs whose kernels are C++ functions: launches, scratch, loops, copies, faults, the watch for NaN.
#include "runtime/execute.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "input_error.h"
#include "runtime/tensor.h"

namespace heed {
namespace {

using Role = ProgramValue::Role;

// out[task] = 2 * in[task], by way of the scratch.
void twice(void* const* buffers, void* scratch, std::int64_t task, Fault*) {
  auto* kept = static_cast<float*>(scratch);
  kept[0] = static_cast<const float*>(buffers[0])[task];
  static_cast<float*>(buffers[1])[task] = kept[0] + kept[0];
}
// carried += element; yielded = carried.
void accumulate(void* const* buffers, void*, std::int64_t, Fault*) {
  auto* next = static_cast<float*>(buffers[2]);
  *next = *static_cast<const float*>(buffers[0]) + *static_cast<const float*>(buffers[1]);
  *static_cast<float*>(buffers[3]) = *next;
}
void root(void* const* buffers, void*, std::int64_t task, Fault*) {
  static_cast<float*>(buffers[1])[task] = std::sqrt(static_cast<const float*>(buffers[0])[task]);
}
void out_of_range(void* const*, void*, std::int64_t task, Fault* fault) {
  std::int32_t none = 0;
  if (task == 5 && fault->place.compare_exchange_strong(none, 1)) {
    fault->value = 300;
    fault->limit = 256;
  }
}

std::shared_ptr<Program> one_launch(KernelFunction function, std::int64_t count) {
  auto program = std::make_shared<Program>();
  const TensorType type{"f32", {count}};
  program->inputs = {{"x", Role::data, type}};
  program->outputs = {{"y", Role::result, type}};
  program->buffers = {{Buffer::Kind::input, 0, 4 * count, "f32"}, {Buffer::Kind::output, 0, 4 * count, "f32"}};
  program->regions = {{"kernel", "f (a.heed:1)"}};
  program->fault_places = {"table (a.heed:3)"};
  program->steps = {Launch{function, count, {{0}, {1}}, 4, 0}};
  return program;
}

HostTensor floats(std::vector<float> values) {
  HostTensor tensor(TensorType{"f32", {static_cast<std::int64_t>(values.size())}});
  std::copy(values.begin(), values.end(), reinterpret_cast<float*>(tensor.data()));
  return tensor;
}
float at(const HostTensor& tensor, std::size_t k) { return reinterpret_cast<const float*>(tensor.data())[k]; }

void run(Executor& executor, const HostTensor& x, const HostTensor& y, Profile* profile = nullptr) {
  void* const in[] = {x.data()};
  void* const out[] = {y.data()};
  executor.run(in, out, profile);
}

TEST(Execute, LaunchesOnAnyNumberOfThreads) {
  for (const int threads : {1, 2, 3}) {
    ThreadPool pool(threads);
    Executor executor(one_launch(twice, 1000), pool);
    const HostTensor x(TensorType{"f32", {1000}}), y(TensorType{"f32", {1000}});
    for (int k = 0; k < 1000; ++k) reinterpret_cast<float*>(x.data())[k] = static_cast<float>(k);
    Profile profile;
    run(executor, x, y, &profile);
    for (std::size_t k = 0; k < 1000; ++k) ASSERT_EQ(at(y, k), 2.0F * static_cast<float>(k));
    EXPECT_EQ(profile.seconds.size(), 1U);
  }
}

// A block has one position of the unit and two rows; each of its two steps doubles.
TEST(Execute, BlocksHaveAProfileOfTheirSteps) {
  auto program = one_launch(twice, 2);
  program->regions = {{.label = "blocks", .source = "", .flop = 16},
                      {.label = "first step", .source = "", .flop = 8, .whole = 0},
                      {.label = "second step", .source = "", .flop = 8, .whole = 0}};
  auto work = std::make_shared<BlockedWork>();
  work->units = {2};
  work->parallel_units = 1;
  work->blocks = {{0, 0, 0}, {0, 2, 0}};
  work->of_rows = {0, 1};
  program->buffers.push_back({Buffer::Kind::local, 64, 8, "f32"});
  work->local_bytes = 128;
  work->bodies = {{Launch{twice, 2, {{0}, {2}}, 4, 1}, Launch{twice, 2, {{2}, {1}}, 4, 2}}};
  work->region = 0;
  program->steps = {work};
  for (const int threads : {1, 3}) {
    ThreadPool pool(threads);
    Executor executor(program, pool);
    const HostTensor x = floats({1, 2}), y(TensorType{"f32", {2}});
    Profile profile;
    run(executor, x, y, &profile);
    EXPECT_EQ(at(y, 0), 4);
    EXPECT_EQ(at(y, 1), 8);
    ASSERT_EQ(profile.seconds.size(), 3U);
    for (const double seconds : profile.seconds) EXPECT_GT(seconds, 0);
    const std::string text = profile_text(*program, profile);
    const std::size_t whole = text.find("  blocks"), first = text.find("      first step"), second = text.find("      second step");
    EXPECT_TRUE(whole < first && first < second && second != std::string::npos) << text;
  }
}

void add_row_and_column(void* const* buffers, void*, std::int64_t, Fault*) {
  const auto* offsets = static_cast<const std::int64_t*>(buffers[0]);
  static_cast<float*>(buffers[1])[offsets[0]] += static_cast<float>(offsets[1]);
}

// Two rows of three parts of the columns, 10 each; the last one of each has no columns of its own and is never left out.
TEST(Execute, PartsOfColumnsAreLeftOutByData) {
  Program program;
  program.inputs = {{"begin", Role::data, {"i64", {2}}}, {"end", Role::data, {"i64", {2}}}};
  program.outputs = {{"y", Role::result, {"f32", {2}}}};
  program.buffers = {
      {Buffer::Kind::input, 0, 16}, {Buffer::Kind::input, 1, 16}, {Buffer::Kind::output, 0, 8}, {Buffer::Kind::local, 0, 16}};
  auto work = std::make_shared<BlockedWork>();
  work->parallel_rows = true;
  for (const std::int64_t row : {0, 1}) {
    work->of_rows.push_back(static_cast<std::int64_t>(work->blocks.size()));
    for (const std::int64_t column : {10, 20, 40}) work->blocks.push_back({0, row, column});
    work->blocks.push_back({1, row, 1000});
  }
  work->by_data = {{0}, {1}, {}, true};
  work->widths = {10, 0};
  work->bodies = {{Launch{add_row_and_column, 1, {{3}, {2}}}}, {Launch{add_row_and_column, 1, {{3}, {2}}}}};
  work->local_bytes = 64;
  work->initial = {{{2}, 8, std::vector<std::byte>(4)}};
  program.steps = {work};
  for (const int threads : {1, 3}) {
    ThreadPool pool(threads);
    Executor executor(std::make_shared<Program>(program), pool);
    const HostTensor y(TensorType{"f32", {2}});
    std::int64_t begin[] = {15, 30}, end[] = {30, 41};
    void* inputs[] = {begin, end};
    void* outputs[] = {y.data()};
    executor.run(inputs, outputs);
    EXPECT_EQ(at(y, 0), 10 + 20 + 1000);
    EXPECT_EQ(at(y, 1), 40 + 1000);
  }
}

// y = 2 w by the preparation, into the arena; then what is there goes out.
TEST(Execute, WhatFollowsFromParametersIsMadeOnce) {
  constexpr std::int64_t count = 3;
  const TensorType type{"f32", {count}};
  Program program;
  program.inputs = {{"w", Role::parameter, type}};
  program.outputs = {{"y", Role::result, type}};
  program.arena_bytes = 64;
  program.buffers = {{Buffer::Kind::input, 0, 4 * count}, {Buffer::Kind::arena, 0, 4 * count}, {Buffer::Kind::output, 0, 4 * count}};
  program.preparation = {Launch{twice, count, {{0}, {1}}, 4}};
  program.steps = {Copy{{1}, {2}, 4 * count}};
  ThreadPool pool(2);
  Executor executor(std::make_shared<Program>(program), pool);
  HostTensor w = floats({1, 2, 3}), other = floats({5, 6, 7});
  const HostTensor y(type);
  run(executor, w, y);
  EXPECT_EQ(at(y, 2), 6);
  reinterpret_cast<float*>(w.data())[2] = 4;
  run(executor, w, y);
  EXPECT_EQ(at(y, 2), 6);  // nobody said so
  executor.forget();
  run(executor, w, y);
  EXPECT_EQ(at(y, 2), 8);
  run(executor, other, y);  // other memory says it
  EXPECT_EQ(at(y, 2), 14);
}

void add_one(void* const* buffers, void*, std::int64_t, Fault*) { static_cast<float*>(buffers[0])[0] += 1; }

// What blocks add to has its first value everywhere before, also where threads share its filling and its end is no whole piece.
TEST(Execute, BlocksAddToFirstValues) {
  constexpr std::int64_t count = 150001;
  Program program;
  program.outputs = {{"y", Role::result, {"f32", {count}}}};
  program.buffers = {{Buffer::Kind::output, 0, 4 * count}};
  auto work = std::make_shared<BlockedWork>();
  work->of_rows = {0};
  work->blocks = {{0, 0, 0}};
  work->bodies = {{Launch{add_one, 1, {{0}}}}};
  work->local_bytes = 64;
  const float first = -0.75;
  std::vector<std::byte> element(sizeof first);
  std::memcpy(element.data(), &first, sizeof first);
  work->initial = {{{0}, 4 * count, element}};
  program.steps = {work};
  for (const int threads : {1, 3}) {
    ThreadPool pool(threads);
    Executor executor(std::make_shared<Program>(program), pool);
    const HostTensor y(TensorType{"f32", {count}});
    void* outputs[] = {y.data()};
    executor.run({}, outputs);
    EXPECT_EQ(at(y, 0), 0.25);
    for (std::int64_t i = 1; i < count; ++i) ASSERT_EQ(at(y, i), first) << i;
  }
}

void add_row_and_column_of_wide(void* const* buffers, void*, std::int64_t, Fault*) {
  const auto* offsets = static_cast<const std::int64_t*>(buffers[0]);
  static_cast<float*>(buffers[1])[offsets[0]] += 1000 + static_cast<float>(offsets[1]);
}

// Of 32 columns a row becomes 16 where those are enough, and has none but its own.
TEST(Execute, BlocksAreNarrowedByData) {
  Program program;
  program.inputs = {{"begin", Role::data, {"i64", {4}}}, {"end", Role::data, {"i64", {4}}}};
  program.outputs = {{"y", Role::result, {"f32", {4}}}};
  program.buffers = {
      {Buffer::Kind::input, 0, 32}, {Buffer::Kind::input, 1, 32}, {Buffer::Kind::output, 0, 16}, {Buffer::Kind::local, 0, 16}};
  auto work = std::make_shared<BlockedWork>();
  work->parallel_rows = true;
  work->of_rows = {0, 1, 2, 3};
  work->blocks = {{1, 0, 16, 0}, {1, 1, 1, 0}, {1, 2, 1, 0}, {1, 3, 64, 0}};
  work->by_data = {{0}, {1}, {}, false};
  work->widths = {16, 32};
  work->bodies = {{Launch{add_row_and_column, 1, {{3}, {2}}}}, {Launch{add_row_and_column_of_wide, 1, {{3}, {2}}}}};
  work->local_bytes = 64;
  work->initial = {{{2}, 16, std::vector<std::byte>(4)}};
  program.steps = {work};
  ThreadPool pool(2);
  Executor executor(std::make_shared<Program>(program), pool);
  const HostTensor y(TensorType{"f32", {4}});
  std::int64_t begin[] = {0, 16, 20, 0}, end[] = {100, 33, 30, 70};
  void* inputs[] = {begin, end};
  void* outputs[] = {y.data()};
  executor.run(inputs, outputs);
  const float expected[] = {1016, 1001, 16, 64};
  for (std::size_t k = 0; k < 4; ++k) EXPECT_EQ(at(y, k), expected[k]) << k;
}

TEST(Execute, LoopsWithStridesAndCopies) {
  for (const bool reverse : {false, true}) {
    Program program;
    program.inputs = {{"x", Role::data, {"f32", {4}}}};
    program.outputs = {{"y", Role::result, {"f32", {4}}}};
    program.arena_bytes = 128;
    program.buffers = {
        {Buffer::Kind::input, 0, 16}, {Buffer::Kind::output, 0, 16}, {Buffer::Kind::arena, 0, 4}, {Buffer::Kind::arena, 64, 4}};
    auto loop = std::make_shared<Loop>();
    loop->trips = 4;
    loop->reverse = reverse;
    loop->steps = {Launch{accumulate, 1, {{0, 4}, {2}, {3}, {1, 4}}}, Copy{{3}, {2}, 4}};
    program.steps = {loop};
    ThreadPool pool(2);
    Executor executor(std::make_shared<Program>(program), pool);
    const HostTensor x = floats({1, 2, 3, 4}), y(TensorType{"f32", {4}});
    run(executor, x, y);
    const std::vector<float> expected = reverse ? std::vector<float>{10, 9, 7, 4} : std::vector<float>{1, 3, 6, 10};
    for (std::size_t k = 0; k < 4; ++k) EXPECT_EQ(at(y, k), expected[k]);
  }
}

TEST(Execute, FaultNamesPlaceValueAndLimit) {
  ThreadPool pool(2);
  Executor executor(one_launch(out_of_range, 8), pool);
  const HostTensor x(TensorType{"f32", {8}}), y(TensorType{"f32", {8}});
  try {
    run(executor, x, y);
    FAIL();
  } catch (const InputError& error) {
    EXPECT_STREQ(error.what(), "index 300 is out of range 0 … 255: table (a.heed:3)");
  }
}

TEST(Execute, FindsWhereNanBegan) {
  auto program = one_launch(twice, 2);
  program->buffers.push_back({Buffer::Kind::arena, 0, 8, "f32"});
  program->arena_bytes = 64;
  program->regions = {{"doubling", ""}, {"root", "f (a.heed:2)"}, {"later", ""}};
  program->steps = {Launch{twice, 2, {{0}, {2}}, 4, 0}, Launch{root, 2, {{2}, {1}}, 0, 1}, Launch{twice, 2, {{1}, {2}}, 4, 2}};
  ThreadPool pool(1);
  Executor executor(program, pool);
  const HostTensor good = floats({1, 2}), negative = floats({1, -2}), bad = floats({NAN, 1}), y(TensorType{"f32", {2}});
  void* const out[] = {y.data()};
  const auto find = [&](const HostTensor& x) {
    void* const in[] = {x.data()};
    return executor.run_and_find_nan(in, out);
  };
  EXPECT_FALSE(find(good));
  EXPECT_EQ(find(negative)->region, 1);
  EXPECT_EQ(find(bad)->input, 0);
}

TEST(Execute, RefusesAnArenaLargerThanMemory) {
  auto program = one_launch(twice, 2);
  program->arena_bytes = std::int64_t{1} << 60;
  ThreadPool pool(1);
  EXPECT_THROW(Executor(program, pool), InputError);
}

}  // namespace
}  // namespace heed
