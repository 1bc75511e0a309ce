// Operands of products that lie in memory as tensor cores take them: 16 bits an element, eight neighbours a chunk of 16 bytes, which go
// into shared memory as they are.
#pragma once
#include <optional>

#include "codegen/cuda/product_schedule.h"

namespace heed {

// The read at line i and place d of the depth is at element lines(batch, i) + slices(s) + pitch * r of its array, where d is r in the slice
// s.
struct StoredOperand {
  Expr read;
  Along along;    // the index of which eight neighbours are a chunk
  AxisRef line;   // in `lines`: the line, or, where chunks lie along the lines, its chunk
  AxisRef slice;  // in `slices`
  LinearForm lines;
  LinearForm slices;
  std::int64_t pitch;  // 1 along the depth, else a multiple of 8

  // Elements from slice to slice, where all are alike.
  std::optional<std::int64_t> slice_step() const;
};

// One whose line i, place d of the depth and batch q are at element offset + line * i + depth * d + batch * q.
struct StoredGrid {
  std::int64_t offset, line, depth, batch;
};
std::optional<StoredGrid> grid_of(const StoredOperand& operand, AxisRef batch, std::int64_t slice_depth);

// Nothing unless `operand` is such a read and every chunk is aligned where the array is; `slice_depth`: of a slice, a multiple of 8.
std::optional<StoredOperand> stored_operand(Expr operand, AxisRef line, AxisRef depth, std::int64_t slice_depth);

}  // namespace heed
