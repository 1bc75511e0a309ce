// The loop over slices in two buffers, and which engine a schedule has.
#include "codegen/cuda/product_engine.h"

#include <llvm/IR/IRBuilder.h>

#include "codegen/cuda/builtins.h"

namespace heed {

void BufferedEngine::accumulate() {
  auto b = [&]() -> llvm::IRBuilderBase& { return t.e.builder(); };
  auto begin_of = [&](llvm::Value* slice) { return b().CreateMul(slice, t.e.number(s.depth)); };
  llvm::Value* one = t.e.number(1);
  fetch(begin_of(t.first_slice));
  keep(t.e.number(0));
  block_barrier(b());
  llvm::Value* slice = t.e.open_counter(t.first_slice, t.end_slice);
  llvm::Value* last = b().CreateSub(t.end_slice, one);
  fetch(begin_of(b().CreateBinaryIntrinsic(llvm::Intrinsic::smin, b().CreateAdd(slice, one), last)));
  llvm::Value* parity = b().CreateAnd(b().CreateSub(slice, t.first_slice), one);
  multiply(parity);
  keep(b().CreateXor(parity, one));
  block_barrier(b());
  t.e.close_loop();
}

std::unique_ptr<ProductEngine> product_engine(const ProductTile& tile) {
  if (tile.s.is_wide) return wide_engine(tile);
  if (tile.s.ring > 0) return ring_engine(tile);
  return tile.s.precision == Precision::f32 ? multiply_add_engine(tile) : tensor_core_engine(tile);
}

std::int64_t product_engine_bytes(const GpuProductSchedule& s, DType dtype) {
  if (s.is_wide) return wide_bytes(s);
  if (s.ring > 0) return ring_bytes(s);
  return s.precision == Precision::f32 ? multiply_add_bytes(s, dtype) : tensor_core_bytes(s);
}

}  // namespace heed
