// Counts uses and evaluations, then opens from the first array to the last.
#include "passes/open_single_uses.h"

#include <algorithm>
#include <unordered_set>

#include "ir/algebra.h"
#include "passes/opening.h"
#include "passes/rewrite.h"

namespace heed {
namespace {

struct Uses {
  int reads = 0;
  double evaluations = 0;  // of the reads, all axes around them counted
};

// How often each node of a body is evaluated in a plain nest of loops.
std::unordered_map<Expr, double> evaluations(ArrayRef array) {
  const std::vector<Expr> nodes = nodes_of(array->body);
  std::unordered_map<Expr, double> times;
  times[array->body] = static_cast<double>(element_count(array));
  for (auto node = nodes.rbegin(); node != nodes.rend(); ++node) {
    double inside = times[*node];
    if ((*node)->op == Op::reduction)
      for (AxisRef axis : (*node)->axes) inside *= static_cast<double>(axis->size);
    for (Expr operand : (*node)->operands) times[operand] = std::max(times[operand], inside);
  }
  return times;
}

std::unordered_map<ArrayRef, Uses> count_uses(const std::vector<ArrayRef>& arrays) {
  std::unordered_map<ArrayRef, Uses> uses;
  for (ArrayRef array : arrays) {
    if (array->kind != Array::Kind::definition) continue;
    const std::unordered_map<Expr, double> times = evaluations(array);
    for (Expr node : nodes_of(array->body)) {
      if (node->op != Op::read) continue;
      uses[node->array].reads += 1;
      uses[node->array].evaluations += times.at(node);
    }
  }
  return uses;
}

enum class Body { elementwise, from_nothing, costly };

Body kind_of(ArrayRef array) {
  bool from_nothing = element_count(array) > 1;
  for (Expr node : nodes_of(array->body)) {
    if (node->op == Op::reduction) return Body::costly;
    if (node->op != Op::read) continue;
    if (!std::ranges::all_of(node->operands, is_affine)) return Body::costly;
    from_nothing = from_nothing && node->array->shape.empty();
  }
  return from_nothing ? Body::from_nothing : Body::elementwise;
}

}  // namespace

Graph open_single_uses(const Graph& graph) {
  const std::vector<ArrayRef> arrays = all_arrays(outputs_of(graph));
  const std::unordered_map<ArrayRef, Uses> uses = count_uses(arrays);
  const std::unordered_set<ArrayRef> fixed = fixed_arrays(graph, arrays);
  std::unordered_set<ArrayRef> open;  // As remade.
  return rewrite(graph, [&](ArrayRef definition, const ArrayTable& table) {
    Expr body = rewrite(definition->body, [&](Expr node, std::span<const Expr> operands) {
      if (node->op != Op::read) return with_operands(node, operands);
      auto known = table.find(node->array);
      ArrayRef array = known == table.end() ? node->array : known->second;
      return open.contains(array) ? opened(array, operands) : read(array, operands);
    });
    ArrayRef made = body == definition->body ? definition : define(positions(definition), body, definition->dtype, definition->name);
    if (made->kind != Array::Kind::definition || fixed.contains(definition)) return made;
    const Body kind = kind_of(made);
    auto used = uses.find(definition);
    const bool once =
        used != uses.end() && used->second.reads == 1 && used->second.evaluations <= static_cast<double>(element_count(definition));
    if (kind == Body::from_nothing || (kind == Body::elementwise && once)) open.insert(made);
    return made;
  });
}

}  // namespace heed
