// Makes sums over several axes of what blocks do not store in two steps.
#pragma once
#include <unordered_set>

#include "ir/graph.h"

namespace heed {

// A sum over two axes or more of 16-bit values of blocks becomes a sum over the longest one, which is stored, and one over the others of
// that, where the first is half as large as those values at most. Blocks whose values lie in registers add to nothing in memory: a gradient
// of keys that heads share, or of a slope, is made for each head, or each row, and then added up in order. `values` are never stored.
Graph sum_in_parts(const Graph& graph, const std::unordered_set<ArrayRef>& values);

}  // namespace heed
