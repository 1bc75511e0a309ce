// The order in which groups run.
#include "passes/schedule.h"

#include <algorithm>
#include <map>
#include <set>
#include <stdexcept>

namespace heed {

namespace {

// Is there a way from one task to another along the readers?
bool leads(const std::vector<std::vector<int>>& later, int from, int to) {
  std::vector<bool> seen(later.size());
  std::vector<int> stack{from};
  while (!stack.empty()) {
    int task = stack.back();
    stack.pop_back();
    if (task == to) return true;
    if (seen[task]) continue;
    seen[task] = true;
    stack.insert(stack.end(), later[task].begin(), later[task].end());
  }
  return false;
}

}  // namespace

std::vector<int> schedule(const std::vector<Task>& tasks) {
  int count = static_cast<int>(tasks.size());
  std::vector<std::vector<int>> later(count);
  std::vector<int> waits(count);
  auto add_edge = [&](int before, int task) {
    if (std::ranges::find(later[before], task) != later[before].end()) return;
    later[before].push_back(task);
    ++waits[task];
  };
  for (int task = 0; task < count; ++task)
    for (int before : tasks[task].after) add_edge(before, task);
  for (int task = 0; task < count; ++task)
    for (int before : tasks[task].prefer_after)
      if (before != task && !leads(later, task, before)) add_edge(before, task);

  std::map<int, int> readers_left;  // by value
  for (const Task& task : tasks)
    for (const auto& [value, bytes] : task.reads) ++readers_left[value];
  auto growth = [&](int task) {
    double bytes = 0;
    for (const auto& [value, size] : tasks[task].makes) bytes += size;
    for (const auto& [value, size] : tasks[task].reads)
      if (readers_left.at(value) == 1) bytes -= size;
    return bytes;
  };

  std::set<int> ready;
  for (int task = 0; task < count; ++task)
    if (waits[task] == 0) ready.insert(task);
  std::vector<int> order;
  while (!ready.empty()) {
    int best = *std::ranges::min_element(ready, {}, growth);
    ready.erase(best);
    order.push_back(best);
    for (const auto& [value, bytes] : tasks[best].reads) --readers_left[value];
    for (int next : later[best])
      if (--waits[next] == 0) ready.insert(next);
  }
  if (order.size() != tasks.size()) throw std::logic_error("fuse: regions wait for each other");
  return order;
}

}  // namespace heed
