// How many threads of this process can do work at the same time.
#pragma once
#include <filesystem>
#include <optional>
#include <set>
#include <string_view>

namespace heed {

// Cores that the process may run on: of a core's hardware threads one counts, since products leave nothing to the others. No more than
// its control groups allow of processor time (containers), rounded up. At least 1.
int usable_threads();

// --- what that is made of

// Cores that have one of the processors, by the lists of siblings under `system` (/sys/devices/system/cpu); a processor that has none
// there is a core.
int cores_among(const std::set<int>& processors, const std::filesystem::path& system);

// The least share of time, in processors, that a process' control group and those around it allow. `groups`: what the system says of the
// process' groups (/proc/self/cgroup); `root`: where they are mounted (/sys/fs/cgroup). Versions 1 and 2. Nothing if there is no limit.
std::optional<double> processor_quota(std::string_view groups, const std::filesystem::path& root);

}  // namespace heed
