// A GPU that is simulated on the processor: one fiber a thread, blocks one after another, memory watched.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "runtime/device.h"

namespace heed {

// Throws std::runtime_error from a launch that reads or writes outside of its buffers, accesses memory unaligned, races, or waits at a
// barrier that not all threads reach; it names the kernel, the model's line, block and thread. `seed`: of the order in which threads run.
std::shared_ptr<Device> simulated_device(std::uint64_t seed = 1);

// The functions that compiled kernels call, by name.
std::vector<std::pair<std::string, void*>> simulated_builtins();

}  // namespace heed
