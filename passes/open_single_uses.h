// Opens elementwise arrays where they are read, where nothing is made more often for it.
#pragma once
#include "ir/graph.h"

namespace heed {

// An array is opened if one read alone uses it and it is made no more often there than as an array, or if that read is a factor of a sum
// that all its factors but one plain read leave: sum[j](e[i, j] / l[i] * v[j]) becomes sum[j](e[i, j] * v[j]) / l[i]. One that is made
// from nothing but scalars (masks, positions, random numbers) is opened at every use. Arrays with reductions or data-dependent reads,
// results, and what enters or leaves a scan stay arrays.
Graph open_single_uses(const Graph& graph);

}  // namespace heed
