// Two warpgroups multiply 64 rows each of what lies in a ring of slices; one thread of a third one asks for boxes of both operands, as soon
// as a slot is free. Two barriers a slot say that it is full, and that both have read it.
#include <llvm/IR/IRBuilder.h>

#include <algorithm>

#include "codegen/cuda/builtins.h"
#include "codegen/cuda/product_engine.h"
#include "codegen/cuda/warp_tile.h"

namespace heed {
namespace {

constexpr std::int64_t line_bytes = 128, in_line = 64;  // of a box; elements
constexpr std::int64_t rows_of_group = 64, step = 16;   // of a product
constexpr std::int64_t box_bytes = in_line * line_bytes;
constexpr int left_registers = 40, taken_registers = 232;

std::int64_t slot_bytes(const GpuProductSchedule& s) { return (s.tile.rows + s.tile.columns) * line_bytes; }

class Wide : public ProductEngine {
 public:
  explicit Wide(const ProductTile& tile) : t(tile), s(tile.s), thread_(thread_index(b())) {
    t.e.open_if(b().CreateICmpEQ(thread_, word(0)));
    for (std::int64_t slot = 0; slot < s.ring; ++slot) {
      make_barrier(b(), full(word(slot)), 1);
      make_barrier(b(), empty(word(slot)), block_threads / warp_threads);
    }
    publish_barriers(b());
    t.e.close_if();
    block_barrier(b());
  }

  void feed() override {
    leave_registers(b(), left_registers);
    t.e.open_if(b().CreateICmpEQ(thread_, word(0)));
    llvm::Value* slice = t.e.open_counter(t.e.number(0), t.e.number(s.slices_of_part()));
    Place place = place_of(slice);
    wait_for_phase(b(), empty(place.slot), b().CreateXor(place.parity, word(1)));
    arrive_expecting(b(), full(place.slot), slot_bytes(s));
    llvm::Value* depth = narrow(b().CreateMul(b().CreateAdd(t.first_slice, slice), t.e.number(s.depth)));
    llvm::Value* start = b().CreateMul(place.slot, word(slot_bytes(s)));
    copy(t.a, 0, s.tile.rows, depth, start, place);
    copy(t.b, 1, s.tile.columns, depth, b().CreateAdd(start, word(s.tile.rows * line_bytes)), place);
    t.e.close_loop();
    t.e.close_if();
    block_barrier(b());
  }

  void accumulate() override {
    take_registers(b(), taken_registers);
    const std::int64_t slices = s.slices_of_part(), count = s.tile.columns / 2;
    llvm::Value* sums = t.e.make_array(count / 2);
    for (std::int64_t k = 0; k < count; ++k)
      b().CreateStore(llvm::ConstantFP::get(b().getFloatTy(), 0),
                      b().CreateConstGEP1_64(b().getFloatTy(), sums, static_cast<std::uint64_t>(k)));
    llvm::Value* group = b().CreateSub(same_in_warp(b(), b().CreateUDiv(thread_, word(rows_of_group * 2))), word(1));
    left_ = matrix(t.a, b().CreateMul(group, word(box_bytes)));
    right_ = matrix(t.b, word(s.tile.rows * line_bytes));
    multiply(t.e.number(0), sums);
    if (slices > 1) {
      llvm::Value* slice = t.e.open_counter(t.e.number(1), t.e.number(slices));
      multiply(slice, sums);
      wait_for_products(b(), 1);
      llvm::Value* is_first = b().CreateICmpEQ(b().CreateURem(thread_, word(warp_threads)), word(0));
      arrive(b(), empty(place_of(b().CreateSub(slice, t.e.number(1))).slot), is_first);
      t.e.close_loop();
    }
    wait_for_products(b(), 0, sums, static_cast<int>(count));
    warps_ = std::make_unique<WarpTile>(t);
    std::vector<llvm::Value*> values;
    for (std::int64_t k = 0; k < count; ++k)
      values.push_back(b().CreateLoad(b().getFloatTy(), b().CreateConstGEP1_64(b().getFloatTy(), sums, static_cast<std::uint64_t>(k))));
    warps_->set_sums(values);
    block_barrier(b());
  }

  void stage(std::int64_t group) override { warps_->stage(group); }

 private:
  struct Place {  // of a slice in the ring, i32
    llvm::Value *slot, *parity;
  };

  llvm::IRBuilderBase& b() { return t.e.builder(); }
  llvm::Value* word(std::int64_t value) { return b().getInt32(static_cast<std::uint32_t>(value)); }
  llvm::Value* narrow(llvm::Value* x) { return b().CreateTrunc(x, b().getInt32Ty()); }
  llvm::Value* shared(llvm::Value* place) {
    return b().CreateGEP(b().getInt8Ty(), shared_memory(b()), b().CreateZExt(place, b().getInt64Ty()));
  }
  llvm::Value* full(llvm::Value* slot) { return shared(b().CreateAdd(b().CreateMul(slot, word(8)), word(s.ring * slot_bytes(s)))); }
  llvm::Value* empty(llvm::Value* slot) {
    return shared(b().CreateAdd(b().CreateMul(slot, word(8)), word(s.ring * slot_bytes(s) + 8 * s.ring)));
  }
  static bool is_across(const StoredLines& of) { return of.operand->along == Along::line; }

  Place place_of(llvm::Value* slice) {
    llvm::Value* index = narrow(slice);
    return {b().CreateURem(index, word(s.ring)), b().CreateURem(b().CreateUDiv(index, word(s.ring)), word(2))};
  }

  void copy(const StoredLines& of, std::size_t map, std::int64_t lines, llvm::Value* depth, llvm::Value* start, const Place& place) {
    llvm::Value *first = narrow(of.first), *batch = narrow(t.batch);
    if (!is_across(of)) {
      copy_box(b(), shared(start), t.maps[map], {depth, first, batch}, full(place.slot));
      return;
    }
    for (std::int64_t line = 0; line < lines; line += in_line)
      copy_box(b(), shared(b().CreateAdd(start, word(line * line_bytes))), t.maps[map], {b().CreateAdd(first, word(line)), depth, batch},
               full(place.slot));
  }

  llvm::Value* matrix(const StoredLines& of, llvm::Value* start) {
    return matrix_place(b(), shared(start), is_across(of) ? box_bytes : 16, 8 * line_bytes);
  }

  // Adds a slice's products to the sums; they go on.
  void multiply(llvm::Value* slice, llvm::Value* sums) {
    Place place = place_of(slice);
    wait_for_phase(b(), full(place.slot), place.parity);
    const WideProduct product{s.precision == Precision::bf16 ? MatrixKind::bf16 : MatrixKind::f16, static_cast<int>(s.tile.columns),
                              is_across(t.a), is_across(t.b)};
    llvm::Value* start = b().CreateZExt(b().CreateMul(place.slot, word(slot_bytes(s) / 16)), b().getInt64Ty());
    llvm::Value *left = b().CreateAdd(left_, start), *right = b().CreateAdd(right_, start);
    auto moved = [&](const StoredLines& of, llvm::Value* matrix, std::int64_t at) {
      return b().CreateAdd(matrix, t.e.number(at * (is_across(of) ? step * line_bytes : step * 2) / 16));
    };
    begin_products(b());
    for (std::int64_t at = 0; at < s.depth / step; ++at) multiply_wide(b(), product, sums, moved(t.a, left, at), moved(t.b, right, at));
    commit_products(b());
  }

  ProductTile t;
  const GpuProductSchedule& s;
  llvm::Value* thread_;  // i32, of all
  llvm::Value *left_ = nullptr, *right_ = nullptr;
  std::unique_ptr<WarpTile> warps_;
};

}  // namespace

std::unique_ptr<ProductEngine> wide_engine(const ProductTile& tile) { return std::make_unique<Wide>(tile); }

std::int64_t wide_bytes(const GpuProductSchedule& s) {
  return std::max(s.ring * slot_bytes(s) + 16 * s.ring, s.staged_rows() * s.staged_line() * 4);
}

TensorMap wide_map(const StoredOperand& operand, const GpuProductSchedule& s, AxisRef batch, std::int64_t count, std::int64_t tile) {
  const StoredGrid grid = *grid_of(operand, batch, s.depth);
  TensorMap map{.offset = grid.offset * 2};
  const bool across = operand.along == Along::line;
  map.sizes = {across ? count : s.k, across ? s.k : count, s.batches};
  map.strides[0] = (across ? grid.depth : grid.line) * 2;
  map.strides[1] = grid.batch > 0 ? grid.batch * 2 : map.strides[0] * map.sizes[1];  // of one there is no next
  map.box = {static_cast<std::int32_t>(in_line), static_cast<std::int32_t>(across ? s.depth : tile), 1};
  return map;
}

}  // namespace heed
