// Opens reductions in arrays that do nothing but move them.
#include "passes/place_sums.h"

#include <algorithm>

#include "ir/algebra.h"
#include "passes/opening.h"
#include "passes/rewrite.h"

namespace heed {

namespace {

// The whole array, each axis once, and no other position.
bool moves_all(ArrayRef array) {
  Expr body = array->body;
  if (body->op != Op::read) return false;
  std::vector<AxisRef> used;
  for (std::size_t k = 0; k < body->operands.size(); ++k) {
    std::int64_t size = body->array->shape[k];
    Expr index = body->operands[k];
    if (size == 1 && is_constant(index)) continue;
    if (index->op != Op::axis || index->axes[0]->size != size || std::ranges::find(used, index->axes[0]) != used.end()) return false;
    used.push_back(index->axes[0]);
  }
  return used.size() == body->free.size() && element_count(array) == element_count(body->array);
}

}  // namespace

Graph place_sums(const Graph& graph) {
  const std::vector<ArrayRef> arrays = all_arrays(outputs_of(graph));
  const std::unordered_set<ArrayRef> fixed = fixed_arrays(graph, arrays);
  const std::unordered_map<ArrayRef, int> readers = reader_counts(arrays);
  return rewrite(graph, [&](ArrayRef definition, const ArrayTable& table) {
    ArrayRef made = redefine(definition, table);
    if (definition->body->op != Op::read || made->kind != Array::Kind::definition || !moves_all(made)) return made;
    ArrayRef source = definition->body->array, moved = made->body->array;
    if (readers.at(source) != 1 || fixed.contains(source) || moved->kind != Array::Kind::definition || !moved->body->has_reduction ||
        moved->dtype != made->dtype)
      return made;
    return define(positions(made), opened(moved, made->body->operands), made->dtype, made->name);
  });
}

}  // namespace heed
