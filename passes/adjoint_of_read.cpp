// Solves the equations indices == positions for the axes of a read.
#include "passes/adjoint_of_read.h"

#include <algorithm>
#include <cstdlib>
#include <limits>

#include "ir/algebra.h"
#include "ir/integer.h"

namespace heed {
namespace {

bool contains(const std::vector<AxisRef>& axes, AxisRef axis) { return std::ranges::find(axes, axis) != axes.end(); }
bool touches(Expr x, const std::vector<AxisRef>& axes) {
  return std::ranges::any_of(x->free, [&](AxisRef axis) { return contains(axes, axis); });
}

// One equation a dimension: an index in terms of open axes equals a position.
struct Equation {
  Expr left, right;
};

struct OpenTerm {
  std::int64_t weight;
  AxisRef axis;
};

// A position p of the array as two: p = step * high + low - shift, so that a window that moves in steps is a plain sum for each low.
struct Phases {
  AxisRef place, high, low;
  std::int64_t shift;
};

struct System {
  Arena& arena;
  std::vector<Equation> equations;
  std::vector<AxisRef> open;
  std::vector<Expr> guards;
  Expr value;
  std::vector<Phases> phases{};

  void put(AxisRef axis, Expr solution) {
    const Substitution table{{axis, solution}};
    for (Equation& equation : equations) equation.left = substitute(equation.left, table);
    for (Expr& guard : guards) guard = substitute(guard, table);
    value = substitute(value, table);
    guards.push_back(inside(solution, axis->size));
    std::erase(open, axis);
  }
  void drop(std::size_t k) { equations.erase(equations.begin() + static_cast<std::ptrdiff_t>(k)); }
  bool is_open_axis(Expr x) const { return x->op == Op::axis && contains(open, x->axes[0]); }

  // The right side less every term of the left that is not among `mine` and the constant: what the terms of `mine` sum to.
  Expr remainder_of(const Equation& equation, const LinearForm& form, const std::vector<OpenTerm>& mine) const {
    std::vector<IntegerTerm> terms{{1, equation.right}};
    for (const IntegerTerm& term : form.terms)
      if (term.x->op != Op::axis || std::ranges::none_of(mine, [&](const OpenTerm& m) { return m.axis == term.x->axes[0]; }))
        terms.push_back({-term.weight, term.x});
    return linear(terms, -form.constant, arena);
  }
  void divide_exactly(Expr sum, std::int64_t weight, AxisRef axis) {
    if (std::abs(weight) > 1) guards.push_back(equal(remainder(sum, std::abs(weight)), integer(arena, 0)));
    put(axis, floor_divide(weight > 0 ? sum : scale(std::int64_t{-1}, sum), std::abs(weight)));
  }
};

// X // n == p and X % n == q: X == n p + q, where n is the size of the dimension of q.
void join_quotients(System& system) {
  for (std::size_t k = 0; k < system.equations.size(); ++k) {
    const Equation low = system.equations[k];
    if (low.left->op != Op::remainder || !touches(low.left, system.open)) continue;
    const std::int64_t n = low.left->integer;
    if (low.right->op != Op::axis || low.right->axes[0]->size != n) continue;
    for (std::size_t m = 0; m < system.equations.size(); ++m) {
      if (m == k) continue;
      const Equation high = system.equations[m];
      const IntegerTerm left[] = {{n, high.left}, {1, low.left}};
      Expr whole = linear(left, 0, system.arena);
      if (std::ranges::any_of(linear_form(whole).terms, [&](const IntegerTerm& term) { return term.x == low.left; })) continue;
      const IntegerTerm right[] = {{n, high.right}, {1, low.right}};
      system.equations[m] = {whole, linear(right, 0, system.arena)};
      system.drop(k);
      k = static_cast<std::size_t>(-1);  // From the start: the joined equation may be a remainder in turn.
      break;
    }
  }
}

// An equation without open axes is a guard; one with a single open axis, or with axes in mixed radix, has one solution.
bool solve_exactly(System& system) {
  for (std::size_t k = 0; k < system.equations.size(); ++k) {
    const Equation equation = system.equations[k];
    if (!touches(equation.left, system.open)) {
      system.guards.push_back(equal(equation.left, equation.right));
      system.drop(k);
      return true;
    }
    const LinearForm form = linear_form(equation.left);
    std::vector<OpenTerm> mine;
    bool affine = true;
    for (const IntegerTerm& term : form.terms) {
      if (system.is_open_axis(term.x))
        mine.push_back({term.weight, term.x->axes[0]});
      else
        affine = affine && !touches(term.x, system.open);
    }
    if (!affine) continue;
    std::ranges::sort(mine, {}, [](const OpenTerm& term) { return std::pair(-std::abs(term.weight), term.axis->id); });
    Expr rest = system.remainder_of(equation, form, mine);
    if (mine.size() == 1) {
      system.drop(k);
      system.divide_exactly(rest, mine[0].weight, mine[0].axis);
      return true;
    }
    std::int64_t room = 0;  // Largest value of the lighter terms: each weight must exceed it.
    bool mixed_radix = true;
    for (auto term = mine.rbegin(); term != mine.rend(); ++term) {
      mixed_radix = mixed_radix && term->weight > room;
      room += term->weight * (term->axis->size - 1);
    }
    if (!mixed_radix) continue;
    system.drop(k);
    for (std::size_t m = 0; m + 1 < mine.size(); ++m) {
      system.put(mine[m].axis, floor_divide(rest, mine[m].weight));
      rest = remainder(rest, mine[m].weight);
    }
    system.divide_exactly(rest, mine.back().weight, mine.back().axis);
    return true;
  }
  return false;
}

// A window in steps, s r + u == p + shift: of p the steps and the phase, of u as well, so that nothing is left of the division. The steps
// are then solved for as those of a plain window.
bool split_phases(System& system, std::size_t k, const LinearForm& form, const OpenTerm& steps) {
  Expr place = system.equations[k].right;
  const std::int64_t s = steps.weight;
  if (s <= 1 || place->op != Op::axis || place->axes[0]->size <= s || form.constant > 0) return false;
  std::optional<OpenTerm> window;
  for (const IntegerTerm& term : form.terms) {
    if (!system.is_open_axis(term.x)) return false;
    if (term.x->axes[0] == steps.axis || term.weight % s == 0) continue;
    if (window || term.weight != 1) return false;
    window = OpenTerm{term.weight, term.x->axes[0]};
  }
  Arena& arena = system.arena;
  AxisRef high = fresh_axis(arena, ceil_divide(place->axes[0]->size - form.constant, s)), low = fresh_axis(arena, s);
  system.phases.push_back({place->axes[0], high, low, -form.constant});
  const IntegerTerm position[] = {{s, value(high)}, {1, value(low)}};
  system.equations[k].right = linear(position, form.constant, arena);
  if (!window) return true;
  AxisRef further = fresh_axis(arena, ceil_divide(window->axis->size, s));
  if (further->size != 1) system.open.push_back(further);
  const IntegerTerm of_window[] = {{s, value(further)}, {1, value(low)}};
  system.put(window->axis, linear(of_window, 0, arena));
  return true;
}

// A window, s r + d u: solved for the longest axis, the others stay summed.
bool solve_window(System& system, std::size_t k) {
  const Equation equation = system.equations[k];
  const LinearForm form = linear_form(equation.left);
  std::optional<OpenTerm> best;
  for (const IntegerTerm& term : form.terms) {
    if (!system.is_open_axis(term.x)) continue;
    AxisRef axis = term.x->axes[0];
    if (std::ranges::any_of(form.terms, [&](const IntegerTerm& other) { return other.x != term.x && touches(other.x, {axis}); })) continue;
    const bool better =
        !best || axis->size > best->axis->size || (axis->size == best->axis->size && std::abs(term.weight) < std::abs(best->weight));
    if (better) best = OpenTerm{term.weight, axis};
  }
  if (!best) return false;
  if (split_phases(system, k, form, *best)) return true;
  Expr rest = system.remainder_of(equation, form, {*best});
  system.drop(k);
  system.divide_exactly(rest, best->weight, best->axis);
  return true;
}

// x // n == p: x == n p + s; x % n == p: x == n t + p; s and t are summed.
bool open_quotient(System& system, std::size_t k) {
  const Equation equation = system.equations[k];
  const LinearForm form = linear_form(equation.left);
  for (const IntegerTerm& term : form.terms) {
    Expr inner = term.x;
    if ((inner->op != Op::quotient && inner->op != Op::remainder) || std::abs(term.weight) != 1 || !touches(inner, system.open)) continue;
    std::vector<AxisRef> own;
    for (AxisRef axis : inner->free)
      if (contains(system.open, axis)) own.push_back(axis);
    if (std::ranges::any_of(form.terms, [&](const IntegerTerm& other) { return other.x != inner && touches(other.x, own); })) continue;
    const Interval range = bounds(inner->operands[0]);
    constexpr std::int64_t lowest = std::numeric_limits<std::int64_t>::min(), highest = std::numeric_limits<std::int64_t>::max();
    const std::int64_t n = inner->integer;
    if (inner->op == Op::remainder && (range.low == lowest || range.high == highest)) continue;
    std::vector<IntegerTerm> terms{{1, equation.right}};
    for (const IntegerTerm& other : form.terms)
      if (other.x != inner) terms.push_back({-other.weight, other.x});
    Expr found = scale(term.weight, linear(terms, -form.constant, system.arena));
    if (inner->op == Op::quotient) {
      AxisRef lost = fresh_axis(system.arena, n);
      system.open.push_back(lost);
      system.equations[k] = {subtract(inner->operands[0], value(lost)), scale(n, found)};
    } else {
      const std::int64_t first = range.low >= 0 ? range.low / n : -ceil_divide(-range.low, n);
      AxisRef lost = fresh_axis(system.arena, (range.high - first * n) / n + 1);
      system.open.push_back(lost);
      system.guards.push_back(inside(found, n));
      system.equations[k] = {subtract(inner->operands[0], shift(scale(n, value(lost)), first * n)), found};
    }
    return true;
  }
  return false;
}

// The value as an array of its own, in which phases are dimensions, read at the positions of the array.
Expr read_phases(ArrayRef array, const std::vector<Phases>& phases, Expr value_at, const std::string& name) {
  std::vector<AxisRef> axes;
  std::vector<Expr> at;
  for (AxisRef place : positions(array)) {
    auto split = std::ranges::find(phases, place, &Phases::place);
    if (split == phases.end()) {
      axes.push_back(place);
      at.push_back(value(place));
      continue;
    }
    Expr shifted = shift(value(place), split->shift);
    axes.insert(axes.end(), {split->high, split->low});
    at.insert(at.end(), {floor_divide(shifted, split->low->size), remainder(shifted, split->low->size)});
  }
  return read_stored(define(axes, value_at, value_at->dtype, name), at);
}

}  // namespace

Expr adjoint_of_read(ArrayRef array, std::span<const Expr> indices, Expr adjoint, const AxisSet& axes) {
  Arena& arena = *adjoint->arena;
  System system{arena, {}, {}, {}, nullptr};
  Substitution fresh;
  for (AxisRef axis : axes) {
    AxisRef stand_in = fresh_axis(arena, axis->size);
    fresh.emplace_back(axis, value(stand_in));
    if (axis->size != 1) system.open.push_back(stand_in);
  }
  system.value = substitute(adjoint, fresh);
  const std::vector<AxisRef> places = positions(array);
  for (std::size_t k = 0; k < indices.size(); ++k) system.equations.push_back({substitute(indices[k], fresh), value(places[k])});

  join_quotients(system);
  for (bool progress = true; progress && !system.equations.empty();) {
    progress = solve_exactly(system);
    for (std::size_t k = 0; !progress && k < system.equations.size(); ++k) progress = solve_window(system, k) || open_quotient(system, k);
  }
  for (const Equation& equation : system.equations) system.guards.push_back(equal(equation.left, equation.right));
  Expr zero = real(arena, 0, adjoint->dtype);
  Expr result = sum(system.open, select(both(system.guards, arena), system.value, zero));
  if (is_constant(result)) return result;
  const std::string name = array->name.empty() ? "" : (system.equations.empty() ? "phases_" : "scattered_") + array->name;
  if (!system.equations.empty() || !system.phases.empty()) result = read_phases(array, system.phases, result, name);
  return result;
}

}  // namespace heed
