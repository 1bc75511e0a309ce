// How large blocks are, and what running by blocks saves.
#pragma once
#include <unordered_set>

#include "passes/blocks.h"
#include "passes/work.h"

namespace heed {

// Rows of a block, so that its virtual values stay close and products have enough rows; 0 if a block of few rows would be too large
// already.
std::int64_t rows_of_block(const BlockRegion& region, const std::unordered_set<ArrayRef>& virtual_arrays, const Machine& machine);

// The longest axis of a virtual value that blocks do not cut; -1 if there is none.
int longest_axis(const BlockRegion& region, const std::unordered_set<ArrayRef>& virtual_arrays);

// Sets `rows`, `axes.column`: the axis of which blocks need a part alone, if there is one, and `by_data` if data decides about it; `passes`
// and `columns` where columns are better cut into blocks, too.
void choose_columns(BlockRegion& region, const std::unordered_set<ArrayRef>& virtual_arrays, const Machine& machine);

// Blocks in order, as first row, rows, first column, columns: columns are few different numbers, so that few bodies are compiled.
struct BlockPlace {
  std::int64_t row, rows, column, columns;
};
// Widths of blocks are multiples of it, or the widest.
std::int64_t width_step(std::int64_t widest);
std::vector<BlockPlace> block_places(const BlockRegion& region, std::int64_t rows);

// Seconds that are saved by not storing the virtual values of some regions; negative if it costs more.
double saved_by_blocks(const std::vector<const BlockRegion*>& regions, const std::unordered_set<ArrayRef>& virtual_arrays,
                       const Machine& machine);

}  // namespace heed
