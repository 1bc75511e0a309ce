// One pool of threads for everything that runs in parallel. Results never depend on the number of threads: tasks are handed out
// in order, and what a task does depends on its number alone.
#pragma once
#include <atomic>
#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

namespace heed {

class ThreadPool {
 public:
  explicit ThreadPool(int threads);  // at least 1; the caller of `run` is one of them
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int size() const { return static_cast<int>(workers_.size()) + 1; }

  // Calls body(task, thread) for each task in 0 … tasks - 1 and returns when all are done; thread is in 0 … size() - 1, the
  // caller's is 0. Bodies must not throw and must not call `run` of the same pool. One caller at a time.
  template <typename Body>
  void run(std::int64_t tasks, const Body& body) {
    run_job(tasks, [](const void* context, std::int64_t task, int thread) { (*static_cast<const Body*>(context))(task, thread); }, &body);
  }

 private:
  using Call = void (*)(const void* context, std::int64_t task, int thread);
  void run_job(std::int64_t tasks, Call call, const void* context);
  void work(int thread);
  void take_tasks(std::uint32_t job, int thread);

  // The number of the job in the upper half and the next task in the lower, so that a thread that comes late to a job can't take
  // a task of the next one. The other fields change only while the lower half is `closed`.
  std::atomic<std::uint64_t> ticket_;
  std::atomic<Call> call_{nullptr};
  std::atomic<const void*> context_{nullptr};
  std::atomic<std::int64_t> tasks_{0}, done_{0};
  std::atomic<std::uint32_t> job_{0};       // what idle threads wait on
  std::atomic<std::uint32_t> finished_{0};  // the last job whose tasks are all done; what the caller waits on
  std::atomic<bool> stopping_{false};
  std::vector<std::thread> workers_;
};

// While it lives, this thread takes denormal numbers for zero: a product of tiny numbers is not 100 times slower. Workers of a pool
// always do; a caller's mode is restored.
class FlushDenormals {
 public:
  FlushDenormals();
  ~FlushDenormals();
  FlushDenormals(const FlushDenormals&) = delete;
  FlushDenormals& operator=(const FlushDenormals&) = delete;

 private:
  std::uint64_t saved_;
};

}  // namespace heed
