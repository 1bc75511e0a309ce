// Reads what the kernel says of processors.
#include "runtime/cores.h"

#include <fmt/format.h>
#include <sched.h>

#include <algorithm>
#include <cmath>
#include <thread>

#include "runtime/control_groups.h"

namespace heed {

namespace fs = std::filesystem;

int cores_among(const std::set<int>& processors, const fs::path& system) {
  std::set<std::string> siblings;
  int alone = 0;
  for (int processor : processors) {
    const std::string list = contents_of(system / fmt::format("cpu{}", processor) / "topology/thread_siblings_list");
    if (list.empty())
      ++alone;
    else
      siblings.insert(list);
  }
  return static_cast<int>(siblings.size()) + alone;
}

int usable_threads() {
  int threads = static_cast<int>(std::thread::hardware_concurrency());
  cpu_set_t usable;
  if (sched_getaffinity(0, sizeof usable, &usable) == 0) {
    std::set<int> processors;
    for (int processor = 0; processor < CPU_SETSIZE; ++processor)
      if (CPU_ISSET(processor, &usable)) processors.insert(processor);
    threads = cores_among(processors, "/sys/devices/system/cpu");
  }
  if (std::optional<double> quota = processor_quota(contents_of("/proc/self/cgroup"), "/sys/fs/cgroup"))
    threads = std::min(threads, static_cast<int>(std::ceil(*quota)));
  return std::max(threads, 1);
}

}  // namespace heed
