// Products in registers that hold matrices, those of AMX: 16 rows of 16 words of 4 bytes. A word is a pair of bf16 in an operand, a sum in
// f32 in the result. The left operand has a row of its words for each row of the result, the right one a row for each step of the depth.
#pragma once
#include <cstdint>

#include "codegen/tile/micro_kernel.h"

namespace heed {

constexpr int matrix_side = 16;  // rows of a register, and words in a row

// Four registers of sums: two by two, or all in a row where there are few rows.
Tile choose_matrix_tile(std::int64_t m, std::int64_t n);

// Cycles of one core for 16 steps of the depth of a tile: as many as it has rows of sums, unless operands or earlier sums take longer.
double matrix_cycles(const Tile& tile);

// Bytes that describe the registers of tiles of so many rows, and whatever number of vectors. A constant of the module.
llvm::Value* matrix_configuration(llvm::Module& module, int rows);
// Registers are undefined until they are configured, and hold no sums after that. They are the thread's: whoever configured them
// releases them, so that the system saves no dead registers when threads change.
void configure_matrices(llvm::IRBuilderBase& builder, llvm::Value* configuration);
void release_matrices(llvm::IRBuilderBase& builder);

// Adds to c, or sets it where `accumulate` is 0, at the builder's place. The depth is taken in steps of 16: up to the next multiple of it
// after `count` both operands must be readable, and zero past `count`. Rows of a lie along the depth: a_k_stride is 1.
struct MatrixOperands {
  llvm::Value *a, *b, *c, *count, *accumulate;
};
void emit_matrix_sums(llvm::IRBuilderBase& builder, const MicroKernel& kernel, const MatrixOperands& operands);

}  // namespace heed
