// A plan as a program and the kernels that it launches, not yet compiled.
#pragma once
#include "codegen/compile.h"

namespace heed {

struct LoweredPlan {
  Program program;
  std::vector<KernelSource> sources;  // in the order of the launches
  std::vector<BlockLimits> limits;    // of each, on a GPU
};
LoweredPlan lower_plan(const Plan& plan, const CompileOptions& options);

}  // namespace heed
