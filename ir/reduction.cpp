// Reductions. A sum is simplified before it is closed: factors and conditions free of its axes leave it, equalities on its axes are
// solved, bounds cut ranges, axes met under // and % are split (docs/index-notation.md has the rules).
#include <algorithm>
#include <limits>
#include <numeric>
#include <set>

#include "ir/arena.h"
#include "ir/function.h"
#include "ir/guard.h"
#include "ir/integer.h"

namespace heed {

namespace {

Expr sum_of(AxisSet axes, Expr x);
Expr total(std::vector<AxisRef> axes, Expr body) { return sum(axes, body); }

Expr zero_like(Expr x) { return real(*x->arena, 0, x->dtype); }

std::vector<AxisRef> replaced(const AxisSet& axes, AxisRef old, std::initializer_list<AxisRef> by) {
  std::vector<AxisRef> result = without(axes, {old});
  result.insert(result.end(), by);
  return result;
}

Expr at(AxisRef axis, Expr index, Expr x) { return substitute(x, {{axis, index}}); }

// `axis` as begin + step * k, k = 0 … count - 1.
Expr stepped_sum(const AxisSet& axes, Expr x, AxisRef axis, std::int64_t begin, std::int64_t step, std::int64_t count) {
  if (count <= 0) return zero_like(x);
  AxisRef shorter = fresh_axis(*x->arena, count);
  return total(replaced(axes, axis, {shorter}), at(axis, shift(scale(step, value(shorter)), begin), x));
}

// The one summed axis of an integer form with weight found by `fits`, alone in its term.
const IntegerTerm* summed_term(const LinearForm& form, const AxisSet& axes, auto fits) {
  for (const IntegerTerm& term : form.terms) {
    if (term.x->op != Op::axis || !contains(axes, term.x->axes[0]) || !fits(term.weight)) continue;
    bool alone = std::ranges::none_of(
        form.terms, [&](const IntegerTerm& other) { return other.x != term.x && contains(other.x->free, term.x->axes[0]); });
    if (alone) return &term;
  }
  return nullptr;
}

LinearForm without_term(const LinearForm& form, Expr x) {
  LinearForm rest{{}, form.constant};
  for (const IntegerTerm& term : form.terms)
    if (term.x != x) rest.terms.push_back(term);
  return rest;
}

// A bound on one summed axis alone.
struct AxisBound {
  AxisRef axis;
  std::int64_t low, high;  // half open
};
std::optional<AxisBound> axis_bound(Expr condition, const AxisSet& axes) {
  if (condition->op != Op::at_least_zero) return std::nullopt;
  LinearForm form = linear_form(condition->operands[0]);
  if (form.terms.size() != 1 || form.terms[0].x->op != Op::axis || !contains(axes, form.terms[0].x->axes[0])) return std::nullopt;
  std::int64_t weight = form.terms[0].weight, constant = form.constant;
  AxisRef axis = form.terms[0].x->axes[0];
  AxisBound bound{axis, 0, axis->size};
  if (weight > 0)
    bound.low = std::max<std::int64_t>(0, -floored(constant, weight));
  else
    bound.high = std::min(axis->size, floored(constant, -weight) + 1);
  return bound;
}

bool cuts(Expr condition, const AxisSet& axes) {
  if (axis_bound(condition, axes)) return true;
  if (condition->op != Op::is_zero) return false;
  LinearForm form = linear_form(condition->operands[0]);
  return std::ranges::any_of(form.terms, [&](const IntegerTerm& term) {
    return term.x->op == Op::axis && contains(axes, term.x->axes[0]) && (term.weight == 1 || term.weight == -1);
  });
}

bool is_cut_guard(Expr x, const AxisSet& axes) {
  return is_guarded(x) && std::ranges::any_of(conjuncts(x->operands[0]), [&](Expr part) { return cuts(part, axes); });
}

// Summed axes met as (k axis + …) // (k n) or % with n a divisor of the size: smallest n first.
std::optional<std::pair<AxisRef, std::int64_t>> divided_axis(Expr x, const AxisSet& axes) {
  std::optional<std::pair<AxisRef, std::int64_t>> best;
  for (Expr node : nodes_of(x)) {
    if (node->op != Op::quotient && node->op != Op::remainder) continue;
    for (const IntegerTerm& term : linear_form(node->operands[0]).terms) {
      if (term.x->op != Op::axis || !contains(axes, term.x->axes[0])) continue;
      std::int64_t weight = std::abs(term.weight);
      if (node->integer % weight != 0) continue;
      std::int64_t n = node->integer / weight;
      AxisRef axis = term.x->axes[0];
      if (n <= 1 || axis->size <= n || axis->size % n != 0) continue;
      if (!best || n < best->second || (n == best->second && axis->id < best->first->id)) best = {axis, n};
    }
  }
  return best;
}

struct Guard {
  Expr condition;
  Expr owner;  // the factor it stands on
};

Expr product_of(std::span<const Factor> factors, Expr like) { return product(factors, *like->arena, like->dtype); }

std::vector<Factor> without_factor(const std::vector<Factor>& factors, Expr x) {
  std::vector<Factor> rest;
  for (const Factor& factor : factors)
    if (factor.x != x) rest.push_back(factor);
  return rest;
}

// sum[a](a == e ? f(a) : 0) = f(e) where e is in range.
Expr solve_equality(const AxisSet& axes, Expr x, const Guard& guard) {
  if (guard.condition->op != Op::is_zero) return nullptr;
  LinearForm form = linear_form(guard.condition->operands[0]);
  const IntegerTerm* term = summed_term(form, axes, [](std::int64_t weight) { return weight == 1 || weight == -1; });
  if (!term) return nullptr;
  AxisRef axis = term->x->axes[0];
  LinearForm rest = without_term(form, term->x);
  Expr solution = scale(-term->weight, linear(rest.terms, rest.constant, *x->arena));
  return total(without(axes, {axis}), select(inside(solution, axis->size), at(axis, solution, x), zero_like(x)));
}

// e - (n - 1) <= n a <= e has one solution, a = e // n.
Expr solve_two_bounds(const AxisSet& axes, Expr x, const Guard& guard, const std::vector<Guard>& guards) {
  if (guard.condition->op != Op::at_least_zero) return nullptr;
  Arena& arena = *x->arena;
  LinearForm form = linear_form(guard.condition->operands[0]);
  std::vector<IntegerTerm> opposite = form.terms;
  for (IntegerTerm& other : opposite) other.weight = -other.weight;
  const IntegerTerm* term = summed_term(form, axes, [&](std::int64_t weight) {
    if (weight >= 0) return false;
    Expr twin = linear(opposite, -weight - 1 - form.constant, arena);
    return std::ranges::any_of(
        guards, [&](const Guard& other) { return other.condition->op == Op::at_least_zero && other.condition->operands[0] == twin; });
  });
  if (!term) return nullptr;
  LinearForm rest = without_term(form, term->x);
  Expr solution = floor_divide(linear(rest.terms, rest.constant, arena), -term->weight);
  AxisRef axis = term->x->axes[0];
  return total(without(axes, {axis}), select(inside(solution, axis->size), at(axis, solution, x), zero_like(x)));
}

// (a + c) % n == 0: the axis takes steps of n.
Expr take_steps(const AxisSet& axes, Expr x, const Guard& guard) {
  if (guard.condition->op != Op::is_zero || guard.condition->operands[0]->op != Op::remainder) return nullptr;
  std::int64_t n = guard.condition->operands[0]->integer;
  LinearForm form = linear_form(guard.condition->operands[0]->operands[0]);
  if (form.terms.size() != 1) return nullptr;
  const IntegerTerm* term = summed_term(form, axes, [](std::int64_t weight) { return weight == 1 || weight == -1; });
  if (!term) return nullptr;
  AxisRef axis = term->x->axes[0];
  std::int64_t first = ((-form.constant * term->weight) % n + n) % n;
  return stepped_sum(axes, x, axis, first, n, ceil_divide(axis->size - first, n));
}

// A condition free of the axes leaves the sum, off every factor that it stands on: a factor left without it would copy it back.
Expr release_condition(const AxisSet& axes, Expr x, const Guard& guard, const std::vector<Factor>& factors) {
  if (overlap(guard.condition->free, axes)) return nullptr;
  std::vector<Factor> parts = factors;
  for (Factor& factor : parts) {
    if (factor.power != 1 || !is_guarded(factor.x)) continue;
    std::vector<Expr> rest = conjuncts(factor.x->operands[0]);
    if (std::erase(rest, guard.condition) > 0) factor.x = select(both(rest, *x->arena), factor.x->operands[1], zero_like(x));
  }
  return select(guard.condition, total(axes, product_of(parts, x)), zero_like(x));
}

// A factor that is one thing below a bound of the axis and another above: one sum for each range.
Expr sum_pieces(const AxisSet& axes, Expr x, const std::vector<Factor>& factors) {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  for (const Factor& factor : factors) {
    Expr y = factor.x;
    if (factor.power != 1 || y->op != Op::select || is_constant(y->operands[2], 0) || is_constant(y->operands[2], -infinity)) continue;
    if (conjuncts(y->operands[0]).size() != 1 || !axis_bound(y->operands[0], axes)) continue;
    auto piece = [&](Expr condition, Expr value) {
      std::vector<Factor> parts = without_factor(factors, y);
      parts.push_back({select(condition, value, zero_like(x)), 1});
      return total(axes, product_of(parts, x));
    };
    return add(piece(y->operands[0], y->operands[1]), piece(negate(y->operands[0]), y->operands[2]));
  }
  return nullptr;
}

// A linear combination with pieces that live on ranges of the axes: one sum a term. `factors` multiply each term.
Expr sum_terms(const AxisSet& axes, Expr combination, const std::vector<Factor>& factors) {
  Arena& arena = *combination->arena;
  auto part = [&](Expr term) {
    std::vector<Factor> parts = factors;
    parts.push_back({term, 1});
    return total(axes, product_of(parts, combination));
  };
  std::vector<Term> terms;
  for (std::size_t k = 0; k < combination->operands.size(); ++k) terms.push_back({combination->weights[k], part(combination->operands[k])});
  terms.push_back({1, part(real(arena, combination->real, combination->dtype))});
  return linear(terms, 0, arena, combination->dtype);
}

bool has_cut_piece(Expr x, const AxisSet& axes) {
  return x->op == Op::linear && std::ranges::any_of(x->operands, [&](Expr term) { return is_cut_guard(term, axes); });
}

// Binds the axes. Their names follow from the depth of the reductions inside, whatever they were called before.
Expr close(Reduction reduction, const AxisSet& axes, Expr body, DType dtype) {
  Arena& arena = *body->arena;
  Substitution to_fresh;
  AxisSet fresh;
  for (AxisRef axis : axes) {
    AxisRef name = axis->kind == AxisKind::fresh ? axis : fresh_axis(arena, axis->size);
    if (name != axis) to_fresh.emplace_back(axis, value(name));
    fresh.push_back(name);
  }
  body = substitute(body, to_fresh);
  fresh = as_set(fresh);
  std::int32_t depth = 0;
  for (Expr node : nodes_of(body))
    if (node->op == Op::reduction)
      for (AxisRef axis : node->axes) depth = std::max(depth, axis->key);
  // A bound axis that is free here belongs to a reduction still open further out: its name must stay apart.
  std::vector<AxisRef> order = axes_by_use(body, fresh);
  auto taken = [&](std::int32_t key) {
    return std::ranges::any_of(body->free, [&](AxisRef axis) { return axis->kind == AxisKind::bound && axis->key == key; });
  };
  auto clashes = [&] {
    for (std::size_t k = 0; k < order.size(); ++k)
      if (taken(depth + 1 + static_cast<std::int32_t>(k))) return true;
    return false;
  };
  while (clashes()) ++depth;
  Substitution to_bound;
  Node node{.op = Op::reduction, .dtype = dtype};
  node.reduction = reduction;
  for (AxisRef axis : order) {
    node.axes.push_back(axis_of(arena, AxisKind::bound, ++depth, axis->size));
    to_bound.emplace_back(axis, value(node.axes.back()));
  }
  node.operands = {substitute(body, to_bound)};
  return intern(arena, std::move(node));
}

// Renames what a reduction binds, so that its body can join another.
Expr opened(Expr reduction, std::vector<AxisRef>& axes) {
  Substitution table;
  for (AxisRef axis : reduction->axes) {
    axes.push_back(fresh_axis(*reduction->arena, axis->size));
    table.emplace_back(axis, value(axes.back()));
  }
  return substitute(reduction->operands[0], table);
}

bool is_sum(Expr x) { return x->op == Op::reduction && x->reduction == Reduction::sum; }

// x is floating, no constant factor stands before it, and it has every axis.
Expr sum_of(AxisSet axes, Expr x) {
  Arena& arena = *x->arena;
  if (is_sum(x)) {
    std::vector<AxisRef> all = axes;
    Expr body = opened(x, all);
    return total(all, body);
  }
  if (is_guarded(x) && is_sum(x->operands[1]) && overlap(x->operands[0]->free, axes)) {  // Else a window would be no summed axis.
    std::vector<AxisRef> all = axes;
    Expr body = opened(x->operands[1], all);
    return total(all, select(x->operands[0], body, zero_like(x)));
  }
  if (auto found = divided_axis(x, axes)) {
    auto [axis, n] = *found;
    AxisRef high = fresh_axis(arena, axis->size / n), low = fresh_axis(arena, n);
    return total(replaced(axes, axis, {high, low}), at(axis, add(scale(n, value(high)), value(low)), x));
  }
  std::vector<Factor> factors = factors_of(x);
  std::vector<Guard> guards;
  for (const Factor& factor : factors)
    if (factor.power == 1 && is_guarded(factor.x))
      for (Expr condition : conjuncts(factor.x->operands[0])) guards.push_back({condition, factor.x});
  for (const Guard& guard : guards)
    if (Expr result = solve_equality(axes, x, guard)) return result;
  for (const Guard& guard : guards)
    if (Expr result = solve_two_bounds(axes, x, guard, guards)) return result;
  for (const Guard& guard : guards)
    if (Expr result = take_steps(axes, x, guard)) return result;
  for (const Guard& guard : guards) {
    if (Expr result = release_condition(axes, x, guard, factors)) return result;
    if (auto bound = axis_bound(guard.condition, axes)) return stepped_sum(axes, x, bound->axis, bound->low, 1, bound->high - bound->low);
  }
  if (Expr result = sum_pieces(axes, x, factors)) return result;
  if (has_cut_piece(x, axes)) return sum_terms(axes, x, {});
  std::vector<Factor> outside, rest;
  for (const Factor& factor : factors) (overlap(factor.x->free, axes) ? rest : outside).push_back(factor);
  if (!outside.empty() && unsafe_axes(x).empty()) {
    outside.push_back({total(axes, product_of(rest, x)), 1});
    return product_of(outside, x);
  }
  for (const Factor& factor : factors)
    if (x->op == Op::product && factor.power == 1 && has_cut_piece(factor.x, axes))
      return sum_terms(axes, factor.x, without_factor(factors, factor.x));
  return close(Reduction::sum, axes, x, x->dtype);
}

Expr integer_sum(const AxisSet& axes, Expr body) {
  LinearForm form = linear_form(body);
  if (form.terms.size() == 1 && form.constant == 0 && form.terms[0].weight != 1)
    return scale(form.terms[0].weight, integer_sum(axes, form.terms[0].x));
  return close(Reduction::sum, axes, body, DType::i64);
}

// What a reduction of nothing gives.
Expr identity_of(Reduction reduction, Expr like) {
  Arena& arena = *like->arena;
  constexpr double infinity = std::numeric_limits<double>::infinity();
  bool floating = is_floating(like->dtype);
  switch (reduction) {
    case Reduction::sum:
      return floating ? real(arena, 0, like->dtype) : integer(arena, 0);
    case Reduction::product:
      return floating ? real(arena, 1, like->dtype) : integer(arena, 1);
    case Reduction::maximum:
      return floating ? real(arena, -infinity, like->dtype) : integer(arena, std::numeric_limits<std::int64_t>::min());
    case Reduction::argmax:
      return integer(arena, 0);
    case Reduction::any:
      return boolean(arena, false);
  }
  return nullptr;
}

// max[j](c x[j] + r) = c max[j](x[j]) + r, c > 0.
Expr maximum_of(const AxisSet& axes, Expr body) {
  if (body->op != Op::linear || !is_floating(body->dtype)) return close(Reduction::maximum, axes, body, body->dtype);
  std::vector<Term> inside, outside;
  for (std::size_t k = 0; k < body->operands.size(); ++k)
    (overlap(body->operands[k]->free, axes) ? inside : outside).push_back({body->weights[k], body->operands[k]});
  Arena& arena = *body->arena;
  double weight = inside.size() == 1 && inside[0].weight > 0 ? inside[0].weight : 1;
  for (Term& term : inside) term.weight /= weight;
  Expr rest = linear(inside, 0, arena, body->dtype);
  outside.push_back({weight, close(Reduction::maximum, axes, rest, rest->dtype)});
  return linear(outside, body->real, arena, body->dtype);
}

}  // namespace

std::vector<AxisRef> axes_by_use(Expr body, const AxisSet& axes) {
  struct Use {
    AxisRef axis;
    std::vector<std::tuple<bool, std::uint32_t, std::size_t>> places;  // inputs first: a graph that is read back has them first
    // With which the axis itself stands there, and in conditions.
    std::vector<std::tuple<std::uint32_t, std::size_t, std::int64_t>> weights;
    std::size_t first;
  };
  std::vector<Use> uses;
  for (AxisRef axis : axes) uses.push_back({axis, {}, {}, std::numeric_limits<std::size_t>::max()});
  std::size_t step = 0;
  for (Expr node : nodes_of(body)) {
    ++step;
    for (Use& use : uses) {
      if (node->op == Op::axis && node->axes[0] == use.axis) use.first = std::min(use.first, step);
      auto weigh = [&](std::uint32_t array, std::size_t place, Expr index) {
        for (const IntegerTerm& term : linear_form(index).terms)
          if (term.x->op == Op::axis && term.x->axes[0] == use.axis) use.weights.emplace_back(array, place, term.weight);
      };
      if (node->op == Op::at_least_zero || node->op == Op::is_zero) weigh(0, static_cast<std::size_t>(node->op), node->operands[0]);
      if (node->op != Op::read) continue;
      for (std::size_t k = 0; k < node->operands.size(); ++k)
        if (contains(node->operands[k]->free, use.axis)) {
          use.places.emplace_back(node->array->kind != Array::Kind::input, node->array->id, k);
          weigh(node->array->id, k, node->operands[k]);
        }
    }
  }
  for (Use& use : uses) std::ranges::sort(use.places), std::ranges::sort(use.weights);
  std::ranges::sort(uses, [](const Use& a, const Use& b) {
    return std::tie(a.places, a.axis->size, a.weights, a.first) < std::tie(b.places, b.axis->size, b.weights, b.first);
  });
  std::vector<AxisRef> order;
  for (const Use& use : uses) order.push_back(use.axis);
  return order;
}

const AxisSet& unsafe_axes(Expr x) {
  auto& table = x->arena->tables().unsafe_axes;
  if (auto found = table.find(x); found != table.end()) return found->second;
  AxisSet result;
  if (x->op == Op::read)
    for (std::size_t k = 0; k < x->operands.size(); ++k) {
      Interval range = bounds(x->operands[k]);
      if (range.low < 0 || range.high >= x->array->shape[k]) result = united(result, x->operands[k]->free);
    }
  if (x->op == Op::select)
    for_each_leaving(x, [&](Expr read, std::size_t k) {
      for (AxisRef axis : read->operands[k]->free)
        if (contains(x->free, axis)) result = united(result, {axis});
    });
  else
    for (Expr operand : x->operands) result = united(result, unsafe_axes(operand));
  if (x->op == Op::reduction) result = without(result, x->axes);
  return table.emplace(x, std::move(result)).first->second;
}

Expr sum(std::span<const AxisRef> axes, Expr body) {
  AxisSet bound;
  double repeats = 1;
  bool is_empty = false;
  for (AxisRef axis : as_set({axes.begin(), axes.end()})) {
    is_empty |= axis->size == 0;
    if (contains(body->free, axis))
      bound.push_back(axis);
    else
      repeats *= static_cast<double>(axis->size);
  }
  if (is_empty) return identity_of(Reduction::sum, body);
  if (!is_floating(body->dtype)) {
    Expr rest = bound.empty() ? body : integer_sum(bound, body);
    return scale(static_cast<std::int64_t>(repeats), rest);
  }
  auto [weight, rest] = scaled_form(body);
  if (is_constant(body)) return real(*body->arena, repeats * body->real, body->dtype);
  return scale(repeats * weight, bound.empty() ? rest : sum_of(bound, rest));
}

Expr reduce(Reduction reduction, std::span<const AxisRef> axes, Expr body) {
  if (reduction == Reduction::sum) return sum(axes, body);
  AxisSet bound;
  double repeats = 1;
  for (AxisRef axis : as_set({axes.begin(), axes.end()})) {
    if (axis->size == 0) return identity_of(reduction, body);
    if (contains(body->free, axis))
      bound.push_back(axis);
    else
      repeats *= static_cast<double>(axis->size);
  }
  if (reduction == Reduction::argmax) return bound.empty() ? integer(*body->arena, 0) : close(reduction, bound, body, DType::i64);
  if (reduction == Reduction::product && repeats != 1) body = power(body, repeats);
  if (bound.empty()) return body;
  return reduction == Reduction::maximum ? maximum_of(bound, body) : close(reduction, bound, body, body->dtype);
}

}  // namespace heed
