// A part of a kernel: what a block of threads does together for one task. A kernel is a piece for each block, or several in turn.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "codegen/cpu/jit.h"
#include "codegen/tile/emitter.h"

namespace heed {

struct Piece {
  std::string key;                // determines the code
  std::vector<ArrayRef> buffers;  // in the order of its function's parameters
  std::int64_t tasks = 1;
  std::int64_t shared_bytes = 0;  // from the start of the block's shared memory; of no meaning before and after
  // Writes the function of the frame. All threads of a block run it together, and no thread may touch what others made before a barrier
  // of the block that comes after it.
  std::function<void(llvm::Module& module, const KernelFrame& frame)> emit;
};

// An internal function with parameters (buffers…, i64 task, fault) that does one task of a piece, to be inlined. `is_part`: the kernel has
// several.
llvm::Function* add_piece(llvm::Module& module, const std::string& symbol, const Piece& piece, bool is_part);

// The kernel that does task b of a piece in block b.
KernelSource kernel_of(const Piece& piece);

// A function with the parameters of a kernel, (buffers…, fault), without a body.
llvm::Function* declare_kernel(llvm::Module& module, const std::string& symbol, std::size_t buffers);

}  // namespace heed
