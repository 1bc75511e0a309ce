// Large negative numbers that mask scores become minus infinity, so that what they mask need not be computed.
#pragma once
#include "ir/graph.h"

namespace heed {

// Under a maximum, and in exponents that it is subtracted from, where(c, s, -1e9) is where(c, s, -inf), and so is s + where(c, 0, -1e9), if
// every row surely has an element that is not masked. Scores themselves are taken to be far above a mask (of -1e6 and below); a sum with
// floating data, which may hold masks of its own, is left as it is.
Graph sharpen_masks(const Graph& graph);

}  // namespace heed
