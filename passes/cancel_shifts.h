// Values that cancel: the row maximum of a softmax has no gradient, whoever wrote it.
#pragma once
#include <unordered_set>
#include <vector>

#include "ir/graph.h"

namespace heed {

// Arrays r of which no output depends: each value between is of a degree n in exp(-r) or is something less k r, and every output is of
// degree 0. They are constants to the gradient. `order`: the arrays that the outputs depend on, what is read first.
std::unordered_set<ArrayRef> cancelling_shifts(const std::vector<ArrayRef>& order, const std::vector<ArrayRef>& outputs);

}  // namespace heed
