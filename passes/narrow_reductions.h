// Reductions without the positions they do not depend on.
#pragma once
#include "ir/graph.h"

namespace heed {

// A reduction that is the same all along some of its positions is made once for them: those become one element, and who reads it reads
// that. One that stays an array as it is becomes a copy of the narrow one.
Graph narrow_reductions(const Graph& graph);

}  // namespace heed
