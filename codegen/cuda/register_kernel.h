// A region in blocks as one GPU kernel whose values of rows and columns lie in registers, from one matrix product to the next.
#pragma once
#include "codegen/cpu/jit.h"
#include "codegen/cuda/target.h"
#include "ir/plan.h"

namespace heed {

struct RegisterKernel {
  KernelSource source;
  std::vector<ArrayRef> buffers;  // in the order of the kernel's parameters
  std::int64_t tasks = 1, shared_bytes = 0;
};

inline constexpr int register_threads = register_warps * warp_threads;

// Of blocks that have a program.
RegisterKernel register_kernel(const Blocks& blocks);

}  // namespace heed
