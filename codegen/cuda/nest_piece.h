// A nest as a piece of a GPU kernel.
#pragma once
#include "codegen/cuda/piece.h"
#include "codegen/tile/nest.h"

namespace heed {

// The shape that nests are lowered with for a GPU. `is_shared`: by all blocks; else one block does all tasks.
VectorShape gpu_shape(bool is_shared);

Piece nest_piece(Nest nest, FaultPlaces& places, bool is_shared);

}  // namespace heed
