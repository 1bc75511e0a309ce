// Opens sums in the sums that read them.
#include "passes/merge_sums.h"

#include <algorithm>

#include "passes/chains.h"
#include "passes/kind.h"
#include "passes/opening.h"
#include "passes/rewrite.h"
#include "passes/work.h"

namespace heed {

namespace {

constexpr double much_larger = 8;  // than what is made of it
constexpr double cheap = 8;        // operations for each element

// The array if its reader may sum it at once: a plain sum, larger than what a cache holds.
bool is_large_sum(ArrayRef array) {
  return array->kind == Array::Kind::definition && is_floating(array->dtype) && compute_type(array->dtype) == array->dtype &&
         root_reduction(array) && is_sum(root_reduction(array)) && array->body->op != Op::select && kind_of(array) == Kind::reduction &&
         bytes_of(array) > Machine{}.cache_bytes;
}

// The chain and the sum that a part of it reads as one sum.
Expr merged(const Chain& chain, const Part& part) {
  Chain inner = terms_of(opened(part.x->array, part.x->operands)).front();
  std::vector<Factor> factors;
  for (const Part& each : inner.parts) factors.push_back({each.x, each.power});
  for (const Part& each : chain.parts)
    if (each.x != part.x) factors.push_back({each.x, each.power});
  inner.summed.insert(inner.summed.end(), chain.summed.begin(), chain.summed.end());
  return scale(chain.weight * inner.weight, sum(inner.summed, product(factors, *part.x->arena, part.x->dtype)));
}

}  // namespace

Graph merge_sums(const Graph& graph) {
  const std::vector<ArrayRef> arrays = all_arrays(outputs_of(graph));
  const std::unordered_set<ArrayRef> fixed = fixed_arrays(graph, arrays);
  const std::unordered_map<ArrayRef, int> readers = reader_counts(arrays);
  std::unordered_set<ArrayRef> may_open;  // as remade
  return rewrite(graph, [&](ArrayRef definition, const ArrayTable& table) {
    ArrayRef array = redefine(definition, table);
    if (array->kind == Array::Kind::definition && array->body->has_reduction) {
      Expr body = rewrite(array->body, [&](Expr node, std::span<const Expr> operands) {
        Expr kept = with_operands(node, operands);
        if (kept != node || !is_sum(node) || operations_of(node->operands[0]) > cheap) return kept;
        Chain chain = chain_of(node);
        for (const Part& part : chain.parts) {
          const bool is_large = part.power == 1 && part.x->op == Op::read && may_open.contains(part.x->array) &&
                                bytes_of(part.x->array) >= much_larger * bytes_of(array);
          if (is_large && std::ranges::all_of(part.x->operands, is_affine)) return merged(chain, part);
        }
        return kept;
      });
      if (body != array->body) array = define(positions(array), body, array->dtype, array->name);
    }
    if (auto read = readers.find(definition);
        read != readers.end() && read->second == 1 && !fixed.contains(definition) && is_large_sum(array))
      may_open.insert(array);
    return array;
  });
}

}  // namespace heed
