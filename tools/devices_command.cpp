// heed devices: what heed sees and will use.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cstdio>
#include <nlohmann/json.hpp>

#include "codegen/cpu/matrix_use.h"
#include "codegen/cpu/peak.h"
#include "codegen/cpu/target.h"
#include "codegen/cuda/target.h"
#include "input_error.h"
#include "runtime/cores.h"
#include "runtime/cuda/driver.h"
#include "runtime/memory.h"
#include "tools/command.h"
#include "tools/devices.h"
#include "tools/ptxas.h"

namespace heed {
namespace {

std::string target_of(const cuda::DeviceFigures& gpu) {
  try {
    return cuda_target_of(gpu.major, gpu.minor).name;
  } catch (const std::runtime_error&) {
    return "";
  }
}

// What there is, or what is missing.
void list_gpus() {
  try {
    auto gpus = cuda::device_figures();
    int version = cuda::driver_version();
    if (gpus.empty()) fmt::print("cuda  none: the driver (CUDA {}.{}) sees no GPU\n", version / 1000, version % 1000 / 10);
    for (std::size_t k = 0; k < gpus.size(); ++k) {
      const auto& gpu = gpus[k];
      std::string target = target_of(gpu);
      fmt::print(
          "cuda:{}  {}, compute capability {}.{} ({}), {} multiprocessors at {} MHz, {}, {} KiB of shared memory a block, driver CUDA "
          "{}.{}\n",
          k, gpu.name, gpu.major, gpu.minor, target.empty() ? "too old: heed needs 7.5 or later" : "kernels for " + target,
          gpu.multiprocessors, gpu.clock_khz / 1000, readable_bytes(static_cast<double>(gpu.memory_bytes)), gpu.shared_bytes >> 10,
          version / 1000, version % 1000 / 10);
      if (target.empty()) continue;
      const GpuPeaks peaks = peaks_of(gpu);
      fmt::print("        peaks by its figures: {:.4g} TFLOP/s in bf16 and f16, {:.4g} in tf32, {:.4g} in f32, {:.4g} GB/s\n",
                 peaks.half / 1e12, peaks.tf32 / 1e12, peaks.f32 / 1e12, peaks.bytes / 1e9);
    }
  } catch (const InputError& error) {
    fmt::print("cuda  none: {}\n", error.what());
  }
  std::string assembler = find_ptxas();
  fmt::print("ptxas {}\n", assembler.empty()
                               ? "none: `heed build --target sm_…` writes no report (CUDA toolkit, or the Python package nvidia-cuda-nvcc)"
                               : assembler);
}

void list_gpus_as_json() {
  try {
    auto gpus = cuda::device_figures();
    for (std::size_t k = 0; k < gpus.size(); ++k) {
      const auto& gpu = gpus[k];
      const GpuPeaks peaks = peaks_of(gpu);
      nlohmann::ordered_json json = {{"device", fmt::format("cuda:{}", k)},
                                     {"gpu", gpu.name},
                                     {"capability", fmt::format("{}.{}", gpu.major, gpu.minor)},
                                     {"target", target_of(gpu)},
                                     {"multiprocessors", gpu.multiprocessors},
                                     {"flop_per_second", {{"f32", peaks.f32}, {"tf32", peaks.tf32}, {"bf16", peaks.half}}},
                                     {"bytes_per_second", peaks.bytes},
                                     {"memory_bytes", gpu.memory_bytes},
                                     {"shared_bytes", gpu.shared_bytes},
                                     {"driver", cuda::driver_version()}};
      fmt::print("{}\n", json.dump());
    }
  } catch (const InputError&) {  // no driver: no line
  }
}

}  // namespace

Command devices_command() {
  return {"devices", "shows what heed sees and will use", "heed devices --json", [](CLI::App& app) -> std::function<int()> {
            auto json = std::make_shared<bool>(false);
            app.add_flag("--json", *json, "one JSON object a device");
            return [json] {
              Target target = host_target();
              const int threads = usable_threads();
              const MachinePeaks peaks = measure_peaks(target, threads);
              if (*json) {
                nlohmann::ordered_json cpu = {{"device", "cpu"},
                                              {"cpu", target.cpu},
                                              {"threads", threads},
                                              {"vector_bytes", target.vector_bytes},
                                              {"instructions", levels_here()},
                                              {"flop_per_second", peaks.flop_per_second},
                                              {"bytes_per_second", peaks.bytes_per_second},
                                              {"multiplies_pairs_of_bf16", target.multiplies_pairs},
                                              {"multiplies_matrices_of_bf16", target.multiplies_matrices},
                                              {"level1_bytes", target.level1_bytes},
                                              {"level2_bytes", target.level2_bytes},
                                              {"level3_bytes", target.level3_bytes}};
                if (!target.multiplies_matrices) cpu["why_no_matrices"] = matrix_use().why_not;
                fmt::print("{}\n", cpu.dump());
                list_gpus_as_json();
                return success;
              }
              fmt::print("cpu   {}, {} threads, vectors of {} bits, caches {} KiB / {} KiB / {} KiB; factors in bf16 are {}\n", target.cpu,
                         threads, target.vector_bytes * 8, target.level1_bytes >> 10, target.level2_bytes >> 10, target.level3_bytes >> 10,
                         target.multiplies_matrices ? "multiplied in matrices (AMX)"
                         : target.multiplies_pairs  ? "multiplied in pairs"
                                                    : "widened to f32");
              fmt::print("      instructions of {} (--cpu); measured peaks: {:.4g} GFLOP/s in f32, {:.4g} GB/s\n",
                         fmt::join(levels_here(), ", "), peaks.flop_per_second / 1e9, peaks.bytes_per_second / 1e9);
              if (!target.multiplies_matrices) fmt::print("      AMX is not used: {}\n", matrix_use().why_not);
              list_gpus();
              fmt::print("cuda-sim  a GPU simulated on the processor, to check kernels; cuda-sim:sm_90a simulates that chip\n");
              return success;
            };
          }};
}

}  // namespace heed
