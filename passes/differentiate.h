// Replaces gradients by reverse mode, before any fusion.
#pragma once
#include "ir/graph.h"

namespace heed {

// Every array of kind gradient becomes definitions and scans; gradients of gradients from the inside out.
Graph differentiate(const Graph& graph);

}  // namespace heed
