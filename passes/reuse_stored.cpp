// Reads a value that is an array instead of making it again.
#include "passes/reuse_stored.h"

#include <algorithm>
#include <map>

#include "ir/algebra.h"
#include "passes/rewrite.h"

namespace heed {

namespace {

using Bodies = std::map<std::pair<std::uint32_t, std::vector<std::int64_t>>, ArrayRef>;  // by id of the body and shape

// The array whose body x is, read at x's axes; null if there is none.
Expr stored_value(Expr x, const Bodies& bodies) {
  std::vector<AxisRef> axes(x->free.begin(), x->free.end());
  std::ranges::sort(axes, {}, [](AxisRef axis) { return std::pair(axis->kind, axis->key); });
  Substitution table;
  std::vector<Expr> indices;
  std::vector<std::int64_t> shape;
  for (std::size_t k = 0; k < axes.size(); ++k) {
    table.emplace_back(axes[k], value(axis_of(*x->arena, AxisKind::position, static_cast<std::int32_t>(k), axes[k]->size)));
    indices.push_back(value(axes[k]));
    shape.push_back(axes[k]->size);
  }
  auto found = bodies.find({substitute(x, table)->id, shape});
  return found == bodies.end() ? nullptr : read_stored(found->second, indices);
}

}  // namespace

Graph reuse_stored(const Graph& graph) {
  Bodies bodies;  // As remade; what a body reads comes before it, and so does an array of a part of it.
  return rewrite(graph, [&](ArrayRef definition, const ArrayTable& table) {
    Expr whole = replace_arrays(definition->body, table);
    Expr body = rewrite(whole, [&](Expr node, std::span<const Expr> operands) {
      Expr made = with_operands(node, operands);
      if (node == whole || made->op != Op::function || !is_floating(made->dtype) || made->free.empty()) return made;
      Expr stored = stored_value(made, bodies);
      return stored ? stored : made;
    });
    ArrayRef array = body == definition->body ? definition : define(positions(definition), body, definition->dtype, definition->name);
    if (array->kind == Array::Kind::definition && compute_type(array->dtype) == array->dtype)
      bodies.try_emplace({array->body->id, array->shape}, array);
    return array;
  });
}

}  // namespace heed
