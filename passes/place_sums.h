// Makes a reduction where its only reader moves it.
#pragma once
#include "ir/graph.h"

namespace heed {

// An array that only moves all of another, which nothing else reads and which reduces, is that reduction at its own positions: axes in
// another order, with or without axes of one element.
Graph place_sums(const Graph& graph);

}  // namespace heed
