// Reads what the kernel says of processors and control groups. What can't be read limits nothing.
#include "runtime/cores.h"

#include <fmt/format.h>
#include <sched.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <sstream>
#include <thread>

namespace heed {

namespace {

namespace fs = std::filesystem;

std::string contents_of(const fs::path& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

// Of one group: "max 100000" or "150000 100000" microseconds in version 2, a file each in version 1, where -1 is no limit.
std::optional<double> quota_of(const fs::path& group, bool is_second_version) {
  double quota = 0, period = 0;
  if (is_second_version) {
    std::istringstream text(contents_of(group / "cpu.max"));
    if (!(text >> quota >> period)) return {};
  } else {
    std::istringstream quota_text(contents_of(group / "cpu.cfs_quota_us")), period_text(contents_of(group / "cpu.cfs_period_us"));
    if (!(quota_text >> quota) || !(period_text >> period)) return {};
  }
  return quota > 0 && period > 0 ? std::optional(quota / period) : std::nullopt;
}

// "cpu,cpuacct" names the controller `cpu`.
bool names_processor(std::string_view controllers) {
  std::istringstream list{std::string(controllers)};
  for (std::string each; std::getline(list, each, ',');)
    if (each == "cpu") return true;
  return false;
}

}  // namespace

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

std::optional<double> processor_quota(std::string_view groups, const fs::path& root) {
  std::optional<double> least;
  std::istringstream lines{std::string(groups)};
  for (std::string line; std::getline(lines, line);) {  // number:controllers:path
    const std::size_t first = line.find(':'), second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const bool is_second_version = controllers.empty();
    if (!is_second_version && !names_processor(controllers)) continue;
    // In a container the path may be one of outside; its own limits then lie at the top.
    fs::path group = is_second_version ? root : root / controllers;
    auto look = [&] {
      if (std::optional<double> quota = quota_of(group, is_second_version)) least = std::min(least.value_or(*quota), *quota);
    };
    look();
    for (const fs::path& part : fs::path(line.substr(second + 1)).relative_path()) {
      group /= part;
      look();
    }
  }
  return least;
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
