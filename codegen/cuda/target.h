// The GPUs that code is generated for, and the figures that schedules are chosen by.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace heed {

struct CudaTarget {
  std::string name = "sm_80";  // as LLVM and ptxas have it
  int chip = 80;               // 10 * major + minor
  std::string llvm_cpu = "sm_80";
  std::string ptx_version;                // in the text, where LLVM's own is too old for the chip; empty: LLVM's
  std::int64_t shared_bytes = 163 << 10;  // most of a block
  std::int64_t registers = 64 << 10;      // of a multiprocessor, 32 bits each
  std::int64_t shared_of_multiprocessor = 164 << 10;
  int threads_of_multiprocessor = 2048;
  int multiprocessors = 108;  // of the chip's largest device
  // Four warps multiply together, and boxes are copied: what sm_90a alone has.
  bool has_wide_products() const { return name == "sm_90a"; }
};

// "sm_75" … "sm_120"; throws std::runtime_error that lists the known ones.
CudaTarget cuda_target_named(std::string_view name);
std::span<const CudaTarget> cuda_targets();
// For the compute capability of a device: the newest target that runs there.
CudaTarget cuda_target_of(int major, int minor);

// Threads of every block: kernels are made of pieces that all work with so many.
inline constexpr int block_threads = 256;
inline constexpr int warp_threads = 32;

}  // namespace heed
