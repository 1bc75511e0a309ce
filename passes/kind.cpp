// What kind of kernel an array asks for.
#include "passes/kind.h"

#include <algorithm>

#include "ir/algebra.h"

namespace heed {

namespace {

bool reads_an_array(Expr index) {
  return std::ranges::any_of(nodes_of(index), [](Expr node) { return node->op == Op::read; });
}

// Some condition says that an index read from memory is a position.
bool is_scatter(Expr sum) {
  if (sum->reduction != Reduction::sum) return false;
  for (Expr factor : nodes_of(sum->operands[0])) {
    if (factor->op != Op::select || !is_constant(factor->operands[2], 0)) continue;
    for (Expr condition : conjuncts(factor->operands[0])) {
      if (condition->op != Op::is_zero || !reads_an_array(condition)) continue;
      bool of_position =
          std::ranges::any_of(condition->free, [&](AxisRef axis) { return std::ranges::find(sum->free, axis) != sum->free.end(); });
      bool of_summed =
          std::ranges::any_of(condition->free, [&](AxisRef axis) { return std::ranges::find(sum->axes, axis) != sum->axes.end(); });
      if (of_position && of_summed) return true;
    }
  }
  return false;
}

}  // namespace

Expr root_reduction(ArrayRef definition) {
  Expr body = definition->body;
  if (body->op == Op::reduction) return body;
  if (body->op == Op::linear && body->operands.size() == 1 && body->operands[0]->op == Op::reduction) return body->operands[0];
  if (body->op == Op::select && body->operands[1]->op == Op::reduction && is_constant(body->operands[2]) &&
      !body->operands[0]->has_reduction)
    return body->operands[1];
  return nullptr;
}

Kind kind_of(ArrayRef definition) {
  if (!definition->body->has_reduction) return Kind::map;
  Expr reduction = root_reduction(definition);
  if (reduction && is_scatter(reduction)) return Kind::scatter;
  return product_form_of(definition) ? Kind::product : Kind::reduction;
}

}  // namespace heed
