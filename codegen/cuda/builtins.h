// What kernels ask of a GPU besides arithmetic and memory: named functions, so that one module serves the GPU and the simulator.
// They are lowered late: to intrinsics and inline assembly of NVPTX, or to C++ (runtime/cuda/simulated_*.cpp).
#pragma once

#include <array>
#include <cstdint>
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
// --- approximations of the special function units, in f32; numbers below the normal ones are zero
llvm::Value* power_of_two(llvm::IRBuilderBase& b, llvm::Value* x);        // to 2 units in the last place
llvm::Value* hyperbolic_tangent(llvm::IRBuilderBase& b, llvm::Value* x);  // to 2^-11 of it
llvm::Value* reciprocal(llvm::IRBuilderBase& b, llvm::Value* x);          // to 1 unit in the last place

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

// --- sm_90a: barriers in shared memory, copies of boxes, products by four warps together
// A barrier is 8 bytes, aligned to 8. It counts phases; a phase ends when so many threads have arrived and all bytes have come that they
// said it waits for. One thread makes it, then publish_barriers and a barrier of the block come before its use.
void make_barrier(llvm::IRBuilderBase& b, llvm::Value* barrier, int arrivals);
void publish_barriers(llvm::IRBuilderBase& b);
void arrive(llvm::IRBuilderBase& b, llvm::Value* barrier, llvm::Value* condition);  // i1: else this thread does not
void arrive_expecting(llvm::IRBuilderBase& b, llvm::Value* barrier, std::int64_t bytes);
// Until the phase of this parity (i32, 0 or 1; the first one is 0) has ended; before the first one, that of parity 1 counts as ended.
void wait_for_phase(llvm::IRBuilderBase& b, llvm::Value* barrier, llvm::Value* parity);
// Begins to copy a box of a TensorMap (runtime/program.h), at three places (i32, in elements, the fastest first), to shared memory aligned
// to 1024, as lines of 128 bytes whose chunk c of line l is at c ^ l % 8. The barrier's phase gets its bytes when they have come.
void copy_box(llvm::IRBuilderBase& b, llvm::Value* to, llvm::Value* map, const std::array<llvm::Value*, 3>& places, llvm::Value* barrier);

// Of an operand in such lines, what the tensor cores are told (i64; adding n to it moves it by 16 n bytes): lines along the depth, eight
// of them `stride` bytes from the next eight; or, across, lines of one place of the depth, `stride` bytes from eight to the next eight and
// `leading` bytes from 64 neighbours to the next 64.
llvm::Value* matrix_place(llvm::IRBuilderBase& b, llvm::Value* shared, std::int64_t leading, std::int64_t stride);
struct WideProduct {
  MatrixKind kind;
  int columns;  // a multiple of 8, 256 at most; rows are 64, the depth is 16
  bool left_across, right_across;
  bool is_first = false;  // of its sums, which were nothing before
};
// Begins to add a product to sums: a thread has columns / 2 f32 at `sums`, as mma.sync's four of each 8 columns. All 128 threads come.
// They may not be touched until they are waited for; begin_products comes before the first product of a group.
void begin_products(llvm::IRBuilderBase& b);
void multiply_wide(llvm::IRBuilderBase& b, const WideProduct& product, llvm::Value* sums, llvm::Value* left, llvm::Value* right);
// The left operand's fragments are in registers: of each warp 16 rows, four words as mma.sync has them.
void multiply_wide(llvm::IRBuilderBase& b, const WideProduct& product, llvm::Value* sums, const std::vector<llvm::Value*>& left,
                   llvm::Value* right);
// Four f32 of shared memory, aligned to 16 bytes, into registers of their own, although others have them.
std::vector<llvm::Value*> read_quad(llvm::IRBuilderBase& b, llvm::Value* shared);
void commit_products(llvm::IRBuilderBase& b);
// Until at most so many groups are under way. Where sums are used after it, `sums` are so many f32.
void wait_for_products(llvm::IRBuilderBase& b, int groups, llvm::Value* sums = nullptr, int count = 0);
// What comes after it, a wait for products, does not begin before both values (f32) are known: what they are made from is done meanwhile.
// `scratch`: 4 bytes of shared memory that nobody reads.
void hold_until_known(llvm::IRBuilderBase& b, llvm::Value* one, llvm::Value* other, llvm::Value* scratch);
// Groups of four warps take turns: one waits at a barrier (i32, 1 to 15) until another one has given it its turn there.
void wait_for_turn(llvm::IRBuilderBase& b, llvm::Value* barrier);
void give_turn(llvm::IRBuilderBase& b, llvm::Value* barrier);
// A warpgroup leaves registers to others, or takes what others left: so many a thread from now on, a multiple of 8.
void leave_registers(llvm::IRBuilderBase& b, int count);
void take_registers(llvm::IRBuilderBase& b, int count);
// An i32 that is the same in all lanes of a warp: compilers know that then.
llvm::Value* same_in_warp(llvm::IRBuilderBase& b, llvm::Value* value);

// Replaces the builtins by what NVPTX has for a chip (CudaTarget::chip).
void lower_builtins(llvm::Module& module, int chip);

}  // namespace heed
