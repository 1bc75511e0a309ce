// Linear combinations, quotients and remainders, and the intervals that decide them.
#include <algorithm>
#include <functional>
#include <limits>
#include <map>
#include <numeric>
#include <optional>
#include <stdexcept>

#include "ir/arena.h"
#include "ir/function.h"
#include "ir/integer.h"

namespace heed {

namespace {

constexpr std::int64_t lowest = std::numeric_limits<std::int64_t>::min();
constexpr std::int64_t highest = std::numeric_limits<std::int64_t>::max();

// Saturating, with the extremes as infinities.
std::int64_t bounded(__int128 value) { return value <= lowest ? lowest : value >= highest ? highest : static_cast<std::int64_t>(value); }
bool is_infinite(std::int64_t value) { return value == lowest || value == highest; }
std::int64_t bounded_sum(std::int64_t a, std::int64_t b) {
  if (is_infinite(a)) return a;
  if (is_infinite(b)) return b;
  return bounded(static_cast<__int128>(a) + b);
}
std::int64_t bounded_product(std::int64_t a, std::int64_t b) {
  if (a == 0 || b == 0) return 0;
  if (is_infinite(a) || is_infinite(b)) return (a > 0) == (b > 0) ? highest : lowest;
  return bounded(static_cast<__int128>(a) * b);
}
Interval meet(Interval a, Interval b) { return {std::max(a.low, b.low), std::min(a.high, b.high)}; }

Interval compute_bounds(Expr x) {
  switch (x->op) {
    case Op::constant:
      return {x->integer, x->integer};
    case Op::axis:
      return {0, std::max<std::int64_t>(x->axes[0]->size - 1, 0)};
    case Op::linear: {
      Interval result{x->integer, x->integer};
      for (std::size_t k = 0; k < x->operands.size(); ++k) {
        Interval part = bounds(x->operands[k]);
        std::int64_t weight = x->integers[k];
        std::int64_t a = bounded_product(weight, part.low), b = bounded_product(weight, part.high);
        result = {bounded_sum(result.low, std::min(a, b)), bounded_sum(result.high, std::max(a, b))};
      }
      return result;
    }
    case Op::product: {
      Interval result{1, 1};
      for (std::size_t k = 0; k < x->operands.size(); ++k)
        for (int times = 0; times < static_cast<int>(x->weights[k]); ++times) {
          Interval part = bounds(x->operands[k]);
          std::int64_t corners[] = {bounded_product(result.low, part.low), bounded_product(result.low, part.high),
                                    bounded_product(result.high, part.low), bounded_product(result.high, part.high)};
          result = {*std::ranges::min_element(corners), *std::ranges::max_element(corners)};
        }
      return result;
    }
    case Op::quotient: {
      Interval part = bounds(x->operands[0]);
      return {is_infinite(part.low) ? part.low : floored(part.low, x->integer),
              is_infinite(part.high) ? part.high : floored(part.high, x->integer)};
    }
    case Op::remainder: {
      Interval part = bounds(x->operands[0]);
      if (part.low >= 0 && part.high < x->integer) return part;
      return {0, x->integer - 1};
    }
    case Op::select: {
      Interval a = bounds(x->operands[1]), b = bounds(x->operands[2]);
      return {std::min(a.low, b.low), std::max(a.high, b.high)};
    }
    case Op::cast: {
      Interval type = range_of(x->to);
      if (is_floating(x->operands[0]->dtype)) return type;
      Interval part = x->operands[0]->dtype == DType::boolean ? Interval{0, 1} : bounds(x->operands[0]);
      return part.low >= type.low && part.high <= type.high ? part : type;
    }
    case Op::read: {
      if (x->array->kind == Array::Kind::definition) return meet(range_of(x->array->dtype), bounds(x->array->body));
      return x->array->range ? meet(*x->array->range, range_of(x->array->dtype)) : range_of(x->array->dtype);
    }
    case Op::function:
      if (x->function == &functions::maximum) {
        Interval a = bounds(x->operands[0]), b = bounds(x->operands[1]);
        return {std::max(a.low, b.low), std::max(a.high, b.high)};
      }
      if (x->function == &functions::stop_gradient) return bounds(x->operands[0]);
      return {lowest, highest};
    case Op::reduction:
      if (x->reduction == Reduction::argmax) return {0, std::max<std::int64_t>(x->axes[0]->size - 1, 0)};
      if (x->reduction == Reduction::maximum) return bounds(x->operands[0]);
      return {lowest, highest};
    default:
      return {lowest, highest};
  }
}

bool is_finite(Interval interval) { return !is_infinite(interval.low) && !is_infinite(interval.high); }

// An integer combination before it becomes a node.
class Combination {
 public:
  explicit Combination(std::int64_t constant) : constant_(constant) {}

  void put(std::int64_t weight, Expr x) {
    if (weight == 0) return;
    if (x->op == Op::constant) {
      constant_ += weight * x->integer;
    } else if (x->op == Op::linear) {
      constant_ += weight * x->integer;
      for (std::size_t k = 0; k < x->operands.size(); ++k) put(weight * x->integers[k], x->operands[k]);
    } else {
      auto [entry, is_new] = weights_.try_emplace(x->id, 0, x);
      entry->second.first += weight;
    }
  }

  // n (x // n) + y % n = x where x - y is a multiple of n. Without it quotients and remainders stay in every loop.
  bool join_quotient() {
    for (auto& [id, remainder] : weights_) {
      auto [weight, m] = remainder;
      if (m->op != Op::remainder || weight == 0) continue;
      std::int64_t n = m->integer;
      for (auto& [other_id, quotient] : weights_) {
        auto [other_weight, q] = quotient;
        if (other_weight != weight * n || (q->op != Op::quotient && q->op != Op::remainder)) continue;
        // The same of digits that are written otherwise: y % n + n (y // n) is y, y % n + n (y // n % k) is y % (n k).
        Expr y = m->operands[0], above = floor_divide(y, n);
        if (q == above || (q->op == Op::remainder && q->operands[0] == above)) {
          Expr whole = q == above ? y : heed::remainder(y, n * q->integer);
          weights_.erase(m->id);
          weights_.erase(q->id);
          put(weight, whole);
          return true;
        }
        if (q->op != Op::quotient) continue;
        if (q->integer != n) continue;
        LinearForm difference = linear_form(subtract(q->operands[0], m->operands[0]));
        bool multiple = difference.constant % n == 0 &&
                        std::ranges::all_of(difference.terms, [&](const IntegerTerm& term) { return term.weight % n == 0; });
        if (!multiple) continue;
        Expr whole = q->operands[0];
        weights_.erase(m->id);
        weights_.erase(q->id);
        put(weight, whole);
        return true;
      }
    }
    return false;
  }

  Expr node(Arena& arena) {
    while (join_quotient()) {
    }
    Node node{.op = Op::linear, .dtype = DType::i64};
    node.integer = constant_;
    for (auto& [id, entry] : weights_)
      if (entry.first != 0) {
        node.integers.push_back(entry.first);
        node.operands.push_back(entry.second);
      }
    if (node.operands.empty()) return integer(arena, constant_);
    if (node.operands.size() == 1 && node.integers[0] == 1 && constant_ == 0) return node.operands[0];
    return intern(arena, std::move(node));
  }

 private:
  std::int64_t constant_;
  std::map<std::uint32_t, std::pair<std::int64_t, Expr>> weights_;  // by id: operands are sorted
};

std::int64_t common_divisor(const LinearForm& form, std::int64_t start) {
  for (const IntegerTerm& term : form.terms) start = std::gcd(start, term.weight);
  return start;
}

Expr from_form(const LinearForm& form, Arena& arena) { return linear(form.terms, form.constant, arena); }

}  // namespace

Interval bounds(Expr x) {
  auto& table = x->arena->tables().bounds;
  if (auto found = table.find(x); found != table.end()) return found->second;
  Interval result = x->dtype == DType::boolean ? Interval{0, 1} : compute_bounds(x);
  table.emplace(x, result);
  return result;
}

Expr linear(std::span<const IntegerTerm> terms, std::int64_t constant, Arena& arena) {
  Combination combination(constant);
  for (const IntegerTerm& term : terms) combination.put(term.weight, term.x);
  return combination.node(arena);
}

LinearForm linear_form(Expr x) {
  if (x->op == Op::constant) return {{}, x->integer};
  if (x->op != Op::linear) return {{{1, x}}, 0};
  LinearForm form{{}, x->integer};
  for (std::size_t k = 0; k < x->operands.size(); ++k) form.terms.push_back({x->integers[k], x->operands[k]});
  return form;
}

bool is_affine(Expr index) {
  if (index->op == Op::read) return index->array->kind == Array::Kind::input && index->array->shape.empty() && index->array->range;
  if (index->op == Op::reduction) return false;
  return std::ranges::all_of(index->operands, is_affine);
}

Expr scale(std::int64_t weight, Expr x) {
  IntegerTerm term{weight, x};
  return linear(std::span(&term, 1), 0, *x->arena);
}

Expr shift(Expr x, std::int64_t constant) {
  IntegerTerm term{1, x};
  return linear(std::span(&term, 1), constant, *x->arena);
}

namespace {

// x as g a + r with 0 <= r < g, where g > 1 divides n: what r is does not matter to x // n, and passes through x % n.
struct Parts {
  std::int64_t g;
  Expr a, r;
};
std::optional<Parts> parts_below(const LinearForm& form, std::int64_t n, Arena& arena) {
  std::vector<std::int64_t> candidates;
  for (const IntegerTerm& term : form.terms)
    if (std::int64_t g = std::gcd(term.weight, n); g > 1) candidates.push_back(g);
  std::ranges::sort(candidates, std::greater<>());
  for (std::int64_t g : candidates) {
    LinearForm a{{}, floored(form.constant, g)}, r{{}, floored_remainder(form.constant, g)};
    for (const IntegerTerm& term : form.terms) {
      if (term.weight % g == 0)
        a.terms.push_back({term.weight / g, term.x});
      else
        r.terms.push_back(term);
    }
    Expr rest = from_form(r, arena);
    Interval range = bounds(rest);
    if (range.low >= 0 && range.high < g) return Parts{g, from_form(a, arena), rest};
  }
  return std::nullopt;
}

}  // namespace

Expr floor_divide(Expr x, std::int64_t n) {
  if (n <= 0) throw std::logic_error("floor_divide: divisor must be positive");
  if (n == 1) return x;
  Arena& arena = *x->arena;
  Interval range = bounds(x);
  if (is_finite(range) && floored(range.low, n) == floored(range.high, n)) return integer(arena, floored(range.low, n));
  LinearForm form = linear_form(x);
  LinearForm whole{{}, floored(form.constant, n)}, rest{{}, floored_remainder(form.constant, n)};
  for (const IntegerTerm& term : form.terms) {  // The residue keeps its sign, as in `remainder`, so that the two join again.
    if (term.weight / n) whole.terms.push_back({term.weight / n, term.x});
    if (term.weight % n) rest.terms.push_back({term.weight % n, term.x});
  }
  if (!whole.terms.empty() || whole.constant != 0) {
    whole.terms.push_back({1, floor_divide(from_form(rest, arena), n)});
    return from_form(whole, arena);
  }
  if (std::int64_t divisor = common_divisor(form, n); divisor > 1) {  // (g x + c) // (g n) = (x + c // g) // n
    LinearForm smaller{{}, floored(form.constant, divisor)};
    for (const IntegerTerm& term : form.terms) smaller.terms.push_back({term.weight / divisor, term.x});
    return floor_divide(from_form(smaller, arena), n / divisor);
  }
  if (auto parts = parts_below(form, n, arena)) return floor_divide(parts->a, n / parts->g);
  if (x->op == Op::quotient) return floor_divide(x->operands[0], n * x->integer);
  Node node{.op = Op::quotient, .dtype = DType::i64};
  node.operands = {x};
  node.integer = n;
  return intern(arena, std::move(node));
}

Expr remainder(Expr x, std::int64_t n) {
  if (n <= 0) throw std::logic_error("remainder: divisor must be positive");
  Arena& arena = *x->arena;
  if (n == 1) return integer(arena, 0);
  LinearForm form = linear_form(x);
  // Three choices of residues: signed, positive, smallest. An interval within one multiple of n needs no remainder.
  auto residues = [&](auto residue) {
    LinearForm result{{}, floored_remainder(form.constant, n)};
    for (const IntegerTerm& term : form.terms) result.terms.push_back({residue(term.weight), term.x});
    return from_form(result, arena);
  };
  Expr is_signed = residues([&](std::int64_t weight) { return weight % n; });
  Expr positive = residues([&](std::int64_t weight) { return floored_remainder(weight, n); });
  Expr smallest = residues([&](std::int64_t weight) {
    std::int64_t residue = floored_remainder(weight, n);
    return residue <= n / 2 ? residue : residue - n;
  });
  for (Expr y : {is_signed, positive, smallest}) {
    Interval range = bounds(y);
    if (is_finite(range) && floored(range.low, n) == floored(range.high, n)) return shift(y, -floored(range.low, n) * n);
  }
  x = is_signed;
  form = linear_form(x);
  if (std::int64_t divisor = common_divisor(form, n); divisor > 1 && !form.terms.empty()) {
    LinearForm smaller{{}, floored(form.constant, divisor)};
    for (const IntegerTerm& term : form.terms) smaller.terms.push_back({term.weight / divisor, term.x});
    IntegerTerm term{divisor, remainder(from_form(smaller, arena), n / divisor)};
    return linear(std::span(&term, 1), floored_remainder(form.constant, divisor), arena);
  }
  if (auto parts = parts_below(form, n, arena)) return add(scale(parts->g, remainder(parts->a, n / parts->g)), parts->r);
  if (x->op == Op::remainder && x->integer % n == 0) return remainder(x->operands[0], n);
  Node node{.op = Op::remainder, .dtype = DType::i64};
  node.operands = {x};
  node.integer = n;
  return intern(arena, std::move(node));
}

}  // namespace heed
