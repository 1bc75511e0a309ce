// Counts uses and evaluations, then opens from the first array to the last, until nothing more opens.
#include "passes/open_single_uses.h"

#include <algorithm>
#include <unordered_set>

#include "ir/algebra.h"
#include "passes/opening.h"

namespace heed {
namespace {

struct Uses {
  int reads = 0;
  double evaluations = 0;         // of the reads, all axes around them counted
  Expr summand = nullptr;         // the read, where it is a factor of the body of a sum and nothing else
  std::vector<AxisRef> summed{};  // the axes of that sum
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

// Reads that are a factor of a sum and have no other use in the body, with the sum.
std::unordered_map<Expr, Expr> summands(const std::vector<Expr>& nodes) {
  std::unordered_map<Expr, int> parents;
  for (Expr node : nodes)
    for (Expr operand : node->operands) ++parents[operand];
  std::unordered_map<Expr, Expr> sums;
  for (Expr node : nodes) {
    if (node->op != Op::reduction || node->reduction != Reduction::sum) continue;
    Expr body = node->operands[0];
    if (body->op == Op::read && parents.at(body) == 1) sums[body] = node;
    if (body->op != Op::product || parents.at(body) != 1) continue;
    for (std::size_t k = 0; k < body->operands.size(); ++k)
      if (body->operands[k]->op == Op::read && body->weights[k] == 1 && parents.at(body->operands[k]) == 1) sums[body->operands[k]] = node;
  }
  return sums;
}

std::unordered_map<ArrayRef, Uses> count_uses(const std::vector<ArrayRef>& arrays) {
  std::unordered_map<ArrayRef, Uses> uses;
  for (ArrayRef array : arrays) {
    if (array->kind != Array::Kind::definition) continue;
    const std::vector<Expr> nodes = nodes_of(array->body);
    const std::unordered_map<Expr, double> times = evaluations(array);
    const std::unordered_map<Expr, Expr> sums = summands(nodes);
    for (Expr node : nodes) {
      if (node->op != Op::read) continue;
      Uses& found = uses[node->array];
      found.reads += 1;
      found.evaluations += times.at(node);
      if (auto sum = sums.find(node); sum != sums.end()) {
        found.summand = node;
        found.summed = sum->second->axes;
      }
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

// Whether all factors but one plain read are free of the summed axes where the array is read.
bool factors_leave(ArrayRef array, const Uses& uses) {
  if (!uses.summand || array->body->op == Op::linear) {
    const bool is_scaled = uses.summand && array->body->operands.size() == 1 && array->body->real == 0;
    if (!is_scaled) return false;
  }
  Expr product = array->body->op == Op::linear ? array->body->operands[0] : array->body;
  if (product->op == Op::read) return true;  // A constant alone.
  if (product->op != Op::product) return false;
  std::vector<AxisRef> varying;  // positions at which the read has a summed axis
  const std::vector<AxisRef> places = positions(array);
  for (std::size_t k = 0; k < places.size(); ++k)
    if (std::ranges::find_first_of(uses.summand->operands[k]->free, uses.summed) != uses.summand->operands[k]->free.end())
      varying.push_back(places[k]);
  std::size_t stay = 0;
  for (std::size_t k = 0; k < product->operands.size(); ++k) {
    Expr factor = product->operands[k];
    if (std::ranges::find_first_of(factor->free, varying) == factor->free.end()) continue;
    if (factor->op != Op::read || product->weights[k] != 1) return false;
    ++stay;
  }
  return stay == 1 && product->operands.size() > 1;
}

// One round: what may be opened is decided by uses as they were before it. Whether something was opened.
bool open_once(Graph& graph) {
  const std::vector<ArrayRef> arrays = all_arrays(outputs_of(graph));
  const std::unordered_map<ArrayRef, Uses> uses = count_uses(arrays);
  const std::unordered_set<ArrayRef> fixed = fixed_arrays(graph, arrays);
  std::unordered_set<ArrayRef> open;  // As remade.
  graph = rewrite(graph, [&](ArrayRef definition, const ArrayTable& table) {
    ArrayRef made = with_open_reads(definition, table, open);
    if (made->kind != Array::Kind::definition || fixed.contains(definition)) return made;
    const Body kind = kind_of(made);
    auto used = uses.find(definition);
    const bool once = used != uses.end() && used->second.reads == 1;
    const bool is_free =
        once && (used->second.evaluations <= static_cast<double>(element_count(definition)) || factors_leave(made, used->second));
    if (kind == Body::from_nothing || (kind == Body::elementwise && is_free)) open.insert(made);
    return made;
  });
  return !open.empty();
}

}  // namespace

Graph open_single_uses(const Graph& graph) {
  Graph open = graph;
  while (open_once(open)) {  // What was a factor of an opened product is one of a sum now.
  }
  return open;
}

}  // namespace heed
