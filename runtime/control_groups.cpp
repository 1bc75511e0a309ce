// Reads the files of control groups, of which those around a process limit it as its own does.
#include "runtime/control_groups.h"

#include <algorithm>
#include <fstream>
#include <sstream>

namespace heed {
namespace {

namespace fs = std::filesystem;

std::optional<std::int64_t> number_in(const fs::path& path) {
  std::istringstream text(contents_of(path));
  std::int64_t number = 0;
  return text >> number ? std::optional(number) : std::nullopt;
}

// "cpu,cpuacct" names the controllers `cpu` and `cpuacct`.
bool names(std::string_view controllers, std::string_view wanted) {
  std::istringstream list{std::string(controllers)};
  for (std::string each; std::getline(list, each, ',');)
    if (each == wanted) return true;
  return false;
}

// "max 100000" or "150000 100000" microseconds in version 2, a file each in version 1, where -1 is no limit.
std::optional<double> quota_of(const ControlGroup& group) {
  double quota = 0, period = 0;
  if (group.is_second_version) {
    std::istringstream text(contents_of(group.folder / "cpu.max"));
    if (!(text >> quota >> period)) return {};
  } else {
    quota = static_cast<double>(number_in(group.folder / "cpu.cfs_quota_us").value_or(0));
    period = static_cast<double>(number_in(group.folder / "cpu.cfs_period_us").value_or(0));
  }
  return quota > 0 && period > 0 ? std::optional(quota / period) : std::nullopt;
}

// Pages of files that were not used lately: they go as soon as their memory is wanted.
std::int64_t idle_file_bytes(const ControlGroup& group) {
  const std::string_view wanted = group.is_second_version ? "inactive_file" : "total_inactive_file";
  std::istringstream lines(contents_of(group.folder / "memory.stat"));
  std::int64_t bytes = 0;
  for (std::string name; lines >> name >> bytes;)
    if (name == wanted) return bytes;
  return 0;
}

// "max" is no limit in version 2; in version 1 that is a number beyond any machine's memory.
std::optional<std::int64_t> left_of(const ControlGroup& group) {
  const bool second = group.is_second_version;
  const auto limit = number_in(group.folder / (second ? "memory.max" : "memory.limit_in_bytes"));
  const auto used = number_in(group.folder / (second ? "memory.current" : "memory.usage_in_bytes"));
  if (!limit || !used) return {};
  return std::clamp<std::int64_t>(*limit - *used + idle_file_bytes(group), 0, *limit);
}

template <class T, class Figure>
std::optional<T> least_of(const std::vector<ControlGroup>& groups, Figure figure) {
  std::optional<T> least;
  for (const ControlGroup& group : groups)
    if (std::optional<T> each = figure(group)) least = std::min(least.value_or(*each), *each);
  return least;
}

}  // namespace

std::string contents_of(const fs::path& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

std::vector<ControlGroup> control_groups(std::string_view groups, const fs::path& root, std::string_view controller) {
  std::vector<ControlGroup> found;
  std::istringstream lines{std::string(groups)};
  for (std::string line; std::getline(lines, line);) {  // number:controllers:path
    const std::size_t first = line.find(':'), second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const bool is_second_version = controllers.empty();
    if (!is_second_version && !names(controllers, controller)) continue;
    // In a container the path may be one of outside; its own limits then lie at the top.
    fs::path folder = is_second_version ? root : root / controllers;
    found.push_back({folder, is_second_version});
    for (const fs::path& part : fs::path(line.substr(second + 1)).relative_path()) found.push_back({folder /= part, is_second_version});
  }
  return found;
}

std::optional<double> processor_quota(std::string_view groups, const fs::path& root) {
  return least_of<double>(control_groups(groups, root, "cpu"), quota_of);
}

std::optional<std::int64_t> memory_left(std::string_view groups, const fs::path& root) {
  return least_of<std::int64_t>(control_groups(groups, root, "memory"), left_of);
}

}  // namespace heed
