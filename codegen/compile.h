// From a plan to a program that the runtime can run: each region becomes kernels, equal kernels are one.
#pragma once
#include <optional>

#include "codegen/cpu/jit.h"
#include "codegen/cuda/device_code.h"
#include "codegen/cuda/product_schedule.h"
#include "ir/plan.h"
#include "runtime/program.h"

namespace heed {

struct CompileOptions {
  Target target = host_target();
  std::optional<CudaTarget> cuda;                // for a GPU instead
  const SimulatorBuiltins* simulator = nullptr;  // and that one simulated on this processor
  Precision precision = Precision::f32;          // of the products of a GPU
  CompileSettings settings;
};

struct Compilation {
  Program program;
  std::vector<std::string> kernels;  // on the processor: in the cache, of each launch
  std::vector<std::string> built;    // labels of the regions that the compiled kernels are of, each once
  int compiled = 0, from_cache = 0;  // distinct kernels
  int codes = 0;                     // on the processor: pieces of code that the compiled ones are
  double lower_seconds = 0, compile_seconds = 0;
};

Compilation compile(const Plan& plan, const CompileOptions& options = {});

// The same without machine code: for figures.
Program program_without_code(const Plan& plan, const CompileOptions& options = {});

// The distinct kernels of a plan, in the order of their first use: for listings. While there are any of them the plan is lowered no second
// time.
struct ListedKernel {
  KernelSource source;
  BlockLimits limits;  // of a GPU's
  RegionInfo region;   // the first that uses it
};
std::vector<ListedKernel> kernel_sources(const Plan& plan, const CompileOptions& options);

}  // namespace heed
