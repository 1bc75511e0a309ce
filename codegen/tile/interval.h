// Intervals that integer expressions cannot leave, whatever data they read: what decides on narrow arithmetic and unguarded loads.
// Unlike bounds() of the algebra it does not trust the declared range of an input.
#pragma once
#include <unordered_map>

#include "ir/graph.h"

namespace heed {

class Intervals {
 public:
  Interval of(Expr integer);
  void assume(AxisRef axis, std::int64_t high) { highs_[axis] = high; }  // of an axis that runs past its size

 private:
  Interval compute(Expr x);
  std::unordered_map<Expr, Interval> known_;
  std::unordered_map<AxisRef, std::int64_t> highs_;
};

bool fits_32_bits(Interval interval);

}  // namespace heed
