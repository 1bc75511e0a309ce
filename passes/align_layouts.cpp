// Lays reductions out as what follows them reads them.
#include "passes/align_layouts.h"

#include <algorithm>
#include <optional>

#include "ir/algebra.h"
#include "passes/opening.h"
#include "passes/rewrite.h"

namespace heed {

namespace {

// Position of the reader that each index is; none if they are not all of the reader's positions in another order.
std::optional<std::vector<int>> other_order(Expr read, ArrayRef reader) {
  if (read->operands.size() != reader->shape.size() || read->operands.size() < 2) return {};
  std::vector<int> order;
  for (Expr index : read->operands) {
    if (index->op != Op::axis || index->axes[0]->kind != AxisKind::position) return {};
    order.push_back(index->axes[0]->key);
  }
  std::vector<int> sorted = order;
  std::ranges::sort(sorted);
  for (std::size_t k = 0; k < sorted.size(); ++k)
    if (sorted[k] != static_cast<int>(k)) return {};
  return order == sorted ? std::nullopt : std::optional(order);
}

using Orders = std::unordered_map<ArrayRef, std::vector<int>>;

// For each reduction what its first reader of all its positions wants; none if that is what it has.
Orders wanted_orders(const std::vector<ArrayRef>& arrays, const std::unordered_set<ArrayRef>& fixed) {
  Orders orders;
  std::unordered_set<ArrayRef> settled = fixed;
  for (ArrayRef reader : arrays) {
    if (reader->kind != Array::Kind::definition || reader->body->has_reduction) continue;
    for (Expr node : nodes_of(reader->body)) {
      if (node->op != Op::read || node->array->kind != Array::Kind::definition || !node->array->body->has_reduction) continue;
      if (node->array->shape == reader->shape && std::ranges::all_of(node->operands, [&, k = 0](Expr index) mutable {
            return index == value(positions(reader)[static_cast<std::size_t>(k++)]);
          }))
        settled.insert(node->array);
      if (auto order = other_order(node, reader); order && settled.insert(node->array).second) orders[node->array] = *order;
    }
  }
  return orders;
}

}  // namespace

Graph align_layouts(const Graph& graph) {
  const std::vector<ArrayRef> arrays = all_arrays(outputs_of(graph));
  const Orders orders = wanted_orders(arrays, fixed_arrays(graph, arrays));
  return rewrite(graph, [&](ArrayRef definition, const ArrayTable& table) {
    Expr body = rewrite(definition->body, [&](Expr node, std::span<const Expr> operands) {
      if (node->op != Op::read) return with_operands(node, operands);
      auto known = table.find(node->array);
      ArrayRef array = known == table.end() ? node->array : known->second;
      auto found = orders.find(node->array);
      if (found == orders.end()) return read(array, operands);
      std::vector<Expr> indices(operands.size());
      for (std::size_t k = 0; k < operands.size(); ++k) indices[found->second[k]] = operands[k];
      return read_stored(array, indices);
    });
    auto found = orders.find(definition);
    if (found == orders.end())
      return body == definition->body ? definition : define(positions(definition), body, definition->dtype, definition->name);
    const std::vector<AxisRef> old = positions(definition);
    std::vector<AxisRef> axes(old.size());
    for (std::size_t k = 0; k < old.size(); ++k) axes[found->second[k]] = old[k];
    return define(axes, body, definition->dtype, definition->name);
  });
}

}  // namespace heed
