// Loops that evaluate operands and store them packed.
#include "codegen/tile/product_pack.h"

#include <llvm/IR/IRBuilder.h>

#include <algorithm>
#include <vector>

namespace heed {
namespace {

llvm::Value* smaller(Emitter& e, llvm::Value* x, llvm::Value* y) {
  auto& b = e.builder();
  return b.CreateSelect(b.CreateICmpSLT(x, y), x, y);
}

llvm::Value* element_at(Emitter& e, llvm::Value* vector, llvm::Value* start, llvm::Value* offset) {
  return e.builder().CreateInBoundsGEP(llvm::cast<llvm::VectorType>(vector->getType())->getElementType(), start, offset);
}

void store_vector(Emitter& e, llvm::Value* vector, llvm::Value* start, llvm::Value* offset) {
  std::uint64_t bytes = vector->getType()->getScalarSizeInBits() / 8;
  e.builder().CreateAlignedStore(vector, element_at(e, vector, start, offset), llvm::Align(bytes));
}

llvm::Value* evaluate(Emitter& e, Expr x) {
  e.emit_checks(x);
  return e.emit_lanes(x);
}

// Runs the body for the vectors of the depth that lie in the block; `offset` is where they begin in it.
void for_depth_vectors(PackPlace& place, const VectorAxis& depth, const std::function<void(llvm::Value* offset, bool whole)>& body) {
  Emitter& e = place.e;
  auto& b = e.builder();
  llvm::Value* begin = b.CreateSDiv(place.begin, e.number(depth.lanes));
  llvm::Value* last = b.CreateAdd(b.CreateAdd(place.begin, place.count), e.number(depth.lanes - 1));
  llvm::Value* end = b.CreateSDiv(last, e.number(depth.lanes));
  for_vectors(e, depth, begin, end, [&](llvm::Value* vector, bool whole) {
    auto& inner = e.builder();
    body(inner.CreateMul(inner.CreateSub(vector, begin), e.number(depth.lanes)), whole);
  });
}

// Rows become columns: in step s, blocks of s x s change places across the diagonals of blocks of 2s x 2s.
void transpose(llvm::IRBuilderBase& b, std::vector<llvm::Value*>& rows) {
  int lanes = static_cast<int>(rows.size());
  for (int s = 1; s < lanes; s *= 2) {
    std::vector<int> low, high;
    for (int lane = 0; lane < lanes; ++lane) {
      low.push_back(lane & s ? lanes + lane - s : lane);
      high.push_back(lane & s ? lanes + lane : lane + s);
    }
    for (int i = 0; i < lanes; ++i) {
      if (i & s) continue;
      llvm::Value *x = rows[static_cast<std::size_t>(i)], *y = rows[static_cast<std::size_t>(i + s)];
      rows[static_cast<std::size_t>(i)] = b.CreateShuffleVector(x, y, low);
      rows[static_cast<std::size_t>(i + s)] = b.CreateShuffleVector(x, y, high);
    }
  }
}

// Where column vector `vector` begins in its panel.
llvm::Value* panel_offset(Emitter& e, const PanelLayout& layout, llvm::Value* vector, std::int64_t lanes) {
  auto& b = e.builder();
  llvm::Value* index = b.CreateSub(vector, layout.begin);
  llvm::Value* panel = b.CreateUDiv(index, e.number(layout.vectors));
  llvm::Value* inside = b.CreateURem(index, e.number(layout.vectors));
  return b.CreateAdd(b.CreateMul(panel, e.number(layout.size)), b.CreateMul(inside, e.number(lanes)));
}

}  // namespace

PackedOperand packed_operand(Expr operand, Packing packing, AxisRef line, AxisRef depth, std::int64_t lanes) {
  if (packing == Packing::in_place) return {line, depth, {}, nullptr, nullptr};
  VectorAxis vectors = cut_into_vectors(packing == Packing::across_depth ? line : depth, lanes);
  return {line, depth, vectors, in_whole_vector(vectors, operand), in_last_vector(vectors, operand)};
}

void for_vectors(Emitter& e, const VectorAxis& axis, llvm::Value* begin, llvm::Value* end,
                 const std::function<void(llvm::Value*, bool)>& body) {
  if (axis.whole > 0) {
    llvm::Value* until = smaller(e, end, e.number(axis.whole));
    e.open_if(e.builder().CreateICmpSLT(begin, until));
    llvm::Value* vector = e.open_counter(begin, until);
    e.bind_axis(axis.vector, vector);
    e.bind_lanes(axis.lane, e.number(0));
    body(vector, true);
    e.close_loop();
    e.close_if();
  }
  if (axis.rest > 0) {
    e.open_if(e.builder().CreateICmpSGT(end, e.number(axis.whole)));
    e.bind_lanes(axis.rest_lane, e.number(0), e.number(axis.rest));
    body(e.number(axis.whole), false);
    e.close_if();
  }
}

void pack_panels(PackPlace& place, const PackedOperand& operand, const PanelLayout& layout, llvm::Value* end) {
  Emitter& e = place.e;
  std::int64_t lanes = operand.vectors.lanes;
  llvm::Value* depth = e.open_counter(e.number(0), place.count);
  e.bind_axis(operand.depth, e.builder().CreateAdd(place.begin, depth));
  llvm::Value* row = e.builder().CreateMul(depth, e.number(layout.vectors * lanes));
  for_vectors(e, operand.vectors, layout.begin, end, [&](llvm::Value* vector, bool whole) {
    llvm::Value* value = evaluate(e, whole ? operand.whole : operand.last);
    store_vector(e, value, layout.start, e.builder().CreateAdd(row, panel_offset(e, layout, vector, lanes)));
  });
  e.close_loop();
}

void pack_transposed(PackPlace& place, const PackedOperand& operand, const VectorAxis& columns, const PanelLayout& layout, llvm::Value* end,
                     llvm::Value* spare) {
  Emitter& e = place.e;
  std::int64_t lanes = columns.lanes;
  llvm::Value* group = e.open_counter(layout.begin, end);
  llvm::Value* first = e.builder().CreateMul(group, e.number(lanes));
  llvm::Value* panel = panel_offset(e, layout, group, lanes);
  for_depth_vectors(place, operand.vectors, [&](llvm::Value* offset, bool whole) {
    llvm::Value* left = e.builder().CreateSub(e.number(columns.axis->size), first);
    llvm::Value* line = e.open_counter(e.number(0), smaller(e, e.number(lanes), left));
    e.bind_axis(operand.line, e.builder().CreateAdd(first, line));
    llvm::Value* value = evaluate(e, whole ? operand.whole : operand.last);
    store_vector(e, value, spare, e.builder().CreateMul(line, e.number(lanes)));
    e.close_loop();
    auto& b = e.builder();
    std::vector<llvm::Value*> rows;
    auto align = llvm::Align(value->getType()->getScalarSizeInBits() / 8);
    for (std::int64_t i = 0; i < lanes; ++i)
      rows.push_back(b.CreateAlignedLoad(value->getType(), element_at(e, value, spare, e.number(i * lanes)), align));
    transpose(b, rows);
    for (std::int64_t i = 0; i < lanes; ++i) {
      llvm::Value* depth = b.CreateMul(b.CreateAdd(offset, e.number(i)), e.number(layout.vectors * lanes));
      store_vector(e, rows[static_cast<std::size_t>(i)], layout.start, b.CreateAdd(panel, depth));
    }
  });
  e.close_loop();
}

std::int64_t packed_lines(const ProductSchedule& s) {
  std::int64_t rows = s.tiles_a_strip * (s.height + 1);
  if (s.a_packing == Packing::along_depth) return rows;
  std::int64_t lines = (rows + 2 * s.tile.lanes - 1) / s.tile.lanes * s.tile.lanes;  // begins at a multiple of the lanes
  return lines % 64 == 0 ? lines + s.tile.lanes : lines;                             // not all in one set of the cache
}

std::int64_t packed_depth(const ProductSchedule& s) {
  return s.a_packing == Packing::along_depth ? s.depth_block + s.tile.lanes : s.depth_block;
}

std::pair<std::int64_t, std::int64_t> packed_strides(const ProductSchedule& s) {
  if (s.a_packing == Packing::along_depth) return {packed_depth(s), 1};
  return {1, packed_lines(s)};
}

llvm::Value* packed_line(Emitter& e, const ProductSchedule& s, llvm::Value* row, llvm::Value* first) {
  auto& b = e.builder();
  if (s.a_packing == Packing::across_depth) first = b.CreateMul(b.CreateUDiv(first, e.number(s.tile.lanes)), e.number(s.tile.lanes));
  return b.CreateSub(row, first);
}

void pack_rows(PackPlace& place, const PackedOperand& operand, const ProductSchedule& s, llvm::Value* first, llvm::Value* end,
               llvm::Value* start) {
  Emitter& e = place.e;
  std::int64_t lanes = s.tile.lanes;
  if (s.a_packing == Packing::along_depth) {
    llvm::Value* row = e.open_counter(first, end);
    e.bind_axis(operand.line, row);
    llvm::Value* line = e.builder().CreateMul(e.builder().CreateSub(row, first), e.number(packed_depth(s)));
    for_depth_vectors(place, operand.vectors, [&](llvm::Value* offset, bool whole) {
      llvm::Value* value = evaluate(e, whole ? operand.whole : operand.last);
      store_vector(e, value, start, e.builder().CreateAdd(line, offset));
    });
    e.close_loop();
    return;
  }
  llvm::Value* begin = e.builder().CreateUDiv(first, e.number(lanes));
  llvm::Value* until = e.builder().CreateUDiv(e.builder().CreateAdd(end, e.number(lanes - 1)), e.number(lanes));
  llvm::Value* depth = e.open_counter(e.number(0), place.count);
  e.bind_axis(operand.depth, e.builder().CreateAdd(place.begin, depth));
  llvm::Value* row = e.builder().CreateMul(depth, e.number(packed_lines(s)));
  for_vectors(e, operand.vectors, begin, until, [&](llvm::Value* vector, bool whole) {
    llvm::Value* value = evaluate(e, whole ? operand.whole : operand.last);
    llvm::Value* offset = e.builder().CreateMul(e.builder().CreateSub(vector, begin), e.number(lanes));
    store_vector(e, value, start, e.builder().CreateAdd(row, offset));
  });
  e.close_loop();
}

}  // namespace heed
