// How many rows and columns of a block registers and shared memory of a GPU hold.
#pragma once
#include <unordered_set>

#include "passes/blocks.h"
#include "passes/work.h"

namespace heed {

// Cuts the region into blocks whose values of rows and columns lie in registers, of as many rows and columns as they hold; else
// `not_in_registers` says why not. Nothing on a machine without such registers.
void choose_registers(BlockRegion& region, const std::unordered_set<ArrayRef>& virtual_arrays, const Machine& machine);

}  // namespace heed
