// Brings blocks of a product's operands into the order its inner loop reads, by evaluating their expressions: whatever an operand
// is, it is computed once for each time it is packed.
#pragma once
#include <functional>

#include "codegen/tile/emitter.h"
#include "codegen/tile/product_schedule.h"
#include "codegen/tile/vectors.h"

namespace heed {

struct PackedOperand {
  AxisRef line, depth;
  VectorAxis vectors;                            // of the line or of the depth, whichever runs along neighbours
  Expr whole, last;                              // the operand at whole vectors and at the last one; null if it is read in place
  Expr odd_whole = nullptr, odd_last = nullptr;  // of the second halves of pairs; null if elements are no pairs, or words that hold both

  std::vector<Expr> all() const;  // that there are
};
PackedOperand packed_operand(Expr operand, Expr odd, Packing packing, AxisRef line, AxisRef depth, std::int64_t lanes, std::int64_t run);

// The block of the depth at hand: `count` values of it from `begin`, a multiple of the lanes.
struct PackPlace {
  Emitter& e;
  llvm::Value *begin, *count;
};

// Panels [depth][vectors * lanes], `size` elements apart, of columns `begin` to `end`. Past the last panel there is room for a row
// of `lanes` of them, and at `spare` for lanes * lanes elements or, if the operand has runs, for a line of all columns and two runs.
struct PanelLayout {
  llvm::Value *start, *begin, *end, *spare;
  std::int64_t vectors, size;
};
void pack_panels(PackPlace& place, const PackedOperand& operand, const PanelLayout& layout);
// The same for an operand evaluated along the depth.
void pack_transposed(PackPlace& place, const PackedOperand& operand, std::int64_t columns, const PanelLayout& layout);

// Sets what is past the end of the depth to 0, up to a multiple of `lanes`.
void fill_panels(PackPlace& place, const PanelLayout& layout, std::int64_t lanes);

// Tiles `first` to `end` of a, a strip of them: rows [row][depth] where they are evaluated along the depth, or lie so for the
// multiplier; else a panel [depth][row] for each tile. At `spare` there is room for spare_for_rows elements.
void pack_rows(PackPlace& place, const PackedOperand& operand, const ProductSchedule& schedule, llvm::Value* first, llvm::Value* end,
               llvm::Value* start, llvm::Value* spare);
std::int64_t packed_elements(const ProductSchedule& schedule);  // of a strip
std::int64_t spare_for_rows(const ProductSchedule& schedule);
std::pair<std::int64_t, std::int64_t> packed_strides(const ProductSchedule& schedule);  // of row and depth
// Where a tile of the strip that begins with tile `first` lies.
llvm::Value* packed_tile(Emitter& e, const ProductSchedule& schedule, llvm::Value* tile, llvm::Value* first);
llvm::Value* row_of_tile(Emitter& e, const ProductSchedule& schedule, llvm::Value* tile);  // its first one

// Runs the body for the vectors that hold elements `begin` to `end` of an axis: with true at whole ones, with false at those that are
// not. Begins at a multiple of the lanes, or at the run that holds `begin`; `position` is the first lane's.
void for_vectors(Emitter& e, const VectorAxis& axis, llvm::Value* begin, llvm::Value* end,
                 const std::function<void(llvm::Value* position, bool whole)>& body);

}  // namespace heed
