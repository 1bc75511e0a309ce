// b T + t of a read [b, t] is one axis of size B T wherever nothing else is made of b or t: fewer and longer loops.
#include <algorithm>
#include <unordered_set>

#include "codegen/tile/nest.h"

namespace heed {
namespace {

bool has(Expr x, AxisRef axis) { return std::find(x->free.begin(), x->free.end(), axis) != x->free.end(); }

bool plain_in(const LinearForm& address, AxisRef axis) {
  return std::ranges::all_of(address.terms, [&](const IntegerTerm& term) { return term.x->op == Op::axis || !has(term.x, axis); });
}

// The axis is met only plainly: as itself in addresses and in arithmetic, never under // or %.
bool plain_in(Expr x, AxisRef axis, std::unordered_set<Expr>& seen) {
  if (!has(x, axis) || !seen.insert(x).second) return true;
  if (x->op == Op::quotient || x->op == Op::remainder) return false;
  if (x->op == Op::read) {
    if (!plain_in(affine_address(x), axis)) return false;
    return std::ranges::all_of(x->operands, [&](Expr index) { return is_affine(index) || plain_in(index, axis, seen); });
  }
  return std::ranges::all_of(x->operands, [&](Expr operand) { return plain_in(operand, axis, seen); });
}

bool plain_in(const Nest& nest, AxisRef axis) {
  std::unordered_set<Expr> seen;
  for (Expr root : nest.roots())
    if (!plain_in(root, axis, seen)) return false;
  for (const Sweep& sweep : nest.sweeps)
    for (const NestStore& store : sweep.stores)
      if (!plain_in(store.address, axis)) return false;
  return true;
}

// outer * size(inner) + inner as one axis; false, and nothing changed, where that would leave // or %.
bool merge(Nest& nest, AxisRef outer, AxisRef inner, AxisRef& merged) {
  Arena& arena = *outer->arena;
  merged = fresh_axis(arena, outer->size * inner->size);
  Substitution table{{outer, floor_divide(value(merged), inner->size)}, {inner, remainder(value(merged), inner->size)}};
  Nest changed = nest;
  rewrite_nest(changed, [&](Expr x) { return substitute(x, table); });
  if (!plain_in(changed, merged)) return false;
  nest = std::move(changed);
  return true;
}

void replace(std::vector<AxisRef>& axes, AxisRef outer, AxisRef inner, AxisRef merged) {
  auto at = std::find(axes.begin(), axes.end(), outer);
  if (at == axes.end() || std::next(at) == axes.end() || *std::next(at) != inner) return;
  *at = merged;
  axes.erase(std::next(at));
}

bool counts(const Nest& nest, AxisRef axis) {  // argmax gives positions of its axis
  return std::ranges::any_of(nest.sweeps, [&](const Sweep& sweep) {
    return std::ranges::find(sweep.axes, axis) != sweep.axes.end() &&
           std::ranges::any_of(sweep.accumulations, [](const Accumulation& each) { return each.reduction == Reduction::argmax; });
  });
}

void merge_list(Nest& nest, std::vector<AxisRef> axes) {
  for (std::size_t k = 0; k + 1 < axes.size();) {
    AxisRef merged = nullptr, outer = axes[k], inner = axes[k + 1];
    if (!counts(nest, outer) && !counts(nest, inner) && merge(nest, outer, inner, merged)) {
      replace(nest.rows, outer, inner, merged);
      for (Sweep& sweep : nest.sweeps) replace(sweep.axes, outer, inner, merged);
      axes[k] = merged;
      axes.erase(axes.begin() + static_cast<std::ptrdiff_t>(k) + 1);
    } else {
      ++k;
    }
  }
}

}  // namespace

void merge_axes(Nest& nest) {
  merge_list(nest, nest.rows);
  std::vector<std::vector<AxisRef>> lists;
  for (const Sweep& sweep : nest.sweeps)
    if (std::ranges::find(lists, sweep.axes) == lists.end()) lists.push_back(sweep.axes);
  for (const std::vector<AxisRef>& axes : lists) merge_list(nest, axes);
}

}  // namespace heed
