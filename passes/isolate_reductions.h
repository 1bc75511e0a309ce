// Gives every reduction an array of its own.
#pragma once
#include "ir/graph.h"

namespace heed {

// Afterwards each body is a map without reductions, one reduction of a map, or such a reduction under a constant factor or a guard. So a
// value of a row is computed once for the row, and a product can be told from what follows it. What is made under a condition alone becomes
// an array of the range that the condition leaves; one whose condition depends on more than it does stays where it is.
Graph isolate_reductions(const Graph& graph);

}  // namespace heed
