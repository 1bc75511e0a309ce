// The gradient of a gather: instead of asking of every position which values belong to it, each value is added where it belongs. One task
// has all positions of some columns and adds in the order of the sum, so the result does not depend on threads.
#include <algorithm>

#include "codegen/tile/lower.h"

namespace heed {
namespace {

bool has(const AxisSet& set, AxisRef axis) { return std::ranges::find(set, axis) != set.end(); }

struct Equation {
  AxisRef position;  // = index
  Expr index, condition;
};

// A condition `index == position` with an index that depends on data and not on the position.
std::optional<Equation> equation(Expr condition, const std::vector<AxisRef>& places) {
  if (condition->op != Op::is_zero || is_affine(condition)) return {};
  LinearForm form = linear_form(condition->operands[0]);
  for (const IntegerTerm& term : form.terms) {
    if (term.x->op != Op::axis || std::abs(term.weight) != 1 || std::ranges::find(places, term.x->axes[0]) == places.end()) continue;
    LinearForm rest{{}, -term.weight * form.constant};
    bool free = true;
    for (const IntegerTerm& other : form.terms) {
      if (&other == &term) continue;
      rest.terms.push_back({-term.weight * other.weight, other.x});
      free = free && std::ranges::none_of(places, [&](AxisRef place) { return has(other.x->free, place); });
    }
    if (free) return Equation{term.x->axes[0], linear(rest.terms, rest.constant, *condition->arena), condition};
  }
  return {};
}

}  // namespace

std::optional<Nest> lower_scatter(ArrayRef array, StandIns& stand_ins) {
  Expr sum = array->body;
  if (sum->op != Op::reduction || sum->reduction != Reduction::sum || compute_type(array->dtype) != array->dtype) return {};
  Expr body = sum->operands[0];
  if (body->op != Op::select || !is_constant(body->operands[2], 0) || body->has_reduction) return {};
  std::vector<AxisRef> places = positions(array);
  std::vector<Expr> conditions = conjuncts(body->operands[0]);
  std::optional<Equation> found;
  for (Expr condition : conditions)
    if ((found = equation(condition, places))) break;
  if (!found || has(body->operands[1]->free, found->position)) return {};
  std::erase(conditions, found->condition);
  for (Expr condition : conditions)
    for (AxisRef place : places)
      if (has(condition->free, place)) return {};

  Arena& arena = *array->arena;
  auto read_by_stand_ins = [&](Expr root) {
    return rewrite(root, [&](Expr node, std::span<const Expr> operands) {
      return node->op == Op::read ? stand_ins.read(node->array, operands) : with_operands(node, operands);
    });
  };
  Nest nest;
  Substitution table;
  Sweep clear, gather;
  clear.level = 0, gather.level = 1;
  std::vector<std::int64_t> strides = strides_of(array->shape);
  std::vector<IntegerTerm> cleared, added;
  std::int64_t limit = 0;
  for (std::size_t k = 0; k < places.size(); ++k) {
    if (places[k]->size == 1 && places[k] != found->position) {
      table.emplace_back(places[k], integer(arena, 0));
      continue;
    }
    AxisRef axis = fresh_axis(arena, places[k]->size);
    table.emplace_back(places[k], value(axis));
    cleared.push_back({strides[k], value(axis)});
    if (places[k] != found->position) {
      nest.rows.push_back(axis);
      added.push_back({strides[k], value(axis)});
    } else {
      clear.axes.push_back(axis);
      limit = axis->size;
    }
  }
  for (AxisRef axis : sum->axes) {
    gather.axes.push_back(fresh_axis(arena, axis->size));
    table.emplace_back(axis, value(gather.axes.back()));
  }
  Expr index = substitute(read_by_stand_ins(found->index), table);
  conditions.push_back(inside(found->index, limit));
  Expr guard = substitute(read_by_stand_ins(both(conditions, arena)), table);
  Expr value = substitute(read_by_stand_ins(body->operands[1]), table);
  for (std::size_t k = 0; k < places.size(); ++k)
    if (places[k] == found->position) added.push_back({strides[k], index});
  bool whole = is_floating(array->dtype);
  clear.stores.push_back({array, linear_form(linear(cleared, 0, arena)), whole ? real(arena, 0, array->dtype) : integer(arena, 0)});
  gather.stores.push_back({array, linear_form(linear(added, 0, arena)), value, true, guard});
  nest.sweeps = {clear, gather};
  return nest;
}

}  // namespace heed
