// Rewrites graphs from their leaves on: what every pass that changes bodies is written with.
#pragma once
#include <functional>
#include <span>
#include <unordered_map>
#include <vector>

#include "ir/algebra.h"
#include "ir/graph.h"

namespace heed {

using ArrayTable = std::unordered_map<ArrayRef, ArrayRef>;
// Called for each definition, after all that it reads; gives what stands for it. The table has what stands for each array that was met.
using RewriteDefinition = std::function<ArrayRef(ArrayRef definition, const ArrayTable& table)>;
// A definition whose reads go to what the table has for them.
ArrayRef redefine(ArrayRef definition, const ArrayTable& table);
using ScanTable = std::unordered_map<const Scan*, std::vector<ArrayRef>>;
// Arrays, and all results of scans, that are replaced by what is made of others.
struct Redirect {
  ArrayTable arrays;
  ScanTable scans;
};
// Remakes a graph, bodies of scans included.
Graph rewrite(const Graph& graph, const RewriteDefinition& definition, const Redirect& redirect = {});
// The same for some arrays.
std::vector<ArrayRef> rewrite(const std::vector<ArrayRef>& arrays, const RewriteDefinition& definition, const Redirect& redirect = {});

// Every array of a graph, those in bodies of scans included, each once; what is read comes first.
std::vector<ArrayRef> all_arrays(const std::vector<ArrayRef>& outputs);
std::vector<ArrayRef> outputs_of(const Graph& graph);

}  // namespace heed
