// Reads a value that is an array instead of making it again.
#pragma once
#include "ir/graph.h"

namespace heed {

// Where a body applies a function and the very same expression is the body of an array, it reads that array: the gradient of exp makes the
// exponential again where the forward pass has it.
Graph reuse_stored(const Graph& graph);

}  // namespace heed
