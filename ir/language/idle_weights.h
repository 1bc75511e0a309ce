// Warns of attention without effect: weights that sum to 1 along an axis and are used in no way but summed over that axis.
#pragma once
#include "ir/graph.h"
#include "ir/language/module.h"

namespace heed {

void warn_of_idle_weights(const Graph& graph, const Module& module, Diagnostics& diagnostics);

}  // namespace heed
