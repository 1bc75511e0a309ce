// A plan as a program and the kernels that it launches, not yet compiled.
#pragma once
#include <memory>

#include "codegen/compile.h"
#include "ir/scratch.h"

namespace heed {

struct LoweredPlan {
  std::shared_ptr<Scratch> made;  // what kernels are built from is in the plan's arena for so long
  Program program;
  std::vector<KernelSource> sources;  // one a launch, whose `kernel` is its number here
  std::vector<BlockLimits> limits;    // of each, on a GPU
};
LoweredPlan lower_plan(const Plan& plan, const CompileOptions& options);

}  // namespace heed
