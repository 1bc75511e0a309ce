// Gives every reduction an array of its own.
#include "passes/isolate_reductions.h"

#include <algorithm>
#include <cstdlib>
#include <map>

#include "ir/algebra.h"
#include "ir/guard.h"
#include "passes/reads_outside.h"
#include "passes/rewrite.h"

namespace heed {

namespace {

// What a guard says of one axis alone: low <= axis < high.
struct Range {
  std::int64_t low, high;
};
bool narrow(Expr condition, AxisRef& axis, Range& range) {
  if (condition->op != Op::at_least_zero) return false;
  LinearForm form = linear_form(condition->operands[0]);
  if (form.terms.size() != 1 || form.terms[0].x->op != Op::axis) return false;
  std::int64_t weight = form.terms[0].weight;
  if (weight != 1 && weight != -1) return false;
  axis = form.terms[0].x->axes[0];
  range = weight == 1 ? Range{-form.constant, axis->size} : Range{0, form.constant + 1};
  return true;
}

class Isolator {
 public:
  explicit Isolator(std::string name) : name_(std::move(name)) {}

  Expr root(Expr body) {
    if (body->op == Op::reduction) return inside(body, nullptr);
    if (body->op == Op::linear && body->operands.size() == 1 && body->operands[0]->op == Op::reduction && body->real == 0 &&
        body->integer == 0)
      return rebuild(body, std::vector<Expr>{inside(body->operands[0], nullptr)});
    if (body->op == Op::select && body->operands[1]->op == Op::reduction && is_constant(body->operands[2]) &&
        !body->operands[0]->has_reduction)
      return rebuild(body, std::vector<Expr>{body->operands[0], inside(body->operands[1], body->operands[0]), body->operands[2]});
    return visit(body, nullptr);
  }

 private:
  // `guard` holds where x is needed; null if x is needed everywhere.
  Expr visit(Expr x, Expr guard) {
    if (!x->has_reduction) return x;
    auto [entry, is_new] = done_.try_emplace({x->id, guard ? guard->id : 0});
    if (!is_new) return entry->second;
    Expr result = x->op == Op::reduction ? isolated(inside(x, guard), guard)
                  : x->op == Op::select  ? selection(x, guard)
                                         : operands(x, guard);
    done_[{x->id, guard ? guard->id : 0}] = result;
    return result;
  }

  Expr operands(Expr x, Expr guard) {
    std::vector<Expr> result;
    for (Expr operand : x->operands) result.push_back(visit(operand, guard));
    return with_operands(x, result);
  }

  Expr selection(Expr x, Expr guard) {
    auto with = [&](Expr condition) { return guard ? both(guard, condition) : condition; };
    Expr condition = visit(x->operands[0], guard);
    Expr yes = visit(x->operands[1], with(x->operands[0])), no = visit(x->operands[2], with(negate(x->operands[0])));
    return select(condition, yes, no);
  }

  // A reduction whose body holds no other.
  Expr inside(Expr reduction, Expr guard) {
    Expr body = visit(reduction->operands[0], guard);
    return body == reduction->operands[0] ? reduction : rebuild(reduction, std::vector<Expr>{body});
  }

  Expr isolated(Expr x, Expr guard) {
    if (x->op != Op::reduction) return visit(x, guard);  // The algebra found something simpler.
    Arena& arena = *x->arena;
    Frame frame{x, guard && !guard->has_reduction ? guard : boolean(arena, true), {}, {}};
    for (AxisRef axis : in_place_order(x->free)) {
      frame.axes.push_back(axis);
      frame.at.push_back(value(axis));
    }
    if (guard) {
      while (split_axis(frame)) {
      }
      if (!cut_axes(frame)) return zero_of(x);
    }
    if (guard ? may_leave(frame.body) : may_read_outside(frame.body)) {
      std::vector<Expr> conditions = conjuncts(frame.guard);
      bool known = std::ranges::all_of(conditions, [&](Expr condition) {
        return std::ranges::all_of(condition->free, [&](AxisRef axis) { return std::ranges::find(frame.axes, axis) != frame.axes.end(); });
      });
      if (!known || (guard && guard->has_reduction)) return x;  // What protects it depends on more than it does.
      frame.body = select(frame.guard, frame.body, zero_of(frame.body));
    }
    return read_stored(define(frame.axes, frame.body, x->dtype, name_), frame.at);
  }

  // An array in the making: its body and the guard around it in terms of its axes, and where it is read.
  struct Frame {
    Expr body, guard;
    std::vector<AxisRef> axes;
    std::vector<Expr> at;
    void replace(std::size_t k, Expr by) {
      Substitution table{{axes[k], by}};
      body = substitute(body, table);
      guard = substitute(guard, table);
    }
  };

  // An axis met under // or % becomes two, so that guards on its quotient are ranges.
  static bool split_axis(Frame& frame) {
    for (Expr side : {frame.guard, frame.body})
      for (Expr node : nodes_of(side)) {
        if (node->op != Op::quotient && node->op != Op::remainder) continue;
        for (const IntegerTerm& term : linear_form(node->operands[0]).terms) {
          std::int64_t weight = std::abs(term.weight);
          if (term.x->op != Op::axis || node->integer % weight != 0) continue;
          std::int64_t n = node->integer / weight;
          auto axis = std::ranges::find(frame.axes, term.x->axes[0]);
          if (axis == frame.axes.end() || n <= 1 || (*axis)->size <= n || (*axis)->size % n != 0) continue;
          std::size_t k = static_cast<std::size_t>(axis - frame.axes.begin());
          AxisRef high = fresh_axis(*side->arena, (*axis)->size / n), low = fresh_axis(*side->arena, n);
          Expr place = frame.at[k];
          frame.replace(k, add(scale(n, value(high)), value(low)));
          frame.axes[k] = high;
          frame.at[k] = floor_divide(place, n);
          frame.axes.insert(frame.axes.begin() + static_cast<std::ptrdiff_t>(k) + 1, low);
          frame.at.insert(frame.at.begin() + static_cast<std::ptrdiff_t>(k) + 1, remainder(place, n));
          return true;
        }
      }
    return false;
  }

  // Outside of the range that the guard leaves of an axis nothing is computed. False if nothing is left.
  static bool cut_axes(Frame& frame) {
    for (std::size_t k = 0; k < frame.axes.size(); ++k) {
      AxisRef axis = frame.axes[k];
      Range range{0, axis->size};
      for (Expr condition : conjuncts(frame.guard)) {
        AxisRef of = nullptr;
        Range says{};
        if (!narrow(condition, of, says) || of != axis) continue;
        range = {std::max(range.low, says.low), std::min(range.high, says.high)};
      }
      if (range.high <= range.low) return false;
      if (range.low == 0 && range.high == axis->size) continue;
      AxisRef shorter = fresh_axis(*axis->arena, range.high - range.low);
      frame.replace(k, shift(value(shorter), range.low));
      frame.axes[k] = shorter;
      frame.at[k] = shift(frame.at[k], -range.low);
    }
    return true;
  }

  static Expr zero_of(Expr x) {
    if (is_floating(x->dtype)) return real(*x->arena, 0, x->dtype);
    return x->dtype == DType::boolean ? boolean(*x->arena, false) : integer(*x->arena, 0);
  }

  // Positions as in the array itself, then what is bound around it.
  static std::vector<AxisRef> in_place_order(const AxisSet& free) {
    std::vector<AxisRef> axes(free.begin(), free.end());
    std::ranges::sort(axes, {}, [](AxisRef axis) { return std::pair(axis->kind, axis->key); });
    return axes;
  }

  std::string name_;
  std::map<std::pair<std::uint32_t, std::uint32_t>, Expr> done_;
};

}  // namespace

Graph isolate_reductions(const Graph& graph) {
  return rewrite(graph, [](ArrayRef definition, const ArrayTable& table) {
    Expr body = replace_arrays(definition->body, table);
    if (body->has_reduction) body = Isolator(definition->name).root(body);
    return body == definition->body ? definition : define(positions(definition), body, definition->dtype, definition->name);
  });
}

}  // namespace heed
