// Conditions and selections. Integer conditions become `x >= 0` and `x == 0` of one linear form, so that equal ones are one node;
// in a product each condition sits on the factors that need it.
#include <algorithm>
#include <cstdlib>
#include <limits>
#include <map>
#include <numeric>
#include <set>

#include "ir/arena.h"
#include "ir/function.h"
#include "ir/guard.h"
#include "ir/integer.h"

namespace heed {

namespace {

Expr from_terms(std::vector<IntegerTerm> terms, std::int64_t constant, Arena& arena) { return linear(terms, constant, arena); }

bool is_finite(Interval range) {
  return range.low != std::numeric_limits<std::int64_t>::min() && range.high != std::numeric_limits<std::int64_t>::max();
}

// Weights by which a form can be split into multiples and a rest, largest first.
std::vector<std::int64_t> split_candidates(const LinearForm& form, std::int64_t above) {
  std::set<std::int64_t, std::greater<>> found;
  for (const IntegerTerm& term : form.terms)
    if (std::abs(term.weight) > above) found.insert(std::abs(term.weight));
  return {found.begin(), found.end()};
}

struct Split {
  Expr multiple;          // A of x = n A + r
  Expr rest;              // r
  std::int64_t quotient;  // m with m n <= r < m n + n
};

// x = n A + r where the interval of r lies within one multiple of n.
std::optional<Split> split_by(const LinearForm& form, std::int64_t n, Arena& arena) {
  std::vector<IntegerTerm> multiple, rest;
  for (const IntegerTerm& term : form.terms)
    if (term.weight % n == 0)
      multiple.push_back({term.weight / n, term.x});
    else
      rest.push_back(term);
  Expr r = from_terms(rest, form.constant, arena);
  Interval range = bounds(r);
  if (!is_finite(range) || floored(range.low, n) != floored(range.high, n)) return std::nullopt;
  return Split{from_terms(multiple, 0, arena), r, floored(range.low, n)};
}

Expr at_least_zero(Expr x) {
  Arena& arena = *x->arena;
  Interval range = bounds(x);
  if (range.low >= 0) return boolean(arena, true);
  if (range.high < 0) return boolean(arena, false);
  LinearForm form = linear_form(x);
  std::int64_t divisor = 0;
  for (const IntegerTerm& term : form.terms) divisor = std::gcd(divisor, term.weight);
  if (divisor > 1) {
    for (IntegerTerm& term : form.terms) term.weight /= divisor;
    return at_least_zero(from_terms(form.terms, floored(form.constant, divisor), arena));
  }
  for (std::int64_t n : split_candidates(form, 1))  // n A + r >= 0 is A + m >= 0 where m n <= r < m n + n
    if (auto split = split_by(form, n, arena)) return at_least_zero(shift(split->multiple, split->quotient));
  Node node{.op = Op::at_least_zero, .dtype = DType::boolean};
  node.operands = {x};
  return intern(arena, std::move(node));
}

Expr is_zero(Expr x) {
  Arena& arena = *x->arena;
  Interval range = bounds(x);
  if (range.low > 0 || range.high < 0) return boolean(arena, false);
  if (range.low == 0 && range.high == 0) return boolean(arena, true);
  LinearForm form = linear_form(x);
  std::int64_t divisor = 0;
  for (const IntegerTerm& term : form.terms) divisor = std::gcd(divisor, term.weight);
  if (form.constant % divisor) return boolean(arena, false);
  for (std::int64_t n : split_candidates(form, divisor))  // n A + r == 0 is A + m == 0 and r == m n
    if (auto split = split_by(form, n, arena))
      return both(is_zero(shift(split->multiple, split->quotient)), is_zero(shift(split->rest, -split->quotient * n)));
  if (form.terms[0].weight < 0) divisor = -divisor;
  for (IntegerTerm& term : form.terms) term.weight /= divisor;
  Node node{.op = Op::is_zero, .dtype = DType::boolean};
  node.operands = {from_terms(form.terms, form.constant / divisor, arena)};
  return intern(arena, std::move(node));
}

Expr compare(Op op, Expr a, Expr b) {
  if (is_constant(a) && is_constant(b)) {
    bool holds = op == Op::at_least ? a->real >= b->real : op == Op::greater ? a->real > b->real : a->real == b->real;
    return boolean(*a->arena, holds);
  }
  Node node{.op = op, .dtype = DType::boolean};
  node.operands = {a, b};
  return intern(*a->arena, std::move(node));
}

// The terms of a bound without its constant: bounds with one key compare by their constants.
using Key = std::vector<std::pair<std::int64_t, std::uint32_t>>;
Key key_of(const LinearForm& form, std::int64_t sign = 1) {
  Key key;
  for (const IntegerTerm& term : form.terms) key.emplace_back(sign * term.weight, term.x->id);
  return key;
}

bool implied(Expr condition, const std::vector<Expr>& known) {
  if (condition->op != Op::at_least_zero) return false;
  LinearForm form = linear_form(condition->operands[0]);
  return std::ranges::any_of(known, [&](Expr other) {
    if (other->op != Op::at_least_zero) return false;
    LinearForm other_form = linear_form(other->operands[0]);
    return key_of(other_form) == key_of(form) && other_form.constant <= form.constant;
  });
}

// The condition, given that `known` holds.
Expr assume(Expr condition, Expr known) {
  std::vector<Expr> facts = conjuncts(known), kept;
  for (Expr part : conjuncts(condition)) {
    if (std::ranges::find(facts, negate(part)) != facts.end()) return boolean(*condition->arena, false);
    if (std::ranges::find(facts, part) == facts.end() && !implied(part, facts)) kept.push_back(part);
  }
  return both(kept, *condition->arena);
}

Expr raw_select(Expr condition, Expr a, Expr b) {
  Node node{.op = Op::select, .dtype = a->dtype};
  node.operands = {condition, a, b};
  return intern(*a->arena, std::move(node));
}

Expr guard(Expr condition, Expr x) { return select(condition, x, real(*x->arena, 0, x->dtype)); }

// select(c, f g, 0): each condition sits on the factors with a read that may leave its array by an axis of the condition, else on the
// factors that have all its axes; the other factors are free. Null where nothing moves.
Expr guard_factors(Expr condition, Expr x) {
  Arena& arena = *x->arena;
  if (x->operands.size() == 1) return nullptr;  // A power: the condition is at home.
  std::vector<Expr> left = conjuncts(condition);
  std::size_t total = left.size();
  std::vector<Factor> parts;
  for (const Factor& factor : factors_of(x)) {
    std::vector<Expr> mine = protecting_conditions(factor.x, conjuncts(condition));
    for (Expr part : mine) std::erase(left, part);
    if (mine.empty())
      parts.push_back(factor);
    else
      parts.push_back({guard(both(mine, arena), power(factor.x, factor.power)), 1});
  }
  Expr rest = both(left, arena);
  auto is_home = [&](const Factor& part) { return is_subset(rest->free, part.x->free); };
  auto homes = static_cast<std::size_t>(std::ranges::count_if(parts, is_home));
  bool moves = left.size() < total || (!left.empty() && homes > 0 && homes < parts.size());
  if (!moves) return nullptr;
  if (left.empty()) return product(parts, arena, x->dtype);
  if (homes == 0 || homes == parts.size()) return raw_select(rest, product(parts, arena, x->dtype), real(arena, 0, x->dtype));
  std::vector<Factor> guarded, free;
  for (const Factor& part : parts) (is_home(part) ? guarded : free).push_back(part);
  free.push_back({guard(rest, product(guarded, arena, x->dtype)), 1});
  return product(free, arena, x->dtype);
}

// A condition with a read that may leave its array is asked only where the others hold. Null where there is nothing to part.
Expr ask_in_turn(Expr condition, Expr a, Expr b) {
  std::vector<Expr> first, then;
  for (Expr part : conjuncts(condition)) (unsafe_axes(part).empty() ? first : then).push_back(part);
  if (first.empty() || then.empty()) return nullptr;
  Arena& arena = *condition->arena;
  return select(both(first, arena), select(both(then, arena), a, b), b);
}

}  // namespace

std::vector<Expr> protecting_conditions(Expr x, const std::vector<Expr>& conditions) {
  std::vector<Expr> chosen, related;
  for (Expr condition : conditions)
    if (overlap(condition->free, unsafe_axes(x))) related.push_back(condition);
  bool each_met = true;
  for_each_leaving(x, [&](Expr read, std::size_t k) {
    for (Expr need : conjuncts(inside(read->operands[k], read->array->shape[k]))) {
      auto meets = [&](Expr condition) { return condition == need || implied(need, {condition}); };
      auto found = std::ranges::find_if(related, meets);
      if (found == related.end())
        each_met = false;
      else if (std::ranges::find(chosen, *found) == chosen.end())
        chosen.push_back(*found);
    }
  });
  if (!each_met) return related;  // By several of them together, if at all.
  return chosen;
}

Expr at_least(Expr a, Expr b) {
  if (!is_floating(a->dtype)) return at_least_zero(subtract(a, b));
  return compare(Op::at_least, a, b);
}

Expr greater(Expr a, Expr b) {
  if (!is_floating(a->dtype)) return at_least_zero(shift(subtract(a, b), -1));
  return compare(Op::greater, a, b);
}

Expr equal(Expr a, Expr b) {
  if (a->dtype == DType::boolean) return either(both(a, b), both(negate(a), negate(b)));
  if (!is_floating(a->dtype)) return is_zero(subtract(a, b));
  return a->id <= b->id ? compare(Op::equal, a, b) : compare(Op::equal, b, a);
}

Expr inside(Expr index, std::int64_t size) {
  return both(at_least_zero(index), at_least_zero(shift(scale(std::int64_t{-1}, index), size - 1)));
}

Expr negate(Expr condition) {
  if (condition->op == Op::constant) return boolean(*condition->arena, condition->integer == 0);
  if (condition->op == Op::negation) return condition->operands[0];
  if (condition->op == Op::at_least_zero) return at_least_zero(shift(scale(std::int64_t{-1}, condition->operands[0]), -1));
  Node node{.op = Op::negation, .dtype = DType::boolean};
  node.operands = {condition};
  return intern(*condition->arena, std::move(node));
}

Expr either(Expr a, Expr b) { return negate(both(negate(a), negate(b))); }

std::vector<Expr> conjuncts(Expr condition) {
  if (condition->op == Op::both) return condition->operands;
  if (is_constant(condition, 1)) return {};
  return {condition};
}

Expr both(Expr a, Expr b) {
  Expr conditions[] = {a, b};
  return both(conditions, *a->arena);
}

Expr both(std::span<const Expr> conditions, Arena& arena) {
  std::map<Key, std::pair<std::int64_t, Expr>> tightest;
  std::map<std::uint32_t, Expr> kept;
  for (Expr condition : conditions)
    for (Expr part : conjuncts(condition)) {
      if (is_constant(part, 0)) return boolean(arena, false);
      if (part->op != Op::at_least_zero) {
        kept.emplace(part->id, part);
        continue;
      }
      LinearForm form = linear_form(part->operands[0]);
      auto [entry, is_new] = tightest.try_emplace(key_of(form), form.constant, part);
      if (!is_new && form.constant < entry->second.first) entry->second = {form.constant, part};
    }
  for (const auto& [key, bound] : tightest) {  // x >= l and -x >= -h with l > h
    Key opposite = key;
    for (auto& [weight, id] : opposite) weight = -weight;
    if (auto other = tightest.find(opposite); other != tightest.end() && bound.first + other->second.first < 0)
      return boolean(arena, false);
    kept.emplace(bound.second->id, bound.second);
  }
  for (const auto& [id, part] : kept)
    if (part->op == Op::negation && kept.contains(part->operands[0]->id)) return boolean(arena, false);
  if (kept.empty()) return boolean(arena, true);
  if (kept.size() == 1) return kept.begin()->second;
  Node node{.op = Op::both, .dtype = DType::boolean};
  for (const auto& [id, part] : kept) node.operands.push_back(part);
  return intern(arena, std::move(node));
}

Expr select(Expr condition, Expr a, Expr b) {
  if (condition->op == Op::constant) return condition->integer ? a : b;
  if (a == b) return a;
  if (a->dtype == DType::boolean) return either(both(condition, a), both(negate(condition), b));
  if (condition->op == Op::negation) return select(condition->operands[0], b, a);
  if (Expr nested = ask_in_turn(condition, a, b)) return nested;
  auto joins = [&] { return a->op == Op::select && a->operands[2] == b && unsafe_axes(a->operands[0]).empty(); };
  if (joins()) return select(both(condition, a->operands[0]), a->operands[1], b);
  if (b->op == Op::select && conjuncts(condition).size() == 1)  // What the condition excludes is known in the other branch.
    b = select(assume(b->operands[0], negate(condition)), b->operands[1], b->operands[2]);
  if (a->op == Op::select) {
    Expr known = assume(a->operands[0], condition);
    if (known != a->operands[0]) a = select(known, a->operands[1], a->operands[2]);
    if (joins()) return select(both(condition, a->operands[0]), a->operands[1], b);
  }
  if (a == b) return a;
  if (is_floating(a->dtype) && is_constant(a, 0) && is_guarded(b) && !unsafe_axes(condition).empty() &&
      !protecting_conditions(condition, conjuncts(b->operands[0])).empty())
    return guard(b->operands[0], select(condition, a, b->operands[1]));  // It protects the condition under which it stands.
  if (is_floating(a->dtype) && is_constant(b, 0) && a->op == Op::product)
    if (Expr moved = guard_factors(condition, a)) return moved;
  if (is_floating(a->dtype) && is_constant(b, 0) && a->op == Op::linear && a->operands.size() == 1 && a->real == 0 &&
      a->operands[0]->op == Op::product)
    if (Expr moved = guard_factors(condition, a->operands[0])) return scale(a->weights[0], moved);
  return raw_select(condition, a, b);
}

}  // namespace heed
