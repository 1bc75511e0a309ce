// Sums over all that lies before, by chunks: causal attention without a softmax in time linear in the length.
#pragma once
#include "ir/graph.h"

namespace heed {

// sum[n](where(l >= n, product, 0)), each factor of the product (what it reads of sums of products included) of l alone or of n alone: the
// axis is cut into chunks. Sums over whole chunks are made once and added up over those before; only within its own chunk does a row meet
// the others one by one. Done where that costs half or less at the graph's sizes; the sizes of chunks follow from them.
Graph chunk_sums(const Graph& graph);

}  // namespace heed
