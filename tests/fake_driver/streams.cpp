// Tasks run in the thread that waits for them.
#include "tests/fake_driver/streams.h"

#include <algorithm>
#include <utility>

namespace fake {

void Streams::add(Stream& stream, Task task) {
  if (stream.captured)
    stream.captured->push_back(std::move(task));
  else
    stream.queue.push_back(std::move(task));
}

void Streams::run(std::unique_lock<std::mutex>& lock, Stream& stream, const std::function<bool()>& is_done) {
  while (!is_done()) {
    if (stream.runs) {
      changed.wait(lock);
      continue;
    }
    if (stream.queue.empty()) return;
    const Task task = std::move(stream.queue.front());
    stream.queue.pop_front();
    stream.runs = true;
    if (task.awaits) {
      await(lock, *task.awaits, task.number);
      stream.seconds = std::max(stream.seconds, task.awaits->seconds);
    }
    if (task.work) {
      lock.unlock();
      task.work();
      lock.lock();
    }
    stream.seconds += task.seconds;
    if (task.reaches) task.reaches->reached = task.number, task.reaches->seconds = stream.seconds;
    stream.runs = false;
    changed.notify_all();
  }
}

void Streams::run_all(std::unique_lock<std::mutex>& lock, Stream& stream) {
  run(lock, stream, [&] { return stream.queue.empty() && !stream.runs; });
}

void Streams::await(std::unique_lock<std::mutex>& lock, Event& event, long number) {
  if (event.stream) run(lock, *event.stream, [&] { return event.reached >= number; });
}

}  // namespace fake
