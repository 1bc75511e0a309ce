// Which positions of a region's arrays are the same loop.
#pragma once
#include <unordered_map>
#include <vector>

#include "ir/algebra.h"

namespace heed {

// Positions are joined by reads at plain positions. One that is read at anything else is inner: it is swept through.
class RowClasses {
 public:
  RowClasses(const std::vector<ArrayRef>& members, const std::vector<ArrayRef>& stored);

  std::size_t of(ArrayRef member, std::size_t position) const { return root(first_.at(member) + position); }
  bool is_inner(std::size_t row_class) const { return inner_[row_class]; }
  bool knows(ArrayRef array) const { return first_.contains(array); }

 private:
  void join(Expr read, ArrayRef member);
  bool share(ArrayRef a, ArrayRef b) const;
  std::size_t root(std::size_t x) const;
  void unite(std::size_t a, std::size_t b);

  std::unordered_map<ArrayRef, std::size_t> first_;  // number of an array's first position
  std::vector<std::size_t> parent_;
  std::vector<bool> inner_;
};

}  // namespace heed
