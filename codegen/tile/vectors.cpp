// Substitutes an axis by vector and lane.
#include "codegen/tile/vectors.h"

#include <algorithm>

namespace heed {

VectorAxis cut_into_vectors(AxisRef axis, std::int64_t lanes) {
  VectorAxis out{axis, lanes, axis->size / lanes, axis->size % lanes, nullptr, nullptr, nullptr};
  Arena& arena = *axis->arena;
  out.vector = fresh_axis(arena, out.whole);
  out.lane = fresh_axis(arena, lanes);
  out.rest_lane = fresh_axis(arena, std::max<std::int64_t>(out.rest, 2));  // an axis of size 1 would vanish
  return out;
}

Expr in_whole_vector(const VectorAxis& vectors, Expr x) {
  const IntegerTerm terms[] = {{vectors.lanes, value(vectors.vector)}, {1, value(vectors.lane)}};
  return substitute(x, {{vectors.axis, linear(terms, 0, *x->arena)}});
}

Expr in_last_vector(const VectorAxis& vectors, Expr x) {
  return substitute(x, {{vectors.axis, shift(value(vectors.rest_lane), vectors.lanes * vectors.whole)}});
}

}  // namespace heed
