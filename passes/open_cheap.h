// Opens elementwise values that cost less to make again than to store.
#pragma once
#include "ir/graph.h"

namespace heed {

// What several arrays read is opened in each of them if the sources that they then read in its place, and the arithmetic, cost less than
// writing and reading it. Results, what enters or leaves a scan, what a matrix product reads, reductions and data-dependent reads stay
// arrays.
Graph open_cheap(const Graph& graph);

}  // namespace heed
