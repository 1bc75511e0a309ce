// One pool of threads for everything that runs in parallel.
#include "runtime/thread_pool.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "input_error.h"
#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace heed {
namespace {

constexpr std::uint64_t closed = 0xffffffff;  // of the lower half of a ticket: no task is to be had

// A step launches hundreds of kernels one after the other; sleeping between them would cost more than many of them take. So a
// thread that waits looks a little while before it sleeps.
constexpr std::chrono::microseconds patience(100);

void pause_briefly() {
#if defined(__x86_64__)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Waits until `value` is no longer `old`.
void await_change(const std::atomic<std::uint32_t>& value, std::uint32_t old) {
  const auto end = std::chrono::steady_clock::now() + patience;
  do {
    for (int look = 0; look < 16; ++look) {
      if (value.load(std::memory_order_acquire) != old) return;
      pause_briefly();
    }
  } while (std::chrono::steady_clock::now() < end);
  value.wait(old, std::memory_order_acquire);
}

std::uint64_t floating_mode() {
#if defined(__x86_64__)
  return _mm_getcsr();
#elif defined(__aarch64__)
  std::uint64_t mode;
  asm volatile("mrs %0, fpcr" : "=r"(mode));
  return mode;
#else
  return 0;
#endif
}

void set_floating_mode([[maybe_unused]] std::uint64_t mode) {
#if defined(__x86_64__)
  _mm_setcsr(static_cast<unsigned>(mode));
#elif defined(__aarch64__)
  asm volatile("msr fpcr, %0" : : "r"(mode));
#endif
}

constexpr std::uint64_t flushing =
#if defined(__x86_64__)
    0x8040;  // flush to zero, denormals are zero
#elif defined(__aarch64__)
    std::uint64_t{1} << 24;
#else
    0;
#endif

}  // namespace

FlushDenormals::FlushDenormals() : saved_(floating_mode()) { set_floating_mode(saved_ | flushing); }
FlushDenormals::~FlushDenormals() { set_floating_mode(saved_); }

ThreadPool::ThreadPool(int threads) : ticket_(closed) {
  if (threads < 1) throw InputError(fmt::format("{} threads were asked for: give at least 1", threads));
  for (int thread = 1; thread < threads; ++thread) workers_.emplace_back([this, thread] { work(thread); });
}

ThreadPool::~ThreadPool() {
  stopping_ = true;
  job_.fetch_add(1, std::memory_order_release);
  job_.notify_all();
  for (auto& worker : workers_) worker.join();
}

void ThreadPool::run_job(std::int64_t tasks, Call call, const void* context) {
  if (workers_.empty() || tasks <= 1 || tasks >= static_cast<std::int64_t>(closed)) {
    for (std::int64_t task = 0; task < tasks; ++task) call(context, task, 0);
    return;
  }
  const std::uint32_t job = job_.load(std::memory_order_relaxed) + 1;
  // Release: who sees one of these also sees that the last job's ticket is closed.
  call_.store(call, std::memory_order_release);
  context_.store(context, std::memory_order_release);
  tasks_.store(tasks, std::memory_order_release);
  done_.store(0, std::memory_order_release);
  ticket_.store(std::uint64_t{job} << 32, std::memory_order_release);
  job_.store(job, std::memory_order_release);
  job_.notify_all();
  take_tasks(job, 0);
  // Whoever does the last task says so; everyone else who was in this job has left `call` by then.
  for (std::uint32_t seen = finished_.load(std::memory_order_acquire); seen != job; seen = finished_.load(std::memory_order_acquire)) {
    await_change(finished_, seen);
  }
  ticket_.store((std::uint64_t{job} << 32) | closed, std::memory_order_seq_cst);
}

void ThreadPool::take_tasks(std::uint32_t job, int thread) {
  std::int64_t done = 0;
  std::uint64_t ticket = ticket_.load(std::memory_order_acquire);
  const Call call = call_.load(std::memory_order_acquire);
  const void* context = context_.load(std::memory_order_acquire);
  const std::int64_t tasks = tasks_.load(std::memory_order_acquire);
  while (ticket >> 32 == job && (ticket & closed) != closed && static_cast<std::int64_t>(ticket & closed) < tasks) {
    // If this succeeds the ticket was never closed since it was read: job, call and tasks belong together.
    if (!ticket_.compare_exchange_weak(ticket, ticket + 1, std::memory_order_acq_rel, std::memory_order_acquire)) continue;
    call(context, static_cast<std::int64_t>(ticket & closed), thread);
    ++done;
    ticket = ticket_.load(std::memory_order_acquire);
  }
  if (done == 0) return;
  if (done_.fetch_add(done, std::memory_order_acq_rel) + done == tasks) {
    finished_.store(job, std::memory_order_release);
    finished_.notify_one();
  }
}

void ThreadPool::work(int thread) {
  const FlushDenormals flush;
  std::uint32_t seen = 0;
  while (true) {
    await_change(job_, seen);
    seen = job_.load(std::memory_order_acquire);
    if (stopping_) return;
    take_tasks(seen, thread);
  }
}

}  // namespace heed
