// Gives reductions names, so that opening or reading a value never makes a sum again.
#pragma once
#include "ir/graph.h"

namespace heed {

// A reduction that is not the whole of its array (a constant factor aside) becomes an array over its free axes. Equal ones are one array,
// whatever their axes were called. One that may only be made under a condition around it stays where it is.
Graph name_sums(const Graph& graph);

}  // namespace heed
