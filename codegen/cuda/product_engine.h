// How the sums of a product's tile are made: by each thread with a small tile of its own, or by the tensor cores.
#pragma once
#include <functional>
#include <memory>

#include "codegen/cuda/product_schedule.h"
#include "codegen/cuda/stored_operand.h"
#include "codegen/tile/emitter.h"
#include "runtime/program.h"

namespace heed {

// Lines of an operand that is stored as tensor cores take it.
struct StoredLines {
  const StoredOperand* operand;
  llvm::Value* first;  // i64, of the tile; a multiple of 8
  std::int64_t count;  // of the operand
};

// What an engine works with.
struct ProductTile {
  Emitter& e;
  const GpuProductSchedule& s;
  DType dtype;          // of the sums
  llvm::Value* thread;  // i64
  // Of this part of the depth, i64 each.
  llvm::Value *first_slice, *end_slice;
  // The value of an operand at a line of the tile and a place in the slice that begins at `begin`: 0 beyond the depth, and anything in
  // lines beyond the last. i64 each.
  std::function<llvm::Value*(bool is_a, llvm::Value* line, llvm::Value* begin, llvm::Value* inside)> operand;
  StoredLines a{}, b{};  // where the schedule has a ring
  llvm::Value* batch = nullptr;
  std::vector<llvm::Value*> maps{};  // of a and b, where products are wide
};

class ProductEngine {
 public:
  virtual ~ProductEngine() = default;
  // What the schedule's feeders do, while the others accumulate.
  virtual void feed() {}
  // Makes the sums, in registers. Nobody uses shared memory any more afterwards.
  virtual void accumulate() = 0;
  // Puts the sums of rows group * staged_rows … of the tile into shared memory: element (row, column) at row * staged_line + column.
  virtual void stage(std::int64_t group) = 0;
};

// Takes slices through registers into two buffers: while one is multiplied the next one is on its way.
class BufferedEngine : public ProductEngine {
 public:
  explicit BufferedEngine(const ProductTile& tile) : t(tile), s(t.s) {}
  void accumulate() final;

 protected:
  virtual void fetch(llvm::Value* begin) = 0;     // takes this thread's elements of a slice of both operands into registers
  virtual void keep(llvm::Value* which) = 0;      // puts them into slice 0 or 1 of shared memory
  virtual void multiply(llvm::Value* which) = 0;  // adds the products of that slice to the sums

  ProductTile t;
  const GpuProductSchedule& s;
};

std::unique_ptr<ProductEngine> multiply_add_engine(const ProductTile& tile);
std::unique_ptr<ProductEngine> tensor_core_engine(const ProductTile& tile);
std::unique_ptr<ProductEngine> ring_engine(const ProductTile& tile);
std::unique_ptr<ProductEngine> wide_engine(const ProductTile& tile);
// Bytes of shared memory.
std::int64_t multiply_add_bytes(const GpuProductSchedule& s, DType dtype);
std::int64_t tensor_core_bytes(const GpuProductSchedule& s);
std::int64_t ring_bytes(const GpuProductSchedule& s);
std::int64_t wide_bytes(const GpuProductSchedule& s);
// The map of an operand that is stored as a grid; `tile`: lines of the tile.
TensorMap wide_map(const StoredOperand& operand, const GpuProductSchedule& s, AxisRef batch, std::int64_t count, std::int64_t tile);

// The one that a schedule asks for, and its bytes.
std::unique_ptr<ProductEngine> product_engine(const ProductTile& tile);
std::int64_t product_engine_bytes(const GpuProductSchedule& s, DType dtype);

}  // namespace heed
