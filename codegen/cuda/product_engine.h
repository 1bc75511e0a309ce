// How the multiply-adds of a product's tile are done: by each thread with a small tile of its own, or by the tensor cores.
#pragma once
#include <functional>
#include <memory>

#include "codegen/cuda/product_schedule.h"
#include "codegen/tile/emitter.h"

namespace heed {

// What an engine works with.
struct ProductTile {
  Emitter& e;
  const GpuProductSchedule& s;
  DType dtype;          // of the sums
  llvm::Value* thread;  // i64
  // The value of an operand at a line of the tile and a place in the slice that begins at `begin`: 0 beyond the depth, and anything in
  // lines beyond the last. i64 each.
  std::function<llvm::Value*(bool is_a, llvm::Value* line, llvm::Value* begin, llvm::Value* inside)> operand;
};

class ProductEngine {
 public:
  virtual ~ProductEngine() = default;
  virtual void fetch(llvm::Value* begin) = 0;     // takes this thread's elements of a slice of both operands into registers
  virtual void keep(llvm::Value* which) = 0;      // puts them into slice 0 or 1 of shared memory
  virtual void multiply(llvm::Value* which) = 0;  // adds the products of that slice to the sums
  // Puts the sums of rows group * staged_rows … of the tile into shared memory: element (row, column) at row * staged_line + column.
  virtual void stage(std::int64_t group) = 0;
};

std::unique_ptr<ProductEngine> multiply_add_engine(const ProductTile& tile);
std::unique_ptr<ProductEngine> tensor_core_engine(const ProductTile& tile);
// Bytes of shared memory.
std::int64_t multiply_add_bytes(const GpuProductSchedule& s, DType dtype);
std::int64_t tensor_core_bytes(const GpuProductSchedule& s);

}  // namespace heed
