// Looks for rows of which no output depends.
#include "passes/cancel_shifts.h"

#include <algorithm>
#include <unordered_map>

#include "ir/function.h"
#include "passes/degrees.h"

namespace heed {
namespace {

// Rows subtracted from something larger, in order.
std::vector<ArrayRef> subtracted_rows(const std::vector<ArrayRef>& order) {
  std::vector<ArrayRef> rows;
  std::unordered_set<ArrayRef> met;
  for (ArrayRef array : order) {
    if (array->kind != Array::Kind::definition) continue;
    for (Expr node : nodes_of(array->body)) {
      if (node->op != Op::linear || !is_floating(node->dtype)) continue;
      for (std::size_t k = 0; k < node->operands.size(); ++k) {
        Expr term = node->operands[k];
        if (node->weights[k] >= 0 || term->op != Op::read || term->array->kind != Array::Kind::definition) continue;
        if (term->free.size() < node->free.size() && met.insert(term->array).second) rows.push_back(term->array);
      }
    }
  }
  return rows;
}

bool has_exponential(const std::vector<ArrayRef>& order) {
  return std::ranges::any_of(order, [](ArrayRef array) {
    return array->kind == Array::Kind::definition && std::ranges::any_of(nodes_of(array->body), [](Expr node) {
             return node->op == Op::function && node->function == &functions::exp;
           });
  });
}

}  // namespace

std::unordered_set<ArrayRef> cancelling_shifts(const std::vector<ArrayRef>& order, const std::vector<ArrayRef>& outputs) {
  std::unordered_set<ArrayRef> found;
  if (!has_exponential(order)) return found;
  std::unordered_map<ArrayRef, std::vector<ArrayRef>> reads;
  for (ArrayRef array : order) reads[array] = reads_of(array);
  for (ArrayRef row : subtracted_rows(order)) {
    Degrees degrees(row);
    const bool known = std::ranges::all_of(std::ranges::find(order, row) + 1, order.end(),
                                           [&](ArrayRef array) { return degrees.enter(array, reads.at(array)); });
    if (known && std::ranges::all_of(outputs, [&](ArrayRef output) { return degrees.is_free(output); })) found.insert(row);
  }
  return found;
}

}  // namespace heed
