// The order in which groups run.
#pragma once
#include <cstdint>
#include <vector>

namespace heed {

struct Task {
  std::vector<int> after;                     // tasks that must run before this one, each once
  std::vector<int> prefer_after;              // where no cycle comes of it
  std::vector<std::pair<int, double>> reads;  // values it reads, with their bytes
  std::vector<std::pair<int, double>> makes;  // values it makes
};

// An order of the tasks in which each comes after those it must; among those that can run next, the one after which least is live.
// A value is live from the task that makes it to the last one that reads it. Equal choices go by the tasks' own order.
std::vector<int> schedule(const std::vector<Task>& tasks);

}  // namespace heed
