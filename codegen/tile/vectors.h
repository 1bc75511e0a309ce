// An axis cut into vectors by the algebra itself: lanes * v + lane, so that what does not change within a vector is seen to.
#pragma once
#include "ir/algebra.h"

namespace heed {

struct VectorAxis {
  AxisRef axis;
  std::int64_t lanes, whole, rest;  // whole vectors, and lanes of the last one where it is not whole
  AxisRef vector, lane;             // of whole vectors
  AxisRef rest_lane;                // of the last one

  std::int64_t count() const { return whole + (rest > 0); }
};

VectorAxis cut_into_vectors(AxisRef axis, std::int64_t lanes);

// x where the axis is at a lane of a whole vector, and of the last one.
Expr in_whole_vector(const VectorAxis& vectors, Expr x);
Expr in_last_vector(const VectorAxis& vectors, Expr x);

}  // namespace heed
