// A graph as bytes that are equal for graphs of equal content only: what compiled programs are looked up by.
#pragma once
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "ir/plan.h"

namespace heed {

// Everything that passes and code generation read: arrays and nodes by their place in the graph, not in the arena, names, and where each
// came from. Made for comparing, not for reading back.
std::string fingerprint(const Graph& graph);

// Some arrays' bodies alone, without names and places: equal bytes mean that one set of arrays does with the arrays that it reads what the
// other does with those at the same numbers. Arrays that are read count by type, kind, range, and by what they are parts of.
struct Fragment {
  std::string bytes;
  std::vector<ArrayRef> arrays;  // by number: `members`, then what they read
};
Fragment fingerprint(std::span<const ArrayRef> members, const std::unordered_map<ArrayRef, Slice>& slices);

}  // namespace heed
