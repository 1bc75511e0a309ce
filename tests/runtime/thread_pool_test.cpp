// The pool does every task once, on any number of threads, and leaves the caller's floating-point mode alone.
#include "runtime/thread_pool.h"

#include <gtest/gtest.h>

#include <chrono>
#include <numeric>

#include "input_error.h"

namespace heed {
namespace {

TEST(ThreadPool, DoesEveryTaskOnce) {
  for (const int threads : {1, 2, 3, 8}) {
    ThreadPool pool(threads);
    EXPECT_EQ(pool.size(), threads);
    for (int round = 0; round < 500; ++round) {
      std::vector<int> counts(static_cast<std::size_t>(round % 70));
      pool.run(static_cast<std::int64_t>(counts.size()), [&](std::int64_t task, int thread) {
        ASSERT_TRUE(thread >= 0 && thread < threads);
        ++counts[static_cast<std::size_t>(task)];
      });
      for (const int count : counts) ASSERT_EQ(count, 1);
    }
  }
}

TEST(ThreadPool, SleepsBetweenJobs) {
  ThreadPool pool(3);
  std::atomic<std::int64_t> sum{0};
  const auto add = [&](std::int64_t task, int) { sum += task; };
  pool.run(100, add);
  std::this_thread::sleep_for(std::chrono::milliseconds(30));
  const std::clock_t before = std::clock();
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  const double busy = static_cast<double>(std::clock() - before) / CLOCKS_PER_SEC;
  EXPECT_LT(busy, 0.1);
  pool.run(100, add);
  EXPECT_EQ(sum, 2 * 4950);
}

TEST(ThreadPool, WorkersFlushDenormals) {
  volatile double tiny = 1e-310;
  ThreadPool pool(2);
  std::atomic<int> flushed{0}, workers{0};
  for (int round = 0; round < 200; ++round) {
    pool.run(64, [&](std::int64_t, int thread) {
      if (thread == 0) return;
      ++workers;
      if (tiny * 0.5 == 0) ++flushed;
    });
  }
  EXPECT_EQ(flushed, workers);
  EXPECT_NE(tiny * 0.5, 0);
  {
    const FlushDenormals flush;
    EXPECT_EQ(tiny * 0.5, 0);
  }
  EXPECT_NE(tiny * 0.5, 0);
}

TEST(ThreadPool, RefusesNoThreads) { EXPECT_THROW(ThreadPool(0), InputError); }

}  // namespace
}  // namespace heed
