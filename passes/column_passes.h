// How a region in blocks goes over its columns a few at a time, so that nothing it works in is as long as a row.
#pragma once
#include <optional>
#include <vector>

#include "passes/blocks.h"

namespace heed {

// The passes if blocks can be cut along `region.axes.column`, too: each reduction over columns is a sum or a maximum that is put together
// from those of the parts. It is made in the pass after those that it needs, or in the same one as a maximum that it is shifted by: then
// what there is of it is scaled to the maximum of all columns so far (the exchange: Milakov and Gimelshein 2018, for any value of a degree
// in exp(-maximum), passes/degrees.h).
std::optional<ColumnPasses> column_passes(const BlockRegion& region);

// Arrays of the region, by number and in order, that a pass makes for the columns of a block: what it completes, and what that is made of.
std::vector<std::size_t> made_in_pass(const BlockRegion& region, int pass);

}  // namespace heed
