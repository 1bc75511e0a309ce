// A region in blocks as one GPU kernel: each block of threads goes through its part of the blocks and runs the pieces of each together.
// What a block makes for itself alone lies in shared memory, or, where that is too small, in memory of the thread block's own.
#pragma once
#include <vector>

#include "codegen/cuda/piece.h"
#include "codegen/cuda/target.h"
#include "runtime/program.h"

namespace heed {

struct BlockKernel {
  KernelSource source;
  // Of the launch, in order. There follow the parts of each accumulated buffer, in the order of BlockedWork::initial, if parts are more
  // than one, and scratch memory if there is some.
  std::vector<BufferUse> buffers;
  std::int64_t tasks = 1, shared_bytes = 0;
  std::int64_t scratch_bytes = 0;  // of all thread blocks together; 0: shared memory holds all
};

// Into how many parts the blocks that follow each other in a task are cut, so that all of a GPU has work. Each part adds to memory of its
// own, which another kernel adds together.
std::int64_t block_parts(const BlockedWork& work);

// `bodies`: the pieces of each launch of the work's bodies. `buffers`: of the program.
BlockKernel block_kernel(const BlockedWork& work, std::int64_t parts, const std::vector<std::vector<Piece>>& bodies,
                         const std::vector<Buffer>& buffers, const CudaTarget& target);

// A kernel of (parts, result): the parts of each element in order, added, or the largest of them where they start from minus infinity.
KernelSource combine_kernel(const BlockedWork::Initial& initial, std::int64_t parts);

// A kernel that gives every element of a buffer its first value.
KernelSource fill_kernel(const std::vector<std::byte>& element, std::int64_t elements);
// Thread blocks of these kernels.
std::int64_t fill_tasks(std::int64_t elements);
std::int64_t combine_tasks(const BlockedWork::Initial& initial);

}  // namespace heed
