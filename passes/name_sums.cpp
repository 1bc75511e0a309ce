// Reductions inside bodies become arrays.
#include "passes/name_sums.h"

#include <algorithm>
#include <tuple>
#include <unordered_set>

#include "ir/algebra.h"
#include "ir/guard.h"
#include "passes/reads_outside.h"
#include "passes/rewrite.h"

namespace heed {
namespace {

// Positions first, then bound axes from the outside in: the order in which the array around it is laid out.
std::vector<AxisRef> by_place(Expr x) {
  std::vector<AxisRef> axes = x->free;
  std::ranges::sort(axes, {}, [](AxisRef axis) { return std::tuple(axis->kind, axis->key); });
  return axes;
}

// Reductions that have a name. The first that is met decides the layout.
class Names {
 public:
  Expr operator()(Expr reduction) {
    const std::vector<AxisRef> axes = axes_by_use(reduction, reduction->free);
    ArrayRef key = define(axes, reduction, reduction->dtype);
    auto [found, fresh] = named_.try_emplace(key);
    Named& named = found->second;
    if (fresh) {
      const std::vector<AxisRef> layout = by_place(reduction);
      for (AxisRef axis : layout) named.order.push_back(static_cast<std::size_t>(std::ranges::find(axes, axis) - axes.begin()));
      named.array = define(layout, reduction, reduction->dtype);
    }
    std::vector<Expr> at;
    for (std::size_t k : named.order) at.push_back(k == alone ? integer(*reduction->arena, 0) : value(axes[k]));
    return read_stored(named.array, at);
  }

  // An array that is a reduction has its name already.
  void adopt(ArrayRef array) {
    Expr reduction = array->body;
    if (reduction->op != Op::reduction || array->dtype != reduction->dtype) return;
    const std::vector<AxisRef> axes = axes_by_use(reduction, reduction->free);
    Named named{array};
    for (AxisRef place : positions(array)) {
      auto found = std::ranges::find(axes, place);
      if (found == axes.end() && place->size != 1) return;
      named.order.push_back(found == axes.end() ? alone : static_cast<std::size_t>(found - axes.begin()));
    }
    named_.try_emplace(define(axes, reduction, reduction->dtype), std::move(named));
  }

 private:
  struct Named {
    ArrayRef array = nullptr;
    std::vector<std::size_t> order{};  // of its dimensions, as indices into the axes by use
  };
  static constexpr std::size_t alone = std::size_t(-1);  // a dimension of one position
  std::unordered_map<ArrayRef, Named> named_;
};

// The reduction that a body is, a constant factor aside.
Expr whole_reduction(Expr body) {
  if (body->op == Op::linear && body->operands.size() == 1) {
    const bool is_scaled = body->real == 0 && body->integer == 0;
    if (is_scaled) body = body->operands[0];
  }
  return body->op == Op::reduction ? body : nullptr;
}

Expr with_named_reductions(Expr body, Names& names) {
  if (!body->has_reduction) return body;
  Expr whole = whole_reduction(body);
  const std::unordered_set<Expr> guarded = in_branches(body);
  return rewrite(body, [&](Expr node, std::span<const Expr> operands) {
    Expr made = with_operands(node, operands);
    if (node == whole || made->op != Op::reduction) return made;
    if (guarded.contains(node) ? may_leave(made) : may_read_outside(made)) return made;
    return names(made);
  });
}

}  // namespace

Graph name_sums(const Graph& graph) {
  Names names;
  return rewrite(graph, [&](ArrayRef definition, const ArrayTable& table) {
    Expr body = with_named_reductions(replace_arrays(definition->body, table), names);
    ArrayRef array = body == definition->body ? definition : define(positions(definition), body, definition->dtype, definition->name);
    if (array->kind == Array::Kind::definition) names.adopt(array);
    return array;
  });
}

}  // namespace heed
