// Follows the indices of the largest array that is read.
#include "passes/source_order.h"

#include <algorithm>

namespace heed {

std::vector<AxisRef> in_source_order(Expr x) {
  std::vector<Expr> reads;
  for (Expr node : nodes_of(x))
    if (node->op == Op::read) reads.push_back(node);
  std::ranges::sort(reads,
                    [](Expr a, Expr b) { return std::pair(-element_count(a->array), a->id) < std::pair(-element_count(b->array), b->id); });
  std::vector<AxisRef> axes;
  auto add = [&](AxisRef axis) {
    if (std::ranges::find(axes, axis) == axes.end() && std::ranges::find(x->free, axis) != x->free.end()) axes.push_back(axis);
  };
  for (Expr read : reads)
    for (Expr index : read->operands)
      for (AxisRef axis : index->free) add(axis);
  for (AxisRef axis : x->free) add(axis);
  return axes;
}

}  // namespace heed
