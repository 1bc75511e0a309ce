// What regions in blocks are gathered from: readers of virtual values, and what lies between them and is small work.
#pragma once
#include <set>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "ir/graph.h"

namespace heed {

struct ById {
  bool operator()(ArrayRef a, ArrayRef b) const { return a->id < b->id; }
};
using ArraysById = std::set<ArrayRef, ById>;

// Adds an array and the virtual values that it is made of.
void add_cone(ArrayRef array, const std::unordered_set<ArrayRef>& virtual_arrays, ArraysById& cone);
// The virtual values that an array is made of.
std::vector<ArrayRef> cone_of(ArrayRef array, const std::unordered_set<ArrayRef>& virtual_arrays);

class BlockCandidates {
 public:
  // All arrays of the graph, in order.
  explicit BlockCandidates(const std::vector<ArrayRef>& arrays);

  const std::vector<ArrayRef>& reads(ArrayRef array) const { return reads_.at(array); }
  const std::vector<ArrayRef>& readers(ArrayRef array) const;

  // For values that are virtual now; what follows tells of them.
  void find(const std::unordered_set<ArrayRef>& virtual_arrays);
  const std::vector<ArrayRef>& arrays() const { return candidates_; }
  bool reads_virtual(ArrayRef candidate) const { return readers_of_virtual_.contains(candidate); }
  const std::vector<ArrayRef>& cone(std::size_t candidate) const { return cones_[candidate]; }
  // Numbers of candidates: an array touches those that are made from it, that read it, or that it reads.
  const std::vector<std::size_t>& touched_by(ArrayRef array) const;

 private:
  const std::vector<ArrayRef>& arrays_;
  std::unordered_map<ArrayRef, std::vector<ArrayRef>> reads_, readers_;
  std::vector<ArrayRef> candidates_;
  std::unordered_set<ArrayRef> readers_of_virtual_;
  std::vector<std::vector<ArrayRef>> cones_;  // by candidate
  std::unordered_map<ArrayRef, std::vector<std::size_t>> touching_;
};

}  // namespace heed
