// Drops the functions that differ from their argument only in the gradient.
#include "passes/erase_stop_gradient.h"

#include "ir/algebra.h"
#include "ir/function.h"
#include "passes/rewrite.h"

namespace heed {

Graph erase_stop_gradient(const Graph& graph) {
  return rewrite(graph, [](ArrayRef definition, const ArrayTable& table) {
    Expr body = rewrite(replace_arrays(definition->body, table), [](Expr node, std::span<const Expr> operands) {
      const bool only_for_gradient =
          node->op == Op::function && (node->function == &functions::stop_gradient || node->function == &functions::straight_through);
      return only_for_gradient ? operands[0] : with_operands(node, operands);
    });
    return body == definition->body ? definition : define(positions(definition), body, definition->dtype, definition->name);
  });
}

}  // namespace heed
