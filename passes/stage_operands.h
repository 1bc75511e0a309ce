// Stores what a matrix product would compute again for each block.
#pragma once
#include "ir/graph.h"

namespace heed {

// Operands of matrix products that are computed become arrays, so that they are made once, where what they read is made. Operands that
// only move values (slices, unfolded images, gathers) or are larger than what they are made from stay inside.
Graph stage_operands(const Graph& graph);

}  // namespace heed
