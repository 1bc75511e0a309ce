// Along which axes the arrays of a region can be cut into blocks.
#pragma once
#include <functional>
#include <optional>
#include <span>

#include "passes/blocks.h"

namespace heed {

// The axes if the arrays (in order) can run by blocks of rows, where `row` is a position of `rows_of`, one of them: nothing if some array
// has the row neither as an axis nor is reduced over it, or is read after it was. Columns are left open.
std::optional<BlockAxes> block_axes(std::span<const ArrayRef> arrays, ArrayRef rows_of, int row,
                                    const std::unordered_set<ArrayRef>& virtual_arrays);

}  // namespace heed
