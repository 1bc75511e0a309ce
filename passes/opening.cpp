// Opening arrays where they are read.
#include "passes/opening.h"

#include <algorithm>

#include "ir/algebra.h"
#include "passes/scan_body.h"

namespace heed {

std::unordered_set<ArrayRef> fixed_arrays(const Graph& graph, const std::vector<ArrayRef>& arrays) {
  std::unordered_set<ArrayRef> fixed;
  auto fix = [&](const std::vector<ArrayRef>& some) { fixed.insert(some.begin(), some.end()); };
  fix(outputs_of(graph));
  for (ArrayRef array : arrays) {
    if (array->gradient) {
      fixed.insert(array->gradient->target);
      fix(array->gradient->wrt);
    }
    if (!array->scan) continue;
    fix(array->scan->elements);
    fix(array->scan->starts);
    fix(roots_of(*array->scan));
    for (ArrayRef read : reads_of(array)) fixed.insert(read);  // What a body captures is made once, not in every step.
  }
  return fixed;
}

std::unordered_map<ArrayRef, int> reader_counts(const std::vector<ArrayRef>& arrays) {
  std::unordered_map<ArrayRef, int> readers;
  for (ArrayRef array : arrays)
    for (ArrayRef read : reads_of(array)) ++readers[read];
  return readers;
}

Expr opened(ArrayRef definition, std::span<const Expr> indices) {
  Substitution table;
  const std::vector<AxisRef> places = positions(definition);
  for (std::size_t k = 0; k < places.size(); ++k) table.emplace_back(places[k], indices[k]);
  Expr body = substitute(definition->body, table);
  return compute_type(definition->dtype) == definition->dtype ? body : cast(definition->dtype, body);
}

ArrayRef with_open_reads(ArrayRef definition, const ArrayTable& table, const std::unordered_set<ArrayRef>& open) {
  auto remade = [&](ArrayRef array) {
    auto known = table.find(array);
    return known == table.end() ? array : known->second;
  };
  if (std::ranges::all_of(definition->reads, [&](ArrayRef each) { return remade(each) == each && !open.contains(each); }))
    return definition;
  Expr body = rewrite(definition->body, [&](Expr node, std::span<const Expr> operands) {
    if (node->op != Op::read) return with_operands(node, operands);
    ArrayRef array = remade(node->array);
    return open.contains(array) ? opened(array, operands) : read(array, operands);
  });
  return body == definition->body ? definition : define(positions(definition), body, definition->dtype, definition->name);
}

}  // namespace heed
