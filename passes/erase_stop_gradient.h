// What only the gradient saw leaves the graph after the last differentiation.
#pragma once
#include "ir/graph.h"

namespace heed {

// stop_gradient(x) becomes x and straight_through(hard, soft) becomes hard.
Graph erase_stop_gradient(const Graph& graph);

}  // namespace heed
