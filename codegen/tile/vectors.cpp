// Substitutes an axis by vector and lane.
#include "codegen/tile/vectors.h"

#include <algorithm>

namespace heed {

VectorAxis cut_into_vectors(AxisRef axis, std::int64_t lanes, std::int64_t run) {
  Arena& arena = *axis->arena;
  if (run == 0) run = axis->size;
  VectorAxis out{axis, lanes, run, nullptr, nullptr, nullptr, nullptr};
  out.run_index = fresh_axis(arena, run > 0 ? axis->size / run : 1);
  out.vector = fresh_axis(arena, out.whole());
  out.lane = fresh_axis(arena, lanes);
  out.rest_lane = fresh_axis(arena, std::max<std::int64_t>(out.rest(), 2));  // an axis of size 1 would vanish
  return out;
}

Expr in_whole_vector(const VectorAxis& vectors, Expr x) {
  const IntegerTerm terms[] = {{vectors.run, value(vectors.run_index)}, {vectors.lanes, value(vectors.vector)}, {1, value(vectors.lane)}};
  return substitute(x, {{vectors.axis, linear(terms, 0, *x->arena)}});
}

Expr in_last_vector(const VectorAxis& vectors, Expr x) {
  const IntegerTerm terms[] = {{vectors.run, value(vectors.run_index)}, {1, value(vectors.rest_lane)}};
  return substitute(x, {{vectors.axis, linear(terms, vectors.lanes * vectors.whole(), *x->arena)}});
}

}  // namespace heed
