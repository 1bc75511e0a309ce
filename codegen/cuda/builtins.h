// What kernels ask of a GPU besides arithmetic and memory: named functions, so that one module serves the GPU and the simulator.
// They are lowered late: to intrinsics and inline assembly of NVPTX, or to C++ (runtime/cuda/simulated_device.cpp).
#pragma once

namespace llvm {
class IRBuilderBase;
class Module;
class Value;
}  // namespace llvm

namespace heed {

llvm::Value* thread_index(llvm::IRBuilderBase& b);   // i32, of the block's threads
llvm::Value* block_index(llvm::IRBuilderBase& b);    // i32
llvm::Value* shared_memory(llvm::IRBuilderBase& b);  // pointer to the block's, aligned to 1024
void block_barrier(llvm::IRBuilderBase& b);          // all threads of the block come together; memory before is seen after
void warp_barrier(llvm::IRBuilderBase& b);
// The value that the thread `mask` lanes away, by exclusive or, has given; all threads of the warp come. Any scalar type up to 64 bits.
llvm::Value* shuffle_xor(llvm::IRBuilderBase& b, llvm::Value* value, int mask);

// Replaces the builtins by what NVPTX has.
void lower_builtins(llvm::Module& module);

}  // namespace heed
