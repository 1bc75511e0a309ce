// Floating linear combinations and products of powers, functions and casts. Constants gather in linear combinations only: c(a + b) is
// ca + cb, so that equal mathematics is one node. Algebra takes values as finite: 0 x is 0.
#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <stdexcept>

#include "ir/arena.h"
#include "ir/function.h"

namespace heed {

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

bool is_whole(double value) { return value == std::floor(value); }

class Sum {
 public:
  Sum(Arena& arena, DType dtype, double constant) : arena_(arena), dtype_(dtype), constant_(constant) {}

  void put(double weight, Expr x) {
    if (weight == 0) return;
    if (x->op == Op::constant) {
      constant_ += weight * x->real;
      return;
    }
    if (x->op == Op::linear) {
      if (x->real != 0) constant_ += weight * x->real;
      for (std::size_t k = 0; k < x->operands.size(); ++k) put(weight * x->weights[k], x->operands[k]);
      return;
    }
    if (takes_weight(x, weight)) {
      put(1, select(x->operands[0], scale(weight, x->operands[1]), x->operands[2]));
      return;
    }
    auto [entry, is_new] = weights_.try_emplace(x->id, 0.0, x);
    entry->second.first += weight;
  }

  Expr node() {
    while (settle_weights()) {
    }
    if (Expr masked = masked_whole()) return masked;
    if (Expr joined = join_guards()) return joined;
    Node node{.op = Op::linear, .dtype = dtype_};
    node.real = constant_;
    for (auto& [id, entry] : weights_)
      if (entry.first != 0) {
        node.weights.push_back(entry.first);
        node.operands.push_back(entry.second);
      }
    if (node.operands.empty() || constant_ == -infinity) return real(arena_, constant_, dtype_);
    if (node.operands.size() == 1 && node.weights[0] == 1 && constant_ == 0) return node.operands[0];
    return intern(arena_, std::move(node));
  }

 private:
  // The weight goes inside a guard, and of a masked score.
  static bool takes_weight(Expr x, double weight) {
    if (x->op != Op::select || weight == 1 || weight == 0) return false;
    return is_constant(x->operands[2], 0) || (weight > 0 && is_constant(x->operands[2], -infinity));
  }

  // Equal selections were added up: their weight is no longer 1.
  bool settle_weights() {
    for (auto& [id, entry] : weights_) {
      auto [weight, x] = entry;
      if (!takes_weight(x, weight)) continue;
      weights_.erase(id);
      put(weight, x);
      return true;
    }
    return false;
  }

  // What is added to a masked value is masked with it.
  Expr masked_whole() {
    auto is_masked = [](const auto& each) {
      auto [weight, x] = each.second;
      return weight == 1 && x->op == Op::select && is_constant(x->operands[2], -infinity);
    };
    auto found = std::ranges::find_if(weights_, is_masked);
    if (found == weights_.end()) return nullptr;
    Expr masked = found->second.second;
    weights_.erase(found);
    std::vector<Term> terms{{1, masked->operands[1]}};
    for (auto& [id, entry] : weights_) terms.push_back({entry.first, entry.second});
    if (terms.size() == 1 && constant_ == 0) return masked;
    return select(masked->operands[0], linear(terms, constant_, arena_, dtype_), masked->operands[2]);
  }

  // Terms under one guard share it.
  Expr join_guards() {
    std::map<std::uint32_t, std::vector<std::pair<double, Expr>>> by_guard;
    for (auto& [id, entry] : weights_)
      if (entry.first != 0 && is_guarded(entry.second)) by_guard[entry.second->operands[0]->id].push_back(entry);
    for (auto& [id, same] : by_guard) {
      if (same.size() < 2) continue;
      std::vector<Term> inner, outer;
      for (auto& [weight, x] : same) inner.push_back({weight, x->operands[1]});
      for (auto& [other, entry] : weights_)
        if (entry.first != 0 && std::ranges::find(same, entry) == same.end()) outer.push_back({entry.first, entry.second});
      Expr condition = same[0].second->operands[0];
      outer.push_back({1, select(condition, linear(inner, 0, arena_, dtype_), real(arena_, 0, dtype_))});
      return linear(outer, constant_, arena_, dtype_);
    }
    return nullptr;
  }

  Arena& arena_;
  DType dtype_;
  double constant_;
  std::map<std::uint32_t, std::pair<double, Expr>> weights_;
};

class Powers {
 public:
  Powers(Arena& arena, DType dtype) : arena_(arena), dtype_(dtype) {}

  void put(Expr x, double power) {
    if (power == 0) return;
    if (x->op == Op::constant) {
      coefficient_ *= std::pow(x->real, power);
      return;
    }
    auto [weight, rest] = scaled_form(x);
    if (weight != 1 && (is_whole(power) || weight > 0)) {
      coefficient_ *= std::pow(weight, power);
      put(rest, power);
      return;
    }
    if (x->op == Op::product && is_whole(power)) {
      for (std::size_t k = 0; k < x->operands.size(); ++k) put(x->operands[k], x->weights[k] * power);
      return;
    }
    if (x->op == Op::product && x->operands.size() == 1 && std::fmod(x->weights[0], 2) != 0) {  // (x^a)^b = x^(ab) unless a is even
      put(x->operands[0], x->weights[0] * power);
      return;
    }
    auto [entry, is_new] = powers_.try_emplace(x->id, Factor{x, 0});
    entry->second.power += power;
  }

  Expr node() {
    std::erase_if(powers_, [](const auto& entry) { return entry.second.power == 0; });
    if (coefficient_ == 0) return real(arena_, 0, dtype_);
    if (powers_.empty()) return real(arena_, coefficient_, dtype_);
    if (Expr guarded = guard_unsafe()) return scale(coefficient_, guarded);
    if (Expr guarded = guard_by_indicator()) return scale(coefficient_, guarded);
    Node node{.op = Op::product, .dtype = dtype_};
    for (auto& [id, factor] : powers_) {
      node.operands.push_back(factor.x);
      node.weights.push_back(factor.power);
    }
    Expr x = node.operands.size() == 1 && node.weights[0] == 1 ? node.operands[0] : intern(arena_, std::move(node));
    return scale(coefficient_, x);
  }

 private:
  // A factor whose read may leave its array copies the conditions that protect it: 0 times what lies outside is no zero.
  Expr guard_unsafe() {
    std::vector<Expr> conditions;
    for (auto& [id, factor] : powers_)
      if (factor.power == 1 && is_guarded(factor.x))
        for (Expr part : conjuncts(factor.x->operands[0])) conditions.push_back(part);
    if (conditions.empty()) return nullptr;
    for (auto& [id, factor] : powers_) {
      if (unsafe_axes(factor.x).empty()) continue;
      std::vector<Expr> mine = protecting_conditions(factor.x, conditions);
      for (Expr within = factor.x; is_guarded(within); within = within->operands[1])  // A condition that reads is asked within others.
        for (Expr part : conjuncts(within->operands[0])) std::erase(mine, part);
      if (mine.empty()) continue;
      Expr bare = power(factor.x, factor.power), guarded = select(both(mine, arena_), bare, real(arena_, 0, dtype_));
      if (guarded == bare) continue;
      std::vector<Factor> factors;
      for (auto& [other, kept] : powers_)
        if (other != id) factors.push_back(kept);
      factors.push_back({guarded, 1});
      return product(factors, arena_, dtype_);
    }
    return nullptr;
  }

  // One where a condition holds, else zero, guards a factor that has its axes.
  Expr guard_by_indicator() {
    for (auto& [id, indicator] : powers_) {
      if (indicator.power != 1 || !is_guarded(indicator.x) || !is_constant(indicator.x->operands[1])) continue;
      for (auto& [other, factor] : powers_) {
        if (other == id || factor.power < 0 || is_constant_guard(factor.x) || !is_subset(indicator.x->free, factor.x->free)) continue;
        std::vector<Factor> factors;
        for (auto& [kept_id, kept] : powers_)
          if (kept_id != id && kept_id != other) factors.push_back(kept);
        Expr guarded = scale(indicator.x->operands[1]->real, power(factor.x, factor.power));
        factors.push_back({select(indicator.x->operands[0], guarded, indicator.x->operands[2]), 1});
        return product(factors, arena_, dtype_);
      }
    }
    return nullptr;
  }
  static bool is_constant_guard(Expr x) { return is_guarded(x) && is_constant(x->operands[1]); }

  Arena& arena_;
  DType dtype_;
  double coefficient_ = 1;
  std::map<std::uint32_t, Factor> powers_;
};

// Powers of integers are whole and positive; weights stay whole.
Expr integer_product(std::span<const Factor> factors, Arena& arena) {
  std::int64_t coefficient = 1;
  std::map<std::uint32_t, Factor> powers;
  auto put = [&](auto& self, Expr x, double exponent) -> void {
    if (exponent < 0 || !is_whole(exponent)) throw std::logic_error("product: an integer to a negative or broken power");
    if (x->op == Op::constant) {
      for (int k = 0; k < exponent; ++k) coefficient *= x->integer;
    } else if (x->op == Op::linear && x->operands.size() == 1 && x->integer == 0) {
      for (int k = 0; k < exponent; ++k) coefficient *= x->integers[0];
      self(self, x->operands[0], exponent);
    } else if (x->op == Op::product) {
      for (std::size_t k = 0; k < x->operands.size(); ++k) self(self, x->operands[k], x->weights[k] * exponent);
    } else {
      auto [entry, is_new] = powers.try_emplace(x->id, Factor{x, 0});
      entry->second.power += exponent;
    }
  };
  for (const Factor& factor : factors) put(put, factor.x, factor.power);
  std::erase_if(powers, [](const auto& entry) { return entry.second.power == 0; });
  if (coefficient == 0 || powers.empty()) return integer(arena, coefficient);
  Node node{.op = Op::product, .dtype = DType::i64};
  for (auto& [id, factor] : powers) {
    node.operands.push_back(factor.x);
    node.weights.push_back(factor.power);
  }
  bool single = node.operands.size() == 1 && node.weights[0] == 1;
  return scale(coefficient, single ? node.operands[0] : intern(arena, std::move(node)));
}

DType result_type(const ScalarFunction& function, std::span<const Expr> arguments) {
  if (function.result != DType::f32) return function.result;
  return function.domain == ScalarFunction::Domain::integer ? DType::f32 : arguments[0]->dtype;
}

// The value of a function of constants; null where it cannot be said while compiling.
Expr folded(const ScalarFunction& function, std::span<const Expr> arguments, DType dtype) {
  if (!std::ranges::all_of(arguments, [](Expr x) { return is_constant(x); })) return nullptr;
  Arena& arena = *arguments[0]->arena;
  if (is_floating(arguments[0]->dtype)) {
    if (!function.evaluate || !is_floating(dtype)) return nullptr;
    std::vector<double> values;
    for (Expr x : arguments) values.push_back(x->real);
    return real(arena, function.evaluate(values), dtype);
  }
  if (!function.evaluate_integer || dtype != DType::i64) return nullptr;
  std::vector<std::int64_t> values;
  for (Expr x : arguments) values.push_back(x->integer);
  return integer(arena, function.evaluate_integer(values));
}

Expr raw_apply(const ScalarFunction& function, std::vector<Expr> arguments, DType dtype) {
  Arena& arena = *arguments[0]->arena;
  Node node{.op = Op::function, .dtype = dtype};
  node.function = &function;
  node.operands = std::move(arguments);
  return intern(arena, std::move(node));
}

// The larger of values, in one order; constants last.
Expr larger(Expr a, Expr b) {
  if (a == b) return a;
  if (is_constant(a) || (!is_constant(b) && b->id < a->id)) std::swap(a, b);
  if (is_constant(b) && is_floating(b->dtype) && b->real == -infinity) return a;
  if (is_constant(b) && a->op == Op::function && a->function == &functions::maximum && is_constant(a->operands[1])) {
    Expr inner = a->operands[1];
    bool outer_wins = is_floating(b->dtype) ? b->real > inner->real : b->integer > inner->integer;
    return outer_wins ? larger(a->operands[0], b) : a;
  }
  return raw_apply(functions::maximum, {a, b}, a->dtype);
}

// exp(x + c log(y)) = y^c exp(x), and what is masked before is zero after. Null where there is neither.
Expr exponential_of_parts(Expr x) {
  if (x->op == Op::select && is_constant(x->operands[2], -infinity))
    return select(x->operands[0], apply(functions::exp, {x->operands[1]}), real(*x->arena, 0, x->dtype));
  if (x->op != Op::linear) return nullptr;
  auto is_logarithm = [](Expr term) { return term->op == Op::function && term->function == &functions::log; };
  if (std::ranges::none_of(x->operands, is_logarithm)) return nullptr;
  std::vector<Factor> factors;
  std::vector<Term> rest;
  for (std::size_t k = 0; k < x->operands.size(); ++k)
    if (is_logarithm(x->operands[k]))
      factors.push_back({x->operands[k]->operands[0], x->weights[k]});
    else
      rest.push_back({x->weights[k], x->operands[k]});
  factors.push_back({apply(functions::exp, {linear(rest, x->real, *x->arena, x->dtype)}), 1});
  return product(factors, *x->arena, x->dtype);
}

}  // namespace

Expr real(Arena& arena, double value, DType dtype) {
  Node node{.op = Op::constant, .dtype = dtype};
  node.real = value == 0 ? 0 : value;  // -0 is 0
  return intern(arena, std::move(node));
}

Expr integer(Arena& arena, std::int64_t value) {
  Node node{.op = Op::constant, .dtype = DType::i64};
  node.integer = value;
  return intern(arena, std::move(node));
}

Expr boolean(Arena& arena, bool value) {
  Node node{.op = Op::constant, .dtype = DType::boolean};
  node.integer = value;
  return intern(arena, std::move(node));
}

Expr value(AxisRef axis) {
  if (axis->size == 1) return integer(*axis->arena, 0);
  Node node{.op = Op::axis, .dtype = DType::i64};
  node.axes = {axis};
  return intern(*axis->arena, std::move(node));
}

bool is_constant(Expr x) { return x->op == Op::constant; }
bool is_constant(Expr x, double value) {
  return x->op == Op::constant && (is_floating(x->dtype) ? x->real == value : static_cast<double>(x->integer) == value);
}
bool is_guarded(Expr x) { return x->op == Op::select && is_floating(x->dtype) && is_constant(x->operands[2], 0); }

std::pair<double, Expr> scaled_form(Expr x) {
  if (x->op == Op::linear && x->operands.size() == 1 && x->real == 0) return {x->weights[0], x->operands[0]};
  return {1, x};
}

std::vector<Factor> factors_of(Expr x) {
  if (x->op != Op::product) return {{x, 1}};
  std::vector<Factor> factors;
  for (std::size_t k = 0; k < x->operands.size(); ++k) factors.push_back({x->operands[k], x->weights[k]});
  return factors;
}

Expr linear(std::span<const Term> terms, double constant, Arena& arena, DType dtype) {
  Sum sum(arena, dtype, constant);
  for (const Term& term : terms) sum.put(term.weight, term.x);
  return sum.node();
}

Expr add(Expr a, Expr b) {
  if (!is_floating(a->dtype)) {
    IntegerTerm terms[] = {{1, a}, {1, b}};
    return linear(terms, 0, *a->arena);
  }
  Term terms[] = {{1, a}, {1, b}};
  return linear(terms, 0, *a->arena, a->dtype);
}

Expr subtract(Expr a, Expr b) {
  if (!is_floating(a->dtype)) {
    IntegerTerm terms[] = {{1, a}, {-1, b}};
    return linear(terms, 0, *a->arena);
  }
  Term terms[] = {{1, a}, {-1, b}};
  return linear(terms, 0, *a->arena, a->dtype);
}

Expr scale(double weight, Expr x) {
  if (!is_floating(x->dtype)) return scale(static_cast<std::int64_t>(weight), x);
  Term term{weight, x};
  return linear(std::span(&term, 1), 0, *x->arena, x->dtype);
}

Expr product(std::span<const Factor> factors, Arena& arena, DType dtype) {
  if (!is_floating(dtype)) return integer_product(factors, arena);
  Powers powers(arena, dtype);
  for (const Factor& factor : factors) powers.put(factor.x, factor.power);
  return powers.node();
}

Expr multiply(Expr a, Expr b) {
  Factor factors[] = {{a, 1}, {b, 1}};
  return product(factors, *a->arena, a->dtype);
}

Expr divide(Expr a, Expr b) {
  Factor factors[] = {{a, 1}, {b, -1}};
  return product(factors, *a->arena, a->dtype);
}

Expr power(Expr x, double exponent) {
  Factor factor{x, exponent};
  return product(std::span(&factor, 1), *x->arena, x->dtype);
}

Expr apply(const ScalarFunction& function, std::span<const Expr> arguments) {
  if (static_cast<int>(arguments.size()) != function.arity) throw std::logic_error("apply: wrong number of arguments");
  DType dtype = result_type(function, arguments);
  if (Expr constant = folded(function, arguments, dtype)) return constant;
  if (&function == &functions::maximum) return larger(arguments[0], arguments[1]);
  if (&function == &functions::exp)
    if (Expr made = exponential_of_parts(arguments[0])) return made;
  if (&function == &functions::reciprocal_or_zero) {
    auto [weight, rest] = scaled_form(arguments[0]);
    if (weight != 1) return scale(1 / weight, apply(function, {rest}));
  }
  if (&function == &functions::stop_gradient && (is_constant(arguments[0]) || !is_floating(dtype))) return arguments[0];
  if (&function == &functions::straight_through && arguments[0] == arguments[1]) return arguments[0];
  return raw_apply(function, {arguments.begin(), arguments.end()}, dtype);
}

Expr apply(const ScalarFunction& function, std::initializer_list<Expr> arguments) {
  return apply(function, std::span(arguments.begin(), arguments.size()));
}

Expr cast(DType to, Expr x) {
  DType computed = compute_type(to);
  if (is_constant(x)) {
    if (is_floating(to)) return real(*x->arena, round_to(to, is_floating(x->dtype) ? x->real : static_cast<double>(x->integer)), computed);
    if (to == DType::boolean) return boolean(*x->arena, is_floating(x->dtype) ? x->real != 0 : x->integer != 0);
    if (!is_floating(x->dtype)) return integer(*x->arena, wrap_to(to, x->integer));
  }
  bool wide = to == DType::i64 || to == DType::f64 || to == DType::f32 || to == DType::boolean;
  if (wide && x->dtype == computed) return x;
  if (x->op == Op::cast && x->to == to) return x;
  if (is_floating(to) && x->dtype == DType::boolean) return select(x, real(*x->arena, 1, computed), real(*x->arena, 0, computed));
  if (to == DType::i32 || to == DType::i8 || to == DType::u8)  // Nothing to wrap.
    if (x->dtype == DType::i64) {
      Interval range = bounds(x);
      if (wrap_to(to, range.low) == range.low && wrap_to(to, range.high) == range.high) return x;
    }
  Node node{.op = Op::cast, .dtype = computed};
  node.to = to;
  node.operands = {x};
  return intern(*x->arena, std::move(node));
}

}  // namespace heed
