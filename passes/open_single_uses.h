// Opens elementwise arrays where they are read, where nothing is made more often for it.
#pragma once
#include "ir/graph.h"

namespace heed {

// An array is opened if one read alone uses it and it is made no more often there than as an array; one that is made from nothing but
// scalars (masks, positions, random numbers) at every use. Arrays with reductions or data-dependent reads, results, and what enters or
// leaves a scan stay arrays.
Graph open_single_uses(const Graph& graph);

}  // namespace heed
