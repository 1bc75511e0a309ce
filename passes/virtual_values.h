// Which values need never be stored, by what they are made from and what is made of them.
#pragma once
#include <unordered_set>
#include <vector>

#include "ir/graph.h"
#include "passes/work.h"

namespace heed {

// Of arrays in order: contractions and crossings at least twice as large as the largest stored value they are made from (where memory is
// short, a quarter larger), and what is elementwise of those, as long as something makes them small again. `kept` are stored in any case.
std::unordered_set<ArrayRef> virtual_values(const std::vector<ArrayRef>& arrays, const std::unordered_set<ArrayRef>& kept,
                                            const Machine& machine = {});

}  // namespace heed
