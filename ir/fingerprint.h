// A graph as bytes that are equal for graphs of equal content only: what compiled programs are looked up by.
#pragma once
#include <string>

#include "ir/graph.h"

namespace heed {

// Everything that passes and code generation read: arrays and nodes by their place in the graph, not in the arena, names, and where each
// came from. Made for comparing, not for reading back.
std::string fingerprint(const Graph& graph);

}  // namespace heed
