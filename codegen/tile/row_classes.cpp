// Classes by union-find over all positions.
#include "codegen/tile/row_classes.h"

#include <algorithm>

namespace heed {

RowClasses::RowClasses(const std::vector<ArrayRef>& members, const std::vector<ArrayRef>& stored) {
  for (ArrayRef member : members) {
    first_[member] = parent_.size();
    for (std::size_t k = 0; k < member->shape.size(); ++k) parent_.push_back(parent_.size());
  }
  inner_.resize(parent_.size());
  for (ArrayRef member : members)
    for (Expr node : nodes_of(member->body))
      if (node->op == Op::read && first_.contains(node->array)) join(node, member);
  // Arrays that do not read each other share their loops where they have the same shape.
  for (ArrayRef array : stored)
    if (array != stored[0] && array->shape == stored[0]->shape && !share(array, stored[0]))
      for (std::size_t k = 0; k < array->shape.size(); ++k) unite(first_[array] + k, first_[stored[0]] + k);
}

void RowClasses::join(Expr read, ArrayRef member) {
  for (std::size_t k = 0; k < read->operands.size(); ++k) {
    std::size_t there = first_[read->array] + k;
    Expr index = read->operands[k];
    if (read->array->shape[k] == 1) continue;
    if (index->op == Op::axis && index->axes[0]->kind == AxisKind::position && index->axes[0]->size == read->array->shape[k])
      unite(there, first_[member] + static_cast<std::size_t>(index->axes[0]->key));
    else
      inner_[root(there)] = true;
  }
}

bool RowClasses::share(ArrayRef a, ArrayRef b) const {
  for (std::size_t i = 0; i < a->shape.size(); ++i)
    for (std::size_t j = 0; j < b->shape.size(); ++j)
      if (of(a, i) == of(b, j)) return true;
  return false;
}

std::size_t RowClasses::root(std::size_t x) const {
  while (parent_[x] != x) x = parent_[x];
  return x;
}

void RowClasses::unite(std::size_t a, std::size_t b) {
  a = root(a), b = root(b);
  bool inner = inner_[a] || inner_[b];
  parent_[std::max(a, b)] = std::min(a, b);
  inner_[std::min(a, b)] = inner;
}

}  // namespace heed
