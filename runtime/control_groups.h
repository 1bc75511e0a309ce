// The control groups that a process is in, and what they allow: how containers and job systems limit memory and processor time.
#pragma once
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace heed {

// In all of these, `groups` is what the system says of the process' groups (/proc/self/cgroup), `root` where they are mounted
// (/sys/fs/cgroup). Versions 1 and 2. What can't be read limits nothing.

// The least share of time, in processors, that the process' group and those around it allow. Nothing if there is no limit.
std::optional<double> processor_quota(std::string_view groups, const std::filesystem::path& root);

// The least number of bytes that the process' group and those around it have left; what the system keeps of files, and can give up, counts
// as free. Nothing if there is no limit.
std::optional<std::int64_t> memory_left(std::string_view groups, const std::filesystem::path& root);

// Of a file of the system, all; empty if there is none.
std::string contents_of(const std::filesystem::path& path);

// --- what they are made of

struct ControlGroup {
  std::filesystem::path folder;
  bool is_second_version;
};

// Those that can limit what `controller` ("cpu", "memory") counts, from the outside inwards.
std::vector<ControlGroup> control_groups(std::string_view groups, const std::filesystem::path& root, std::string_view controller);

}  // namespace heed
