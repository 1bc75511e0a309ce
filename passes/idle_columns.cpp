// Conditions are decided by the ranges of what they compare; a value that is decided by them is followed to the reductions.
#include "passes/idle_columns.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <tuple>

#include "ir/algebra.h"
#include "ir/function.h"

namespace heed {

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr double followed[] = {0, -infinity, infinity};  // values that masks are made of

class Idle {
 public:
  Idle(const BlockRegion& region, const Extent& extent, Arena& arena)
      : region_(region), extent_(extent), arena_(arena), yes_(boolean(arena, true)), no_(boolean(arena, false)) {
    for (std::size_t k = 0; k < region.arrays.size(); ++k)
      if (region.axes.position_on(k, region.axes.column) >= 0 && region.axes.reduced[k].empty()) member_[region.arrays[k]] = k;
  }

  Expr run() {
    Expr all = yes_;
    for (ArrayRef output : region_.outputs)
      if (member_.contains(output)) return no_;  // Whoever reads it wants what masked columns hold, too.
    for (std::size_t k = 0; k < region_.arrays.size() && all != no_; ++k) {
      bool adds = region_.axes.position_on(k, region_.axes.column) >= 0 && !region_.axes.reduced[k].empty();
      for (Expr node : nodes_of(region_.arrays[k]->body))
        if (node->op == Op::reduction && (adds || is_over_columns(node, k))) all = both(all, gets_identity(node, k));
    }
    return all;
  }

  // Of the conditions of selections, and of the parts of those that stay open.
  DecidedConditions decided() {
    DecidedConditions found;
    auto decide = [&](Expr condition, std::size_t k) {
      const bool is_true = holds(condition, true, k) == yes_;
      if (!is_true && holds(condition, false, k) != no_) return false;
      found[{k, condition->id}] = is_true;
      return true;
    };
    for (std::size_t k = 0; k < region_.arrays.size(); ++k)
      for (Expr node : nodes_of(region_.arrays[k]->body)) {
        if (node->op != Op::select || decide(node->operands[0], k)) continue;
        if (region_.decides_parts && node->operands[0]->op == Op::both)
          for (Expr part : node->operands[0]->operands) decide(part, k);
      }
    return found;
  }

 private:
  const std::unordered_map<AxisRef, int>& axis_of(std::size_t k) const { return region_.axes.frame.axis_of[k]; }

  bool is_over_columns(Expr reduction, std::size_t k) const {
    for (AxisRef axis : reduction->axes)
      if (auto found = axis_of(k).find(axis); found != axis_of(k).end() && found->second == region_.axes.column) return true;
    return false;
  }

  Expr gets_identity(Expr node, std::size_t k) {
    if (node->reduction == Reduction::sum) return is(node->operands[0], 0, k);
    if (node->reduction == Reduction::maximum && is_floating(node->dtype)) return is(node->operands[0], -infinity, k);
    return no_;
  }

  Range range(Expr x, std::size_t k) {
    auto known = [&] {
      constexpr std::int64_t low = std::numeric_limits<std::int64_t>::min(), high = std::numeric_limits<std::int64_t>::max();
      Interval at = bounds(x);
      return Range{at.low == low ? nullptr : integer(arena_, at.low), at.high == high ? nullptr : integer(arena_, at.high)};
    };
    switch (x->op) {
      case Op::axis: {
        auto found = axis_of(k).find(x->axes[0]);
        if (found == axis_of(k).end()) return known();
        if (found->second == region_.axes.row && extent_.rows.low) return extent_.rows;
        if (found->second == region_.axes.column && extent_.columns.low) return extent_.columns;
        auto unit = extent_.units.find(found->second);
        return unit == extent_.units.end() ? known() : Range{unit->second, unit->second};
      }
      case Op::linear: {
        Expr low = integer(arena_, x->integer), high = low;
        for (std::size_t term = 0; term < x->operands.size(); ++term) {
          Range part = range(x->operands[term], k);
          std::int64_t weight = x->integers[term];
          if (weight < 0) std::swap(part.low, part.high);
          low = low && part.low ? add(low, scale(weight, part.low)) : nullptr;
          high = high && part.high ? add(high, scale(weight, part.high)) : nullptr;
        }
        return {low, high};
      }
      case Op::quotient: {
        Range part = range(x->operands[0], k);
        return {part.low ? floor_divide(part.low, x->integer) : nullptr, part.high ? floor_divide(part.high, x->integer) : nullptr};
      }
      case Op::function: {
        if (x->function != &functions::maximum) return known();
        Range a = range(x->operands[0], k), b = range(x->operands[1], k);
        auto larger = [](Expr s, Expr t) { return s && t ? apply(functions::maximum, {s, t}) : nullptr; };
        return {a.low && b.low ? larger(a.low, b.low) : a.low ? a.low : b.low, larger(a.high, b.high)};
      }
      case Op::read: {
        if (auto member = member_.find(x->array); member != member_.end()) return range(x->array->body, member->second);
        Range part = extent_.bounds_of_read ? extent_.bounds_of_read(x, axis_of(k)) : Range{};
        return part.low ? part : known();
      }
      default:
        return known();
    }
  }

  // Whether a condition may hold somewhere; `everywhere`: whether it surely holds everywhere.
  Expr holds(Expr x, bool everywhere, std::size_t k) {
    Expr open = everywhere ? no_ : yes_;
    auto zero = integer(arena_, 0);
    switch (x->op) {
      case Op::constant:
        return x;
      case Op::at_least_zero: {
        Range at = range(x->operands[0], k);
        Expr bound = everywhere ? at.low : at.high;
        return bound ? at_least(bound, zero) : open;
      }
      case Op::is_zero: {
        Range at = range(x->operands[0], k);
        if (!at.low || !at.high) return open;
        return everywhere ? both(equal(at.low, zero), equal(at.high, zero)) : both(at_least(zero, at.low), at_least(at.high, zero));
      }
      case Op::both: {
        Expr all = yes_;
        for (Expr operand : x->operands) all = both(all, holds(operand, everywhere, k));
        return all;
      }
      case Op::negation:
        return negate(holds(x->operands[0], !everywhere, k));
      case Op::read: {
        if (auto member = member_.find(x->array); member != member_.end()) return holds(x->array->body, everywhere, member->second);
        Range at = extent_.bounds_of_read ? extent_.bounds_of_read(x, axis_of(k)) : Range{};
        if (!at.low || !at.high) return open;
        return at_least(everywhere ? at.low : at.high, integer(arena_, 1));
      }
      default:
        return open;
    }
  }

  // True only if x is `value` everywhere.
  Expr is(Expr x, double value, std::size_t k) {
    auto key = std::tuple(x, value, k);
    if (auto found = decided_.find(key); found != decided_.end()) return found->second;
    return decided_[key] = decide(x, value, k);
  }

  Expr decide(Expr x, double value, std::size_t k) {
    switch (x->op) {
      case Op::constant:
        return boolean(arena_, (is_floating(x->dtype) ? x->real : static_cast<double>(x->integer)) == value);
      case Op::select: {
        Expr a = is(x->operands[1], value, k), b = is(x->operands[2], value, k);
        if (a == yes_ && b == yes_) return yes_;
        Expr first = a == no_ ? no_ : both(holds(x->operands[0], true, k), a);
        Expr second = b == no_ ? no_ : both(negate(holds(x->operands[0], false, k)), b);
        return either(either(first, second), both(a, b));
      }
      case Op::linear: {
        if (!is_floating(x->dtype)) return no_;
        if (value == 0) {
          Expr all = boolean(arena_, x->real == 0);
          for (Expr operand : x->operands) all = all == no_ ? no_ : both(all, is(operand, 0, k));
          return all;
        }
        Expr some = boolean(arena_, x->real == value);  // the rest is finite
        for (std::size_t term = 0; term < x->operands.size(); ++term)
          some = either(some, is(x->operands[term], x->weights[term] > 0 ? value : -value, k));
        return some;
      }
      case Op::product: {
        Expr some = no_;
        for (std::size_t factor = 0; value == 0 && factor < x->operands.size(); ++factor)
          if (x->weights[factor] > 0) some = either(some, is(x->operands[factor], 0, k));
        return some;
      }
      case Op::function:
        return x->function->evaluate ? function_is(x, value, k) : no_;
      case Op::cast:
        return is_floating(x->operands[0]->dtype) ? is(x->operands[0], value, k) : no_;
      case Op::reduction:
        return gives(x, value) ? is(x->operands[0], value, k) : no_;
      case Op::read: {
        auto found = member_.find(x->array);
        return found == member_.end() ? no_ : is(x->array->body, value, found->second);
      }
      default:
        return no_;
    }
  }

  static bool gives(Expr reduction, double value) {
    return reduction->reduction == Reduction::sum ? value == 0
                                                  : reduction->reduction == Reduction::maximum && is_floating(reduction->dtype);
  }

  Expr function_is(Expr x, double value, std::size_t k) {
    Expr some = no_;
    if (x->operands.size() > 2) return some;
    for (double first : followed)
      for (double second : followed) {
        if (x->operands.size() == 1 && second != 0) continue;
        const double arguments[] = {first, second};
        if (x->function->evaluate(std::span(arguments, x->operands.size())) != value) continue;
        Expr all = yes_;
        for (std::size_t operand = 0; operand < x->operands.size() && all != no_; ++operand)
          all = is_floating(x->operands[operand]->dtype) ? both(all, is(x->operands[operand], arguments[operand], k)) : no_;
        some = either(some, all);
      }
    return some;
  }

  const BlockRegion& region_;
  const Extent& extent_;
  Arena& arena_;
  Expr yes_, no_;
  std::unordered_map<ArrayRef, std::size_t> member_;  // whose value at some rows and columns is that of its body there
  std::map<std::tuple<Expr, double, std::size_t>, Expr> decided_;
};

}  // namespace

DecidedConditions decided_conditions(const BlockRegion& region, const Extent& extent, Arena& arena) {
  return Idle(region, extent, arena).decided();
}

bool all_are_decided(const BlockRegion& region, const DecidedConditions& decided) {
  for (std::size_t k = 0; k < region.arrays.size(); ++k)
    for (Expr node : nodes_of(region.arrays[k]->body)) {
      if (node->op != Op::select || decided.contains({k, node->operands[0]->id})) continue;
      const bool has_columns = std::ranges::any_of(node->operands[0]->free, [&](AxisRef axis) {
        auto found = region.axes.frame.axis_of[k].find(axis);
        return found != region.axes.frame.axis_of[k].end() && found->second == region.axes.column;
      });
      if (has_columns) return false;
    }
  return true;
}

Expr are_idle(const BlockRegion& region, const Extent& extent, Arena& arena) { return Idle(region, extent, arena).run(); }

}  // namespace heed
