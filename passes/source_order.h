// In which order a new array should have its axes.
#pragma once
#include "ir/graph.h"

namespace heed {

// The free axes of an expression in the order in which its largest source is read, then those that it lacks, as they come: made from that
// source, an array lies in memory as it does.
std::vector<AxisRef> in_source_order(Expr x);

}  // namespace heed
