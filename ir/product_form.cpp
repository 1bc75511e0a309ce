// Groups the factors of a sum by their axes.
#include "ir/product_form.h"

#include <algorithm>
#include <vector>

#include "ir/algebra.h"
#include "ir/arena.h"
#include "ir/guard.h"

namespace heed {
namespace {

struct Group {
  AxisSet free;
  std::vector<Factor> factors;
};

}  // namespace

std::int64_t span_of(const AxisSet& axes) {
  std::int64_t out = 1;
  for (AxisRef axis : axes) out *= axis->size;
  return out;
}

double flop(const ProductForm& form) {
  return 2.0 * static_cast<double>(span_of(form.batch)) * static_cast<double>(span_of(form.m)) * static_cast<double>(span_of(form.n)) *
         static_cast<double>(span_of(form.k));
}

std::optional<ProductForm> product_form(Expr sum, Numbers numbers) {
  if (sum->op != Op::reduction || sum->reduction != Reduction::sum || (numbers == Numbers::floating && !is_floating(sum->dtype))) return {};
  Expr body = sum->operands[0];
  if (body->op != Op::product || body->has_reduction) return {};

  // The factors with the most axes come first, so that each other one finds the group it belongs to.
  std::vector<Factor> factors;
  for (std::size_t i = 0; i < body->operands.size(); ++i) factors.push_back({body->operands[i], body->weights[i]});
  std::sort(factors.begin(), factors.end(), [](const Factor& x, const Factor& y) {
    return x.x->free.size() != y.x->free.size() ? x.x->free.size() > y.x->free.size() : x.x->id < y.x->id;
  });
  std::vector<Group> groups;
  for (const Factor& factor : factors) {
    // Of groups that have its axes the smaller one: there it is multiplied fewer times.
    auto home = groups.end();
    for (auto group = groups.begin(); group != groups.end(); ++group)
      if (is_subset(factor.x->free, group->free) && (home == groups.end() || span_of(group->free) < span_of(home->free))) home = group;
    if (home == groups.end()) home = groups.insert(home, Group{factor.x->free, {}});
    home->factors.push_back(factor);
  }
  if (groups.size() != 2) return {};

  ProductForm form{.sum = sum};
  bool shares_summed = false;
  for (AxisRef axis : sum->axes) {
    shares_summed |= contains(groups[0].free, axis) && contains(groups[1].free, axis);
    form.k.push_back(axis);
  }
  if (!shares_summed || span_of(form.k) == 0) return {};
  for (AxisRef axis : sum->free) {
    if (axis->size == 1) continue;
    bool in_a = contains(groups[0].free, axis), in_b = contains(groups[1].free, axis);
    (in_a && in_b ? form.batch : in_a ? form.m : form.n).push_back(axis);
  }
  if (form.m.empty() || form.n.empty() || span_of(form.batch) * span_of(form.m) * span_of(form.n) == 0) return {};
  form.a = product(groups[0].factors, *sum->arena, sum->dtype);
  form.b = product(groups[1].factors, *sum->arena, sum->dtype);
  return form;
}

std::optional<ProductForm> product_form_of(ArrayRef array, Numbers numbers) {
  if (array->kind != Array::Kind::definition || !array->body->has_reduction) return {};
  Expr only = nullptr;
  for (Expr x : nodes_of(array->body)) {
    if (x->op != Op::reduction) continue;
    if (only) return {};
    only = x;
  }
  if (!only || std::any_of(only->free.begin(), only->free.end(), [](AxisRef axis) { return axis->kind != AxisKind::position; })) return {};
  // Operands are packed whole: a condition around the sum does not keep them from being read.
  if (in_branches(array->body).contains(only) && may_leave(only)) return {};
  // A position that the sum lacks is no axis of the product: the sum is not computed again for it.
  for (AxisRef axis : positions(array))
    if (axis->size != 1 && !contains(only->free, axis)) return {};
  return product_form(only, numbers);
}

}  // namespace heed
