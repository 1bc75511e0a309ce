// Streams, events and graphs of the stand-in driver: queues of work that runs when somebody waits for it.
#pragma once
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

namespace fake {

struct Stream;

struct Event {
  long recorded = 0, reached = 0;  // how often
  double seconds = 0;              // when it was reached last, by the stream's clock
  Stream* stream = nullptr;        // that it was recorded in last
};

struct Task {
  std::function<void()> work;  // a copy, a kernel; it takes `seconds`
  double seconds = 0;
  std::shared_ptr<Event> reaches, awaits;
  long number = 0;  // of the event's records
};

using Graph = std::vector<Task>;

struct Stream {
  std::deque<Task> queue;
  std::shared_ptr<Graph> captured;  // while it is recorded
  bool runs = false;                // a task, without the lock
  double seconds = 0;
};

// Calls of several threads: one at a time, but for what tasks do.
struct Streams {
  std::mutex mutex;
  std::condition_variable changed;
  std::vector<std::unique_ptr<Stream>> all;

  void add(Stream& stream, Task task);
  // Runs tasks of the stream, and what they wait for, until `is_done`.
  void run(std::unique_lock<std::mutex>& lock, Stream& stream, const std::function<bool()>& is_done);
  void run_all(std::unique_lock<std::mutex>& lock, Stream& stream);
  void await(std::unique_lock<std::mutex>& lock, Event& event, long number);
};

}  // namespace fake
