// Adds gradients to a graph: what `heed run --grad` and gradcheck evaluate.
#pragma once
#include "ir/graph.h"

namespace heed {

// Adds an output `grad.NAME` for every floating input and parameter: the gradient of the sum of the floating outputs, or with
// `cotangents` of the sum of output * cotangent, each cotangent an input `cotangent.NAME` of the output's shape and type. The gradients
// are arrays of kind gradient: `differentiate` expands them.
Graph with_gradients(const Graph& graph, bool cotangents = false);

}  // namespace heed
