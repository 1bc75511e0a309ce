// Looks for reads whose index is a value of the input.
#include "passes/index_limits.h"

#include <algorithm>

#include "ir/algebra.h"
#include "passes/rewrite.h"

namespace heed {

Interval index_limits(const Graph& graph, ArrayRef input) {
  if (input->dtype == DType::boolean) return {0, 1};
  if (input->range) return *input->range;
  std::int64_t high = -1;
  auto limit = [&](std::int64_t size) { high = high < 0 ? size - 1 : std::min(high, size - 1); };
  for (ArrayRef array : all_arrays(outputs_of(graph))) {
    if (!array->body) continue;
    for (Expr node : nodes_of(array->body)) {
      if (node->op == Op::read)
        for (std::size_t k = 0; k < node->operands.size(); ++k)
          if (node->operands[k]->op == Op::read && node->operands[k]->array == input) limit(node->array->shape[k]);
      if (node->op != Op::is_zero) continue;  // value == axis: a one-hot
      LinearForm form = linear_form(node->operands[0]);
      if (form.terms.size() != 2 || form.constant != 0) continue;
      for (std::size_t k = 0; k < 2; ++k)
        if (form.terms[k].x->op == Op::read && form.terms[k].x->array == input && form.terms[1 - k].x->op == Op::axis)
          limit(form.terms[1 - k].x->axes[0]->size);
    }
  }
  return {0, high < 0 ? 9 : high};
}

}  // namespace heed
