// An axis cut into vectors by the algebra itself: lanes * v + lane, so that what does not change within a vector is seen to.
#pragma once
#include "ir/algebra.h"

namespace heed {

// The axis is cut into runs of equal length, each run into whole vectors and, if it does not divide, a last one that is not whole.
struct VectorAxis {
  AxisRef axis;
  std::int64_t lanes, run;          // elements; one run where the axis is not cut
  AxisRef run_index, vector, lane;  // axis = run * run_index + lanes * vector + lane
  AxisRef rest_lane;                // of a run's last vector

  std::int64_t whole() const { return run / lanes; }  // vectors of a run
  std::int64_t rest() const { return run % lanes; }
  bool has_runs() const { return run < axis->size; }
};

// `run` divides the size of the axis; 0: one run.
VectorAxis cut_into_vectors(AxisRef axis, std::int64_t lanes, std::int64_t run = 0);

// x where the axis is at a lane of a whole vector, and of a run's last one.
Expr in_whole_vector(const VectorAxis& vectors, Expr x);
Expr in_last_vector(const VectorAxis& vectors, Expr x);

}  // namespace heed
