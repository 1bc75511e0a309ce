// Whether an expression reads outside of an array unless a condition around it holds.
#pragma once
#include "ir/graph.h"

namespace heed {

// Guards inside the expression and what is known of the intervals of the indices decide (ir/guard.h).
// Data-dependent indices are checked where they are read and count as inside.
bool may_read_outside(Expr expression);

}  // namespace heed
