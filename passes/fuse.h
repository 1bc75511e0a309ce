// Cuts a graph into regions: which values are stored, and which kernel makes each of them.
#pragma once
#include "ir/plan.h"
#include "passes/work.h"

namespace heed {

// The graph is as `stage_operands` leaves it: differentiated, each body one reduction or none, cheap values opened where they are read.
// Every definition comes to be in exactly one region: as an output if another region, a scan or the caller reads it, else as a local.
// - A region with a matrix product begins with it; maps at the product's positions follow.
// - Other regions have outer axes, which all arrays share, and each of their reductions takes together whole rows: all inner axes that its
//   body has, none of its positions being inner (ir/region_frame.h).
// - Scatters are alone.
// Steps are in an order that can be run, chosen so that little memory is live, with updates after the last read of what they replace.
// Buffers are not placed: `plan_memory` does that. Throws std::logic_error if gradients are left.
Plan fuse(const Graph& graph, const Machine& machine = {});

}  // namespace heed
