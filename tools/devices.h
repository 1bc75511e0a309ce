// The devices that --device names.
#pragma once
#include <memory>
#include <optional>
#include <string>

#include "codegen/compile.h"
#include "runtime/cuda/driver.h"
#include "runtime/device.h"

namespace heed {

// "cpu": null. Opened once, with the caches of the first time; throws UserError for other names than cpu, cuda, cuda:N, cuda-sim,
// cuda-sim:CHIP, cuda-sim:SEED and cuda-sim:CHIP:SEED, and where there is no such GPU.
std::shared_ptr<Device> open_device(const std::string& name, const CacheOptions& cache);
// A GPU, not a simulated one.
bool is_gpu(const std::string& name);

// What a GPU does at most, by its figures, in operations and bytes a second.
struct GpuPeaks {
  double f32 = 0, tf32 = 0, half = 0;  // factors of products; half: bf16 and f16
  double bytes = 0;
};
GpuPeaks peaks_of(const cuda::DeviceFigures& figures);
GpuPeaks peaks_of_gpu(const std::string& name);  // that --device names

// What --cpu names, to be looked at. Throws UserError for names that are none.
Target named_cpu_target(const std::string& name);
// The same to be run: throws UserError for instructions that this machine lacks, too.
Target cpu_target(const std::string& name);
// What kernels for a device are compiled for.
void set_target(CompileOptions& options, const std::string& device_name, const std::string& cpu_name);
// "f32", "tf32", "bf16" or "f16", after the target; "" is f32. Throws UserError where the target has no such products.
void set_precision(CompileOptions& options, const std::string& precision);

}  // namespace heed
