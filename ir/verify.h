// What must hold of every graph between passes.
#pragma once
#include <string_view>

#include "ir/graph.h"

namespace heed {

// Checks bodies (closed, of the array's type, operands in order, each node of the right types and the fixed point of its constructor),
// reads (of known arrays, one index a dimension, not outside of the array where no selection guards them), scans, gradients, names,
// and what updates what. Throws std::logic_error that names the pass, the array and the expression.
void verify(const Graph& graph, std::string_view pass);

}  // namespace heed
