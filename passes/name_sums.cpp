// Reductions inside bodies become arrays.
#include "passes/name_sums.h"

#include <algorithm>
#include <limits>
#include <tuple>

#include "ir/algebra.h"
#include "passes/reads_outside.h"
#include "passes/rewrite.h"

namespace heed {
namespace {

// Free axes in an order that depends on what reads at them, not on their names: a value and its transpose are one array.
std::vector<AxisRef> by_use(Expr x) {
  struct Use {
    AxisRef axis;
    std::vector<std::pair<std::uint32_t, std::size_t>> places{};  // array and dimension
    std::size_t first = std::numeric_limits<std::size_t>::max();
  };
  std::vector<Use> uses;
  for (AxisRef axis : x->free) uses.push_back({axis});
  std::size_t step = 0;
  for (Expr node : nodes_of(x)) {
    ++step;
    for (Use& use : uses) {
      if (node->op == Op::axis && node->axes[0] == use.axis) use.first = std::min(use.first, step);
      if (node->op != Op::read) continue;
      for (std::size_t k = 0; k < node->operands.size(); ++k)
        if (std::ranges::find(node->operands[k]->free, use.axis) != node->operands[k]->free.end())
          use.places.emplace_back(node->array->id, k);
    }
  }
  for (Use& use : uses) std::ranges::sort(use.places);
  std::ranges::sort(uses, {}, [](const Use& use) { return std::tuple(use.places, use.axis->size, use.first); });
  std::vector<AxisRef> order;
  for (const Use& use : uses) order.push_back(use.axis);
  return order;
}

Expr named(Expr reduction) {
  const std::vector<AxisRef> axes = by_use(reduction);
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
