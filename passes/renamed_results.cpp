// Compares places in memory: those of a result with those of what it reads.
#include "passes/renamed_results.h"

#include <algorithm>
#include <unordered_set>

#include "ir/algebra.h"
#include "passes/opening.h"

namespace heed {

namespace {

// Where an element lies, counted in row-major order.
Expr place(const std::vector<std::int64_t>& shape, const std::vector<Expr>& indices, Arena& arena) {
  Expr at = integer(arena, 0);
  for (std::size_t k = 0; k < shape.size(); ++k) at = add(scale(shape[k], at), indices[k]);
  return at;
}

bool is_renamed(ArrayRef array) {
  if (array->kind != Array::Kind::definition || array->body->op != Op::read) return false;
  Expr read = array->body;
  ArrayRef source = read->array;
  if (source->kind != Array::Kind::definition || source->dtype != array->dtype || element_count(source) != element_count(array))
    return false;
  if (element_count(array) == 0) return false;
  std::vector<Expr> own;
  for (AxisRef axis : positions(array)) own.push_back(value(axis));
  Arena& arena = *array->arena;
  return place(array->shape, own, arena) == place(source->shape, {read->operands.begin(), read->operands.end()}, arena);
}

}  // namespace

std::unordered_map<ArrayRef, ArrayRef> renamed_results(const Graph& graph) {
  std::unordered_set<ArrayRef> taken;
  for (const GraphInput& input : graph.inputs) taken.insert(input.array);
  for (const GraphOutput& output : graph.outputs) taken.insert(output.array);
  const std::unordered_map<ArrayRef, int> readers = reader_counts(in_order(graph));  // What others read may be better off unstored.
  std::unordered_map<ArrayRef, ArrayRef> found;
  for (const GraphOutput& output : graph.outputs)
    if (is_renamed(output.array) && readers.at(output.array->body->array) == 1 && !taken.contains(output.array->body->array))

      found[output.array] = output.array->body->array;
  return found;
}

}  // namespace heed
