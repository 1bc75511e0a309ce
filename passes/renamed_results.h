// Results that are another array under another shape.
#pragma once
#include <unordered_map>

#include "ir/graph.h"

namespace heed {

// For each output of the graph that has the elements of one computed array in the same order, and nothing else (heads merged into the
// width, axes of size 1): that array, which then lies in the output's buffer. None where that array is read by others, or is an output.
std::unordered_map<ArrayRef, ArrayRef> renamed_results(const Graph& graph);

}  // namespace heed
