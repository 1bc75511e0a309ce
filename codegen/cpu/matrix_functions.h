// Functions in place of the instructions for registers that hold matrices: to check code for them, call by call, on processors that have
// none.
#pragma once
#include <cstdint>

namespace llvm {
class Module;
}

namespace heed {

// Registers are those of the calling thread, by number; strides are in bytes.
struct MatrixFunctions {
  void (*configure)(const void* configuration);
  void (*release)();
  void (*zero)(std::int8_t to);
  void (*load)(std::int8_t to, const void* rows, std::int64_t stride);
  void (*store)(std::int8_t from, void* rows, std::int64_t stride);
  void (*multiply_bf16)(std::int8_t sums, std::int8_t left, std::int8_t right);
};

// Calls them wherever the module uses the instructions.
void bind_matrix_instructions(llvm::Module& module, const MatrixFunctions& functions);

}  // namespace heed
