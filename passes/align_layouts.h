// Lays reductions out as what follows them reads them.
#pragma once
#include "ir/graph.h"

namespace heed {

// A reduction that a map reads at all of its own positions in another order gets its axes in that order, so that it can be stored with the
// map, as the map is.
Graph align_layouts(const Graph& graph);

}  // namespace heed
