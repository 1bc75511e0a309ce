// A table of chips, from NVIDIA's list of technical specifications by compute capability.
#include "codegen/cuda/target.h"

#include <fmt/format.h>

#include <array>
#include <stdexcept>

namespace heed {
namespace {

constexpr std::int64_t kib = 1024;

// LLVM 19 knows chips up to sm_90a; later ones run its code for sm_90, whose first lines are changed to name them.
const std::array targets{
    CudaTarget{"sm_75", 75, "sm_75", "", 64 * kib, 64 * kib, 64 * kib, 1024, 72},
    CudaTarget{"sm_80", 80, "sm_80", "", 163 * kib, 64 * kib, 164 * kib, 2048, 108},
    CudaTarget{"sm_86", 86, "sm_86", "", 99 * kib, 64 * kib, 100 * kib, 1536, 84},
    CudaTarget{"sm_89", 89, "sm_89", "", 99 * kib, 64 * kib, 100 * kib, 1536, 142},
    CudaTarget{"sm_90", 90, "sm_90", "", 227 * kib, 64 * kib, 228 * kib, 2048, 132},
    CudaTarget{"sm_90a", 90, "sm_90a", "", 227 * kib, 64 * kib, 228 * kib, 2048, 132},
    CudaTarget{"sm_100", 100, "sm_90", "8.6", 227 * kib, 64 * kib, 228 * kib, 2048, 148},
    CudaTarget{"sm_120", 120, "sm_90", "8.7", 99 * kib, 64 * kib, 100 * kib, 1536, 170},
};

}  // namespace

std::span<const CudaTarget> cuda_targets() { return targets; }

CudaTarget cuda_target_named(std::string_view name) {
  std::string known;
  for (const CudaTarget& target : targets) {
    if (target.name == name) return target;
    known += (known.empty() ? "" : ", ") + target.name;
  }
  throw std::runtime_error(fmt::format("unknown GPU target `{}`; known: {}", name, known));
}

CudaTarget cuda_target_of(int major, int minor) {
  const CudaTarget* best = nullptr;
  for (const CudaTarget& target : targets)
    if (target.chip <= 10 * major + minor && (target.name.back() != 'a' || target.chip == 10 * major + minor)) best = &target;
  if (!best) throw std::runtime_error(fmt::format("compute capability {}.{} is too old: heed needs 7.5 or later", major, minor));
  // What an old driver can read: a newer chip runs the code of an older target.
  if (!best->ptx_version.empty()) return cuda_target_named("sm_90");
  return *best;
}

}  // namespace heed
