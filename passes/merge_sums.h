// Sums a large sum over more axes at once instead of storing it.
#pragma once
#include "ir/graph.h"

namespace heed {

// sum[i, j](d[i, j] * x[i, j]), x[i, j] a large sum[b](y[b, i, j]) that nothing else reads, becomes one sum over b, i and j, where
// multiplying each y costs less than the memory traffic of x: the gradient of a slope that is shared by a batch of scores.
Graph merge_sums(const Graph& graph);

}  // namespace heed
