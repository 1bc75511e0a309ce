// Drops positions from arrays that reduce.
#include "passes/narrow_reductions.h"

#include <algorithm>

#include "ir/algebra.h"
#include "passes/opening.h"
#include "passes/rewrite.h"

namespace heed {

namespace {

bool depends_on(Expr body, AxisRef axis) { return std::ranges::find(body->free, axis) != body->free.end(); }

// The array with one element on each position that its body does not depend on; null if there is none such.
ArrayRef narrowed(ArrayRef array) {
  if (array->kind != Array::Kind::definition || !array->body->has_reduction) return nullptr;
  std::vector<AxisRef> axes = positions(array);
  bool is_narrower = false;
  for (AxisRef& axis : axes) {
    if (axis->size == 1 || depends_on(array->body, axis)) continue;
    axis = fresh_axis(*array->arena, 1);
    is_narrower = true;
  }
  return is_narrower ? define(axes, array->body, array->dtype, array->name) : nullptr;
}

// A read of the narrow array where the wide one was read.
Expr read_narrow(ArrayRef narrow, std::span<const Expr> indices) {
  std::vector<Expr> own(indices.begin(), indices.end());
  for (std::size_t k = 0; k < own.size(); ++k)
    if (narrow->shape[k] == 1) own[k] = integer(*narrow->arena, 0);
  return read_stored(narrow, own);
}

}  // namespace

Graph narrow_reductions(const Graph& graph) {
  const std::unordered_set<ArrayRef> fixed = fixed_arrays(graph, all_arrays(outputs_of(graph)));
  std::unordered_map<ArrayRef, ArrayRef> narrow;  // by the array as it was
  return rewrite(graph, [&](ArrayRef definition, const ArrayTable& table) {
    Expr body = rewrite(definition->body, [&](Expr node, std::span<const Expr> operands) {
      if (node->op != Op::read) return with_operands(node, operands);
      if (auto found = narrow.find(node->array); found != narrow.end()) return read_narrow(found->second, operands);
      auto known = table.find(node->array);
      return read(known == table.end() ? node->array : known->second, operands);
    });
    ArrayRef made = body == definition->body ? definition : define(positions(definition), body, definition->dtype, definition->name);
    ArrayRef smaller = narrowed(made);
    if (!smaller) return made;
    if (!fixed.contains(definition)) {
      narrow.emplace(definition, smaller);
      return smaller;
    }
    std::vector<Expr> indices;
    for (AxisRef axis : positions(made)) indices.push_back(value(axis));
    return define(positions(made), read_narrow(smaller, indices), made->dtype, made->name);
  });
}

}  // namespace heed
