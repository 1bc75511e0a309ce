// What kernels ask of a GPU besides arithmetic and memory: named functions, so that one module serves the GPU and the simulator.
// They are lowered late: to intrinsics and inline assembly of NVPTX, or to C++ (runtime/cuda/simulated_device.cpp).
#pragma once

#include <vector>

namespace llvm {
class IRBuilderBase;
class Module;
class Value;
}  // namespace llvm

namespace heed {

// i32, of the block's threads. In a function with the attribute heed-part, which is one of many in a kernel, it is asked for anew, so that
// what follows from it is not worked out for all of them at the kernel's start and kept in registers.
llvm::Value* thread_index(llvm::IRBuilderBase& b);
llvm::Value* block_index(llvm::IRBuilderBase& b);    // i32
llvm::Value* shared_memory(llvm::IRBuilderBase& b);  // pointer to the block's, aligned to 1024
void block_barrier(llvm::IRBuilderBase& b);          // all threads of the block come together; memory before is seen after
void warp_barrier(llvm::IRBuilderBase& b);
// The value that the thread `mask` lanes away, by exclusive or, has given; all threads of the warp come. Any scalar type up to 64 bits.
llvm::Value* shuffle_xor(llvm::IRBuilderBase& b, llvm::Value* value, int mask);

// The same value, of which compilers know nothing any more: what is worked out from it in a loop is not kept in registers for all of it.
llvm::Value* hidden(llvm::IRBuilderBase& b, llvm::Value* pointer);

// --- copies from global to shared memory that go on while the thread does (cp.async; sm_80 and later)
// 4, 8 or 16 bytes, both places aligned to them; `present` (i32) of them are read, the others become zero. Nobody may touch the target
// until the thread has waited, and no other thread until a barrier after that.
void copy_async(llvm::IRBuilderBase& b, llvm::Value* to, llvm::Value* from, int bytes, llvm::Value* present,
                llvm::Value* condition = nullptr);         // i1: else there is no copy
void commit_copies(llvm::IRBuilderBase& b);                // those of this thread since the last commit are a group now
void wait_for_copies(llvm::IRBuilderBase& b, int groups);  // until at most so many of this thread's latest groups are under way

// --- tensor cores; all threads of the warp come. Fragments are those of PTX's mma.sync.
enum class MatrixKind { tf32, bf16, f16 };
// Four matrices of 8 lines of 16 bytes in shared memory (ldmatrix.x4): lane l gives the address of line l % 8 of matrix l / 8. Four i32.
// `transposed`: a lane gets element lane / 4 of lines 2 (lane % 4) and the one after it, in place of two neighbours of line lane / 4.
std::vector<llvm::Value*> load_matrices(llvm::IRBuilderBase& b, llvm::Value* address, bool transposed = false);
// 16 x 8 sums and the product of a 16 x 16 and a 16 x 8 fragment (of tf32: 16 x 8 and 8 x 8). Four f32.
std::vector<llvm::Value*> multiply_matrices(llvm::IRBuilderBase& b, MatrixKind kind, const std::vector<llvm::Value*>& left,
                                            const std::vector<llvm::Value*>& right, const std::vector<llvm::Value*>& sums);
// Two f32 rounded to 16 bits each, as an i32; the first one low.
llvm::Value* pack_halves(llvm::IRBuilderBase& b, MatrixKind kind, llvm::Value* low, llvm::Value* high);

// Replaces the builtins by what NVPTX has.
void lower_builtins(llvm::Module& module);

}  // namespace heed
