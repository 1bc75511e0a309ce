// Intervals of indices decide what may be read outside.
#include "passes/reads_outside.h"

#include <unordered_set>

#include "ir/algebra.h"

namespace heed {
namespace {

bool leaves(Expr read) {
  for (std::size_t k = 0; k < read->operands.size(); ++k) {
    if (!is_affine(read->operands[k])) continue;
    const Interval range = bounds(read->operands[k]);
    if (range.low < 0 || range.high >= read->array->shape[k]) return true;
  }
  return false;
}

}  // namespace

bool may_read_outside(Expr expression) {
  std::unordered_set<Expr> met{expression};
  std::vector<Expr> left{expression};
  while (!left.empty()) {
    Expr node = left.back();
    left.pop_back();
    if (node->op == Op::read && leaves(node)) return true;
    if (node->op == Op::select && (is_constant(node->operands[1]) || is_constant(node->operands[2]))) continue;
    for (Expr operand : node->operands)
      if (met.insert(operand).second) left.push_back(operand);
  }
  return false;
}

}  // namespace heed
