// Undoes flattened positions.
#pragma once
#include "ir/graph.h"

namespace heed {

// An array whose body meets a position only through its quotient and remainder by n gets two positions instead, so that it has the axes of
// what it is made from and can be joined with it: [B * T] that reads at p // T and p % T becomes [B, T]. Results, matrix products, and
// what enters or leaves a scan keep their shapes.
Graph split_positions(const Graph& graph);

// The same for results: each renames an array with split positions (renamed_results.h).
Graph split_results(const Graph& graph);

}  // namespace heed
