// Stores what a matrix product would compute again for each block.
#include "passes/stage_operands.h"

#include <algorithm>

#include "ir/algebra.h"
#include "passes/kind.h"
#include "passes/reads_outside.h"
#include "passes/rewrite.h"
#include "passes/source_order.h"

namespace heed {

namespace {

// Arithmetic on floating values, not only reads, guards and casts.
bool computes(Expr operand) {
  return std::ranges::any_of(nodes_of(operand), [](Expr node) {
    if (node->op == Op::at_least || node->op == Op::greater || node->op == Op::equal) return true;
    return is_floating(node->dtype) && (node->op == Op::linear || node->op == Op::product || node->op == Op::function);
  });
}

bool is_worth_an_array(Expr operand) {
  if (!computes(operand) || operand->has_reduction || may_read_outside(operand)) return false;
  std::int64_t source = 0;
  for (Expr node : nodes_of(operand))
    if (node->op == Op::read) source = std::max(source, element_count(node->array));
  return span_of(operand->free) <= 2 * source;
}

Expr staged(Expr operand, const std::string& name) {
  if (!is_worth_an_array(operand)) return operand;
  std::vector<AxisRef> axes = in_source_order(operand);
  std::vector<Expr> at;
  for (AxisRef axis : axes) at.push_back(value(axis));
  return read_stored(define(axes, operand, operand->dtype, name), at);
}

}  // namespace

Graph stage_operands(const Graph& graph) {
  return rewrite(graph, [](ArrayRef definition, const ArrayTable& table) {
    ArrayRef array = redefine(definition, table);
    if (array->kind != Array::Kind::definition || kind_of(array) != Kind::product) return array;
    Expr old_sum = root_reduction(array);
    if (!old_sum) return array;
    ProductForm form = *product_form(old_sum);
    Expr a = staged(form.a, array->name), b = staged(form.b, array->name);
    if (a == form.a && b == form.b) return array;
    Expr new_sum = sum(old_sum->axes, multiply(a, b));
    Expr body = rewrite(
        array->body, [&](Expr node, std::span<const Expr> operands) { return node == old_sum ? new_sum : with_operands(node, operands); });
    return define(positions(array), body, array->dtype, array->name);
  });
}

}  // namespace heed
