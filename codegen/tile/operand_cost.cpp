// Estimates what operands cost when they are evaluated along an axis, or read where they lie.
#include "codegen/tile/operand_cost.h"

#include <algorithm>
#include <numeric>

#include "codegen/tile/vectors.h"
#include "ir/algebra.h"
#include "ir/integer.h"

namespace heed {
VectorCost vector_cost(Expr x, AxisRef axis, int lanes, std::int64_t run) {
  if (axis->size == 1) return {4.0 * lanes, 0, false};
  double waste = static_cast<double>(round_up(run > 0 ? run : axis->size, lanes)) / static_cast<double>(run > 0 ? run : axis->size);
  if (x->op == Op::read && std::ranges::all_of(x->operands, is_affine))  // the most common case, without cutting the axis
    if (auto stride = lane_stride(affine_address(x), axis))
      return {(*stride == 0 || *stride == 1 ? 2.0 : 1 + 1.5 * lanes) * waste, run, false};
  VectorAxis vectors = cut_into_vectors(axis, lanes, run);
  VectorCost out{1, run, false};
  bool has_whole = vectors.whole() > 0;
  AxisRef lane = has_whole ? vectors.lane : vectors.rest_lane;
  for (Expr node : nodes_of(has_whole ? in_whole_vector(vectors, x) : in_last_vector(vectors, x))) {
    bool varies = std::find(node->free.begin(), node->free.end(), lane) != node->free.end();
    if (node->op == Op::function)
      out.cycles += 12;
    else if (node->op == Op::select && varies)
      out.cycles += 2;
    else if (node->op == Op::product || node->op == Op::cast || (node->op == Op::linear && is_floating(node->dtype)))
      out.cycles += 1;
    if (node->op != Op::read || !varies) continue;
    std::optional<std::int64_t> moves = lane_stride(affine_address(node), lane);
    for (Expr index : node->operands)  // by data: not in the address
      if (!is_affine(index) && std::find(index->free.begin(), index->free.end(), lane) != index->free.end()) moves = {};
    out.is_scattered |= !moves;
    out.cycles += moves == 1 ? 1.0 : 1.5 * lanes;
  }
  // Part of a vector costs as much as the whole.
  out.cycles *= waste;
  return out;
}

VectorCost best_vector_cost(Expr x, AxisRef axis, int lanes) {
  VectorCost best = vector_cost(x, axis, lanes, 0);
  if (!best.is_scattered) return best;
  std::vector<std::int64_t> lengths;
  for (Expr node : nodes_of(x))
    if ((node->op == Op::quotient || node->op == Op::remainder) && node->operands[0] == value(axis) && node->integer >= 4 &&
        node->integer <= 1024 && node->integer < axis->size && axis->size % node->integer == 0)
      lengths.push_back(node->integer);
  std::ranges::sort(lengths);
  lengths.erase(std::unique(lengths.begin(), lengths.end()), lengths.end());
  for (std::int64_t length : lengths) {
    VectorCost cost = vector_cost(x, axis, lanes, length);
    if (cost.cycles < best.cycles) best = cost;
  }
  return best;
}

std::int64_t lines_held(std::int64_t cache_bytes, std::int64_t sets, std::int64_t apart, std::int64_t lines) {
  return std::min(sets, sets / std::gcd(sets, apart) * lines) * (cache_bytes / (sets * line_bytes));
}

// Measured with tiles of 6 x 64 on a Sapphire Rapids class processor: near strides cost about 5 % of the speed, strides at which the
// steps meet in few sets of the second cache half of it or more.
double in_place_penalty(std::int64_t span_bytes, std::int64_t stride_bytes, std::int64_t steps, const Target& target) {
  constexpr std::int64_t ways = 16;
  std::int64_t lines = ceil_divide(span_bytes, line_bytes);
  if (stride_bytes <= lines * line_bytes) return 0;
  std::int64_t sets = std::max<std::int64_t>(1, target.level2_bytes / line_bytes / ways);
  // A quarter of them: beside the other operand and what else is near.
  bool stays = steps * lines <= lines_held(target.level2_bytes, sets, ceil_divide(stride_bytes, line_bytes), lines) / 4;
  return stays ? 0.05 : 1.2;
}

}  // namespace heed
