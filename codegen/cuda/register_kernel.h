// A region in blocks as one GPU kernel whose values of rows and columns lie in registers, from one matrix product to the next.
#pragma once
#include "codegen/cpu/jit.h"
#include "codegen/cuda/target.h"
#include "ir/plan.h"
#include "runtime/program.h"

namespace heed {

struct RegisterKernel {
  KernelSource source;
  std::vector<ArrayRef> buffers;  // in the order of the kernel's parameters
  std::vector<TensorMap> maps;
  std::int64_t tasks = 1, shared_bytes = 0;
  int threads = 0;
};

// Of blocks that have a program.
RegisterKernel register_kernel(const Blocks& blocks);

}  // namespace heed
