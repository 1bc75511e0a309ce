// Opening arrays where they are read: what may be opened, and how.
#pragma once
#include <span>
#include <unordered_set>

#include "ir/graph.h"
#include "passes/rewrite.h"

namespace heed {

// Results, and what enters or leaves a scan or a gradient: arrays that stay arrays.
std::unordered_set<ArrayRef> fixed_arrays(const Graph& graph, const std::vector<ArrayRef>& arrays);

// How many of the arrays read each.
std::unordered_map<ArrayRef, int> reader_counts(const std::vector<ArrayRef>& arrays);

// The definition's value at the indices, rounded as it was when it was stored.
Expr opened(ArrayRef definition, std::span<const Expr> indices);

// A definition whose reads go to what the table has for them; those of arrays in `open` are opened.
ArrayRef with_open_reads(ArrayRef definition, const ArrayTable& table, const std::unordered_set<ArrayRef>& open);

}  // namespace heed
