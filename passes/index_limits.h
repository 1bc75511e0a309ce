// What values of an integer input a program can take.
#pragma once
#include "ir/graph.h"

namespace heed {

// The declared range of the input, narrowed to the sizes of what it indexes directly; 0 … 9 where neither says anything, 0 … 1 of booleans.
Interval index_limits(const Graph& graph, ArrayRef input);

}  // namespace heed
