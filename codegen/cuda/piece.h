// A part of a kernel: what a block of threads does together for one task. A kernel is a piece for each block, or several in turn.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "codegen/cpu/jit.h"
#include "codegen/cuda/target.h"
#include "codegen/tile/emitter.h"
#include "runtime/program.h"

namespace heed {

struct Piece {
  std::string key;                // determines the code
  std::vector<ArrayRef> buffers;  // in the order of its function's parameters
  std::int64_t tasks = 1;
  std::int64_t shared_bytes = 0;  // from the start of the block's shared memory; of no meaning before and after
  // Writes the function of the frame. All threads of a block run it together, and no thread may touch what others made before a barrier
  // of the block that comes after it.
  std::function<void(llvm::Module& module, const KernelFrame& frame)> emit;
  int threads = block_threads;    // another number only where the piece is a kernel of its own
  std::vector<TensorMap> maps{};  // of `buffers`; only there too
};

// An internal function with parameters (buffers…, i64 task, fault) that does one task of a piece, to be inlined. `is_part`: the kernel has
// several.
llvm::Function* add_piece(llvm::Module& module, const std::string& symbol, const Piece& piece, bool is_part);

// The kernel that does task b of a piece in block b.
KernelSource kernel_of(const Piece& piece);

// A function with the parameters of a kernel, (buffers…, fault, maps…), without a body.
llvm::Function* declare_kernel(llvm::Module& module, const std::string& symbol, std::size_t buffers, std::size_t maps = 0,
                               int threads = block_threads);
// What it was declared with.
int threads_of(const llvm::Function& kernel);
std::size_t maps_of(const llvm::Function& kernel);

}  // namespace heed
