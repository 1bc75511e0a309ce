// Proves that indices stay inside of arrays: an index is a sum of what conditions bound and of what intervals bound.
#include "ir/guard.h"

#include <algorithm>
#include <set>

#include "ir/algebra.h"

namespace heed {
namespace {

struct Fact {
  Expr form;  // is at least 0
  bool is_zero;
};

// x // n >= c says x >= n c; -(x // n) >= c says -x >= n c - (n - 1).
void add_unquotiented(std::vector<Fact>& facts, Expr form) {
  LinearForm parts = linear_form(form);
  for (const IntegerTerm& term : parts.terms) {
    if (term.x->op != Op::quotient || (term.weight != 1 && term.weight != -1)) continue;
    std::int64_t n = term.x->integer;
    std::vector<IntegerTerm> terms{{term.weight, term.x->operands[0]}};
    for (const IntegerTerm& other : parts.terms)
      if (other.x != term.x) terms.push_back({n * other.weight, other.x});
    facts.push_back({linear(terms, n * parts.constant + (term.weight < 0 ? n - 1 : 0), *form->arena), false});
  }
}

std::vector<Fact> facts_of(std::span<const Expr> conditions) {
  std::vector<Fact> facts;
  for (Expr condition : conditions)
    for (Expr part : conjuncts(condition)) {
      if (part->op != Op::at_least_zero && part->op != Op::is_zero) continue;
      facts.push_back({part->operands[0], part->op == Op::is_zero});
      if (part->op == Op::at_least_zero) add_unquotiented(facts, part->operands[0]);
    }
  return facts;
}

// Takes multiples of facts away from x, each chosen so that a term goes, until its interval is decided. Every term is tried: what is seen
// must not depend on the order of terms, which follows from the names of axes.
bool is_at_least_zero(Expr x, const std::vector<Fact>& facts, int depth) {
  if (bounds(x).low >= 0) return true;
  if (depth == 0) return false;
  LinearForm form = linear_form(x);
  for (const Fact& fact : facts) {
    LinearForm known = linear_form(fact.form);
    for (const IntegerTerm& term : known.terms) {
      auto mine = std::ranges::find(form.terms, term.x, &IntegerTerm::x);
      if (mine == form.terms.end() || mine->weight % term.weight != 0) continue;
      std::int64_t multiple = mine->weight / term.weight;
      if (multiple < 0 && !fact.is_zero) continue;
      if (is_at_least_zero(subtract(x, scale(multiple, fact.form)), facts, depth - 1)) return true;
    }
  }
  return false;
}

// `context` holds where x is wanted; null if it is wanted everywhere.
void visit_reads(Expr x, Expr context, std::set<std::pair<std::uint32_t, std::uint32_t>>& seen,
                 const std::function<void(Expr, std::size_t)>& visit) {
  if (context && is_constant(context, 0)) return;
  if (!seen.emplace(x->id, context ? context->id + 1 : 0).second) return;
  if (x->op == Op::read)
    for (std::size_t k = 0; k < x->operands.size(); ++k)
      if (!keeps_inside(context ? conjuncts(context) : std::vector<Expr>{}, x->operands[k], x->array->shape[k])) visit(x, k);
  if (x->op != Op::select) {
    for (Expr operand : x->operands) visit_reads(operand, context, seen, visit);
    return;
  }
  auto with = [&](Expr condition) { return context ? both(context, condition) : condition; };
  visit_reads(x->operands[0], context, seen, visit);
  visit_reads(x->operands[1], with(x->operands[0]), seen, visit);
  visit_reads(x->operands[2], with(negate(x->operands[0])), seen, visit);
}

}  // namespace

bool keeps_inside(std::span<const Expr> conditions, Expr index, std::int64_t size) {
  Interval range = bounds(index);
  if (range.low >= 0 && range.high < size) return true;
  if (conditions.empty()) return false;
  std::vector<Fact> facts = facts_of(conditions);
  return is_at_least_zero(index, facts, 2) && is_at_least_zero(shift(scale(std::int64_t{-1}, index), size - 1), facts, 2);
}

void for_each_leaving(Expr expression, const std::function<void(Expr, std::size_t)>& visit) {
  std::set<std::pair<std::uint32_t, std::uint32_t>> seen;
  visit_reads(expression, nullptr, seen, visit);
}

bool may_leave(Expr expression) {
  bool found = false;
  for_each_leaving(expression, [&](Expr, std::size_t) { found = true; });
  return found;
}

std::unordered_set<Expr> in_branches(Expr expression) {
  std::unordered_set<Expr> inside;
  for (Expr node : nodes_of(expression))
    if (node->op == Op::select)
      for (Expr branch : {node->operands[1], node->operands[2]})
        if (branch->has_reduction)
          for (Expr each : nodes_of(branch)) inside.insert(each);
  return inside;
}

}  // namespace heed
