// From descriptions of GPU kernels to PTX, or to code for the simulated GPU on this processor.
#pragma once
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "codegen/cpu/jit.h"
#include "codegen/cuda/target.h"
#include "runtime/program.h"

namespace heed {

// What the simulated GPU offers to kernels, by name.
using SimulatorBuiltins = std::vector<std::pair<std::string, void*>>;

struct DeviceCode {
  std::vector<DeviceKernel> kernels;  // distinct ones
  std::vector<std::int32_t> index;    // of each source, into `kernels`
  std::shared_ptr<void> owner;        // of simulated kernels
  std::vector<std::size_t> built;     // the sources that were compiled, each kernel once
  int compiled = 0, from_cache = 0;   // distinct kernels
  double seconds = 0;
};

// What a block of a kernel's threads has.
struct BlockLimits {
  std::int64_t shared_bytes = 0;
  std::int32_t threads = block_threads;
};

// Kernels of declare_kernel's form; PTX, looked up in the cache first.
DeviceCode device_code(const std::vector<KernelSource>& sources, const std::vector<BlockLimits>& limits, const CudaTarget& target,
                       const CompileSettings& settings);
// The code of kernels whose names are known: false unless the cache has all of it.
bool load_device_code(std::vector<DeviceKernel>& kernels, const CompileSettings& settings);
// For this processor, with every access to memory reported to the builtins.
DeviceCode simulated_code(const std::vector<KernelSource>& sources, const std::vector<BlockLimits>& limits,
                          const SimulatorBuiltins& builtins, const CompileSettings& settings);

// The text of one kernel, for people; `assembly` is PTX.
KernelText device_text(const KernelSource& source, const std::string& symbol, const CudaTarget& target);

}  // namespace heed
