// Loops that evaluate operands and store them packed.
#include "codegen/tile/product_pack.h"

#include <llvm/IR/IRBuilder.h>

#include <algorithm>
#include <vector>

#include "codegen/tile/transpose.h"

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

// A vector of elements; of pairs of bf16 words, which are made of the upper halves of both.
llvm::Value* evaluate(Emitter& e, const PackedOperand& operand, bool whole) {
  llvm::Value* value = evaluate(e, whole ? operand.whole : operand.last);
  Expr odd = whole ? operand.odd_whole : operand.odd_last;
  if (!odd) return value;
  llvm::Value* upper = evaluate(e, odd);
  auto& b = e.builder();
  llvm::Type* word = llvm::VectorType::getInteger(llvm::cast<llvm::VectorType>(value->getType()));
  llvm::Value* low = b.CreateLShr(b.CreateBitCast(value, word), 16);
  llvm::Value* high = b.CreateAnd(b.CreateBitCast(upper, word), llvm::ConstantInt::get(word, 0xFFFF0000));
  return b.CreateBitCast(b.CreateOr(low, high), value->getType());
}

llvm::Value* rounded_down(Emitter& e, llvm::Value* x, std::int64_t unit) {
  auto& b = e.builder();
  return b.CreateMul(b.CreateUDiv(x, e.number(unit)), e.number(unit));
}

// Runs the body for the vectors of the depth that lie in the block; `offset` is where they begin in it.
void for_depth_vectors(PackPlace& place, const VectorAxis& depth, const std::function<void(llvm::Value* offset, bool whole)>& body) {
  Emitter& e = place.e;
  llvm::Value* end = e.builder().CreateAdd(place.begin, place.count);
  for_vectors(e, depth, place.begin, end,
              [&](llvm::Value* position, bool whole) { body(e.builder().CreateSub(position, place.begin), whole); });
}

// Where a vector of columns lies in its panel; `offset` is a multiple of the lanes.
llvm::Value* panel_offset(Emitter& e, const PanelLayout& layout, llvm::Value* offset, std::int64_t lanes) {
  auto& b = e.builder();
  llvm::Value* panel = b.CreateUDiv(offset, e.number(layout.vectors * lanes));
  llvm::Value* inside = b.CreateURem(offset, e.number(layout.vectors * lanes));
  return b.CreateAdd(b.CreateMul(panel, e.number(layout.size)), inside);
}

}  // namespace

PackedOperand packed_operand(Expr operand, Expr odd, Packing packing, AxisRef line, AxisRef depth, std::int64_t lanes, std::int64_t run) {
  if (packing == Packing::in_place) return {line, depth, {}, nullptr, nullptr};
  VectorAxis vectors = cut_into_vectors(packing == Packing::across_depth ? line : depth, lanes, run);
  PackedOperand packed{line, depth, vectors, in_whole_vector(vectors, operand), in_last_vector(vectors, operand)};
  if (odd) packed.odd_whole = in_whole_vector(vectors, odd), packed.odd_last = in_last_vector(vectors, odd);
  return packed;
}

std::vector<Expr> PackedOperand::all() const {
  std::vector<Expr> found;
  for (Expr each : {whole, last, odd_whole, odd_last})
    if (each) found.push_back(each);
  return found;
}

void for_vectors(Emitter& e, const VectorAxis& axis, llvm::Value* begin, llvm::Value* end,
                 const std::function<void(llvm::Value*, bool)>& body) {
  std::int64_t lanes = axis.lanes;
  auto rounded_up = [&](llvm::Value* x, std::int64_t unit) {
    return e.builder().CreateUDiv(e.builder().CreateAdd(x, e.number(unit - 1)), e.number(unit));
  };
  llvm::Value* start = e.number(0);  // of the run
  if (axis.has_runs()) {
    llvm::Value* run = e.open_counter(e.builder().CreateUDiv(begin, e.number(axis.run)), rounded_up(end, axis.run));
    e.bind_axis(axis.run_index, run);
    start = e.builder().CreateMul(run, e.number(axis.run));
    begin = e.number(0), end = e.number(axis.run);
  }
  if (axis.whole() > 0) {
    llvm::Value* first = e.builder().CreateUDiv(begin, e.number(lanes));
    llvm::Value* until = smaller(e, rounded_up(end, lanes), e.number(axis.whole()));
    llvm::Value* any = e.builder().CreateICmpSLT(first, until);
    if (!axis.has_runs()) e.open_if(any);
    llvm::Value* vector = e.open_counter(first, until);
    e.bind_axis(axis.vector, vector);
    e.bind_lanes(axis.lane, e.number(0));
    body(e.builder().CreateAdd(start, e.builder().CreateMul(vector, e.number(lanes))), true);
    e.close_loop();
    if (!axis.has_runs()) e.close_if();
  }
  if (axis.rest() > 0) {
    llvm::Value* reached = e.builder().CreateICmpSGT(end, e.number(axis.whole() * lanes));
    axis.has_runs() ? static_cast<void>(e.open_counter(e.number(0), e.number(1))) : e.open_if(reached);
    e.bind_lanes(axis.rest_lane, e.number(0), e.number(axis.rest()));
    body(e.builder().CreateAdd(start, e.number(axis.whole() * lanes)), false);
    axis.has_runs() ? e.close_loop() : e.close_if();
  }
  if (axis.has_runs()) e.close_loop();
}

void pack_panels(PackPlace& place, const PackedOperand& operand, const PanelLayout& layout) {
  Emitter& e = place.e;
  const VectorAxis& axis = operand.vectors;
  std::int64_t lanes = axis.lanes;
  llvm::Value* depth = e.open_counter(e.number(0), place.count);
  e.bind_axis(operand.depth, e.builder().CreateAdd(place.begin, depth));
  llvm::Value* row = e.builder().CreateMul(depth, e.number(layout.vectors * lanes));
  llvm::Value* first = axis.has_runs() ? rounded_down(e, layout.begin, axis.run) : layout.begin;
  for_vectors(e, axis, layout.begin, layout.end, [&](llvm::Value* position, bool whole) {
    llvm::Value* value = evaluate(e, operand, whole);
    llvm::Value* offset = e.builder().CreateSub(position, first);
    if (axis.has_runs())
      store_vector(e, value, layout.spare, offset);  // What is past a run is overwritten by the next.
    else
      store_vector(e, value, layout.start, e.builder().CreateAdd(row, panel_offset(e, layout, offset, lanes)));
  });
  if (axis.has_runs()) {
    llvm::Value* skipped = e.builder().CreateSub(layout.begin, first);
    llvm::Value* offset = e.open_counter(e.number(0), e.builder().CreateSub(layout.end, layout.begin), lanes);
    llvm::Value* value = e.load(operand.whole->dtype, layout.spare, e.builder().CreateAdd(skipped, offset), true);
    store_vector(e, value, layout.start, e.builder().CreateAdd(row, panel_offset(e, layout, offset, lanes)));
    e.close_loop();
  }
  e.close_loop();
}

void pack_transposed(PackPlace& place, const PackedOperand& operand, std::int64_t columns, const PanelLayout& layout) {
  Emitter& e = place.e;
  std::int64_t lanes = operand.vectors.lanes;
  DType dtype = operand.whole->dtype;
  llvm::Value* first = e.open_counter(layout.begin, layout.end, lanes);
  llvm::Value* panel = panel_offset(e, layout, e.builder().CreateSub(first, layout.begin), lanes);
  for_depth_vectors(place, operand.vectors, [&](llvm::Value* offset, bool whole) {
    llvm::Value* left = e.builder().CreateSub(e.number(columns), first);
    llvm::Value* line = e.open_counter(e.number(0), smaller(e, e.number(lanes), left));
    e.bind_axis(operand.line, e.builder().CreateAdd(first, line));
    store_vector(e, evaluate(e, operand, whole), layout.spare, e.builder().CreateMul(line, e.number(lanes)));
    e.close_loop();
    const std::vector<llvm::Value*> rows = transposed(e, dtype, layout.spare);
    auto& b = e.builder();
    for (std::int64_t i = 0; i < lanes; ++i) {  // What is past a run is overwritten by the next.
      llvm::Value* depth = b.CreateMul(b.CreateAdd(offset, e.number(i)), e.number(layout.vectors * lanes));
      store_vector(e, rows[static_cast<std::size_t>(i)], layout.start, b.CreateAdd(panel, depth));
    }
  });
  e.close_loop();
}

void fill_panels(PackPlace& place, const PanelLayout& layout, std::int64_t lanes) {
  Emitter& e = place.e;
  auto& b = e.builder();
  llvm::Value* whole = rounded_down(e, b.CreateAdd(place.count, e.number(lanes - 1)), lanes);
  e.open_if(b.CreateICmpSLT(place.count, whole));
  llvm::Value* first = e.open_counter(layout.begin, layout.end, lanes);
  llvm::Value* panel = panel_offset(e, layout, e.builder().CreateSub(first, layout.begin), lanes);
  llvm::Value* depth = e.open_counter(place.count, whole);
  llvm::Value* offset = e.builder().CreateAdd(panel, e.builder().CreateMul(depth, e.number(layout.vectors * lanes)));
  store_vector(e, e.constant(DType::f32, 0, true), layout.start, offset);
  e.close_loop();
  e.close_loop();
  e.close_if();
}

namespace {

constexpr std::int64_t steps_of_lines = 16;  // of the depth: rows of all tiles are evaluated for so many before tiles take theirs

// Of a row that lies along the depth.
std::int64_t packed_depth(const ProductSchedule& s) { return s.depth_block + s.tile.lanes; }

// Of a strip, beginning and ending with a whole vector, or run.
std::int64_t lines_across(const ProductSchedule& s) {
  const std::int64_t rows = s.tiles_a_strip * s.most_height();
  const std::int64_t lines = (rows + 2 * std::max<std::int64_t>(s.tile.lanes, s.a_run) + s.tile.lanes) / s.tile.lanes * s.tile.lanes;
  return lines % 64 == 0 ? lines + s.tile.lanes : lines;  // not all in one set of the cache
}

// Of a tile: whole vectors of its rows for each step of the depth.
std::int64_t step_of_tile(const ProductSchedule& s) { return round_up(s.most_height(), s.tile.lanes); }
std::int64_t panel_of_tile(const ProductSchedule& s) { return s.depth_block * step_of_tile(s); }

// Where a row of those from `first` on is evaluated to.
llvm::Value* line_across(Emitter& e, const ProductSchedule& s, llvm::Value* row, llvm::Value* first) {
  return e.builder().CreateSub(row, rounded_down(e, first, s.a_run > 0 ? s.a_run : s.tile.lanes));
}

void pack_rows_along(PackPlace& place, const PackedOperand& operand, const ProductSchedule& s, llvm::Value* first, llvm::Value* end,
                     llvm::Value* start) {
  Emitter& e = place.e;
  llvm::Value* row = e.open_counter(first, end);
  e.bind_axis(operand.line, row);
  llvm::Value* line = e.builder().CreateMul(e.builder().CreateSub(row, first), e.number(packed_depth(s)));
  for_depth_vectors(place, operand.vectors, [&](llvm::Value* offset, bool whole) {
    llvm::Value* value = evaluate(e, operand, whole);
    store_vector(e, value, start, e.builder().CreateAdd(line, offset));
  });
  if (s.fills_depth()) store_vector(e, e.constant(operand.whole->dtype, 0, true), start, e.builder().CreateAdd(line, place.count));
  e.close_loop();
}

// Evaluates vectors across the depth and stores them along it.
void pack_rows_transposed(PackPlace& place, const PackedOperand& operand, const ProductSchedule& s, llvm::Value* first, llvm::Value* end,
                          llvm::Value* start, llvm::Value* spare) {
  Emitter& e = place.e;
  const std::int64_t lanes = operand.vectors.lanes;
  const DType dtype = operand.whole->dtype;
  for_vectors(e, operand.vectors, first, end, [&](llvm::Value* position, bool whole) {
    llvm::Value* line = e.builder().CreateMul(line_across(e, s, position, first), e.number(packed_depth(s)));
    llvm::Value* depth = e.open_counter(e.number(0), place.count, lanes);
    llvm::Value* left = smaller(e, e.number(lanes), e.builder().CreateSub(place.count, depth));
    if (s.fills_depth())
      for (std::int64_t i = 1; i < lanes; ++i) store_vector(e, e.constant(dtype, 0, true), spare, e.number(i * lanes));
    llvm::Value* step = e.open_counter(e.number(0), left);
    e.bind_axis(operand.depth, e.builder().CreateAdd(place.begin, e.builder().CreateAdd(depth, step)));
    store_vector(e, evaluate(e, operand, whole), spare, e.builder().CreateMul(step, e.number(lanes)));
    e.close_loop();
    const std::vector<llvm::Value*> rows = transposed(e, dtype, spare);
    for (std::int64_t i = 0; i < lanes; ++i)
      store_vector(e, rows[static_cast<std::size_t>(i)], start,
                   e.builder().CreateAdd(line, e.builder().CreateAdd(depth, e.number(i * packed_depth(s)))));
    e.close_loop();
  });
}

// Evaluates lines of all rows for some steps of the depth, then gives each tile its own of them.
void pack_rows_of_tiles(PackPlace& place, const PackedOperand& operand, const ProductSchedule& s, llvm::Value* first_tile,
                        llvm::Value* end_tile, llvm::Value* start, llvm::Value* spare) {
  Emitter& e = place.e;
  const std::int64_t lanes = s.tile.lanes, lines = lines_across(s);
  llvm::Value *first = row_of_tile(e, s, first_tile), *end = row_of_tile(e, s, end_tile);
  llvm::Value* depth = e.open_counter(e.number(0), place.count, steps_of_lines);
  llvm::Value* steps = smaller(e, e.number(steps_of_lines), e.builder().CreateSub(place.count, depth));
  llvm::Value* step = e.open_counter(e.number(0), steps);
  e.bind_axis(operand.depth, e.builder().CreateAdd(place.begin, e.builder().CreateAdd(depth, step)));
  llvm::Value* line = e.builder().CreateMul(step, e.number(lines));
  for_vectors(e, operand.vectors, first, end, [&](llvm::Value* position, bool whole) {
    llvm::Value* value = evaluate(e, operand, whole);
    store_vector(e, value, spare, e.builder().CreateAdd(line, line_across(e, s, position, first)));
  });
  e.close_loop();
  llvm::Value* tile = e.open_counter(first_tile, end_tile);
  llvm::Value* from = line_across(e, s, row_of_tile(e, s, tile), first);
  llvm::Value* to = e.builder().CreateAdd(packed_tile(e, s, tile, first_tile), e.builder().CreateMul(depth, e.number(step_of_tile(s))));
  llvm::Value* taken = e.open_counter(e.number(0), steps);
  for (std::int64_t row = 0; row < s.most_height(); row += lanes) {
    llvm::Value* source = e.builder().CreateAdd(e.builder().CreateMul(taken, e.number(lines)), e.number(row));
    llvm::Value* target = e.builder().CreateAdd(e.builder().CreateMul(taken, e.number(step_of_tile(s))), e.number(row));
    llvm::Value* value = e.load(operand.whole->dtype, spare, e.builder().CreateAdd(from, source), true);
    store_vector(e, value, start, e.builder().CreateAdd(to, target));
  }
  e.close_loop();
  e.close_loop();
  e.close_loop();
}

}  // namespace

std::int64_t packed_elements(const ProductSchedule& s) {
  if (s.a_packing == Packing::along_depth) return s.tiles_a_strip * s.most_height() * packed_depth(s);
  return s.has_tile_panels() ? s.tiles_a_strip * panel_of_tile(s) : lines_across(s) * packed_depth(s);
}

std::int64_t spare_for_rows(const ProductSchedule& s) {
  if (s.a_packing != Packing::across_depth) return 0;
  return s.has_tile_panels() ? steps_of_lines * lines_across(s) : s.tile.lanes * s.tile.lanes;
}

std::pair<std::int64_t, std::int64_t> packed_strides(const ProductSchedule& s) {
  if (s.has_tile_panels()) return {1, step_of_tile(s)};
  return {packed_depth(s), 1};
}

llvm::Value* packed_tile(Emitter& e, const ProductSchedule& s, llvm::Value* tile, llvm::Value* first) {
  if (s.has_tile_panels()) return e.builder().CreateMul(e.builder().CreateSub(tile, first), e.number(panel_of_tile(s)));
  llvm::Value *row = row_of_tile(e, s, tile), *first_row = row_of_tile(e, s, first);
  llvm::Value* line = s.a_packing == Packing::along_depth ? e.builder().CreateSub(row, first_row) : line_across(e, s, row, first_row);
  return e.builder().CreateMul(line, e.number(packed_depth(s)));
}

llvm::Value* row_of_tile(Emitter& e, const ProductSchedule& s, llvm::Value* tile) {
  return e.builder().CreateAdd(e.builder().CreateMul(tile, e.number(s.height)), smaller(e, tile, e.number(s.high_tiles)));
}

void pack_rows(PackPlace& place, const PackedOperand& operand, const ProductSchedule& s, llvm::Value* first, llvm::Value* end,
               llvm::Value* start, llvm::Value* spare) {
  if (s.has_tile_panels()) return pack_rows_of_tiles(place, operand, s, first, end, start, spare);
  llvm::Value *first_row = row_of_tile(place.e, s, first), *end_row = row_of_tile(place.e, s, end);
  if (s.a_packing == Packing::along_depth) return pack_rows_along(place, operand, s, first_row, end_row, start);
  pack_rows_transposed(place, operand, s, first_row, end_row, start, spare);
}

}  // namespace heed
