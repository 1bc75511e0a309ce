// The innermost loop of matrix products: a tile of the result is held in registers while k runs. Every stride is a constant of
// the generated code.
#pragma once
#include <cstdint>
#include <vector>

#include "codegen/cpu/target.h"
#include "ir/dtype.h"

namespace llvm {
class Function;
class IRBuilderBase;
class Module;
class Value;
}  // namespace llvm

namespace heed {

// A tile of `rows` x (`vectors` * `lanes`) elements.
struct Tile {
  int rows, vectors, lanes;
  int columns() const { return vectors * lanes; }
  bool operator==(const Tile&) const = default;
};

// The tile that computes m x n results soonest: enough independent sums to fill the pipeline, few loads for each
// multiplication, little waste at the edge of n.
Tile choose_tile(const Target& target, std::int64_t element_bytes, std::int64_t m, std::int64_t n);

// What an instruction of the inner loop multiplies.
enum class Multiplier : std::uint8_t {
  factors,   // vectors of f32, f64 or i64
  halves,    // vectors of i64 that hold no more than 32 bits: one instruction where whole ones take several
  pairs,     // vectors of pairs of bf16
  matrices,  // matrices of such pairs, in registers of their own (codegen/tile/matrix_registers.h)
};

struct MicroKernel {
  Tile tile;
  DType dtype;  // of sums: f32, f64, i64
  bool has_fma;
  Multiplier multiplier;
  std::int64_t a_row_stride, a_k_stride;  // all strides in elements
  std::int64_t b_k_stride;                // vectors of one k lie side by side
  std::int64_t c_row_stride;
};

llvm::Value* plus_vector(llvm::IRBuilderBase& builder, llvm::Value* x, llvm::Value* y);  // floating, or integers that wrap

// Writes the loop over k into a function: sums of `count` products at the builder's place, which is after them then. In order of rows,
// then of vectors. a and b are the first element of the tile's operands. Not for matrices.
std::vector<llvm::Value*> emit_sums(llvm::IRBuilderBase& builder, const MicroKernel& kernel, llvm::Value* a, llvm::Value* b,
                                    llvm::Value* count);

// Adds, with internal linkage,
//   void (const T* a, const T* b, T* c, i64 k, i64 accumulate)
// c[row][column] = sum over k of a[row][k] b[k][column], or += where `accumulate` is not 0. a, b and c do not overlap.
llvm::Function* emit_micro_kernel(llvm::Module& module, const MicroKernel& kernel);

}  // namespace heed
