// How many threads of this process can do work at the same time.
#pragma once
#include <filesystem>
#include <set>

namespace heed {

// Cores that the process may run on: of a core's hardware threads one counts, since products leave nothing to the others. No more than
// its control groups allow of processor time (containers), rounded up. At least 1.
int usable_threads();

// --- what that is made of

// Cores that have one of the processors, by the lists of siblings under `system` (/sys/devices/system/cpu); a processor that has none
// there is a core.
int cores_among(const std::set<int>& processors, const std::filesystem::path& system);

}  // namespace heed
