// Reductions inside bodies become arrays.
#include "passes/name_sums.h"

#include <algorithm>

#include "ir/algebra.h"
#include "passes/reads_outside.h"
#include "passes/rewrite.h"

namespace heed {
namespace {

Expr named(Expr reduction) {
  // So named a value and its transpose are one array.
  const std::vector<AxisRef> axes = axes_by_use(reduction, reduction->free);
  std::vector<Expr> at;
  for (AxisRef axis : axes) at.push_back(value(axis));
  return read_stored(define(axes, reduction, reduction->dtype), at);
}

// The reduction that a body is, a constant factor aside.
Expr whole_reduction(Expr body) {
  if (body->op == Op::linear && body->operands.size() == 1) {
    const bool is_scaled = body->real == 0 && body->integer == 0;
    if (is_scaled) body = body->operands[0];
  }
  return body->op == Op::reduction ? body : nullptr;
}

Expr with_named_reductions(Expr body) {
  if (!body->has_reduction) return body;
  Expr whole = whole_reduction(body);
  return rewrite(body, [&](Expr node, std::span<const Expr> operands) {
    Expr made = with_operands(node, operands);
    if (node == whole || made->op != Op::reduction || may_read_outside(made)) return made;
    return named(made);
  });
}

}  // namespace

Graph name_sums(const Graph& graph) {
  return rewrite(graph, [](ArrayRef definition, const ArrayTable& table) {
    Expr body = with_named_reductions(replace_arrays(definition->body, table));
    return body == definition->body ? definition : define(positions(definition), body, definition->dtype, definition->name);
  });
}

}  // namespace heed
