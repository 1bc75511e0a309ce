// The parts of `schedule`, and the estimates it goes by.
#pragma once
#include <vector>

#include "codegen/tile/nest.h"

namespace heed {

// --- cycles.cpp
// Nodes that the loops of a sweep compute, each once, operands first; addresses are left out.
std::vector<Expr> computed(const Sweep& sweep);
// Of one instruction sequence, for a vector or for one value; `lane` lies along the lanes (null: reads are contiguous).
double node_cycles(Expr x, bool vector, AxisRef lane, int lanes);
// Of one core, with the lanes as they are.
double sweep_cycles(const Nest& nest, const Sweep& sweep, VectorShape shape);
double cycles_of(const Nest& nest, VectorShape shape);
// Bytes of the arrays it reads and writes, each once.
double traffic_of(const Nest& nest);

// --- strips.cpp
// Dear values that a later sweep over the same axes needs again are kept in strips.
void keep_strips(Nest& nest, VectorShape shape);

}  // namespace heed
