// Gives every reduction an array of its own.
#include "passes/isolate_reductions.h"

#include <algorithm>
#include <map>

#include "ir/algebra.h"
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
    return result == x->operands ? x : rebuild(x, result);
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
    Expr left = guard && !guard->has_reduction ? guard : boolean(arena, true);
    std::vector<Expr> at;
    std::vector<AxisRef> axes;
    Substitution moved;
    // Outside of the range that the guard leaves of an axis nothing is computed.
    for (AxisRef axis : in_place_order(x->free)) {
      Range range{0, axis->size};
      for (Expr condition : conjuncts(left)) {
        AxisRef of = nullptr;
        Range says{};
        if (!narrow(condition, of, says) || of != axis) continue;
        range = {std::max(range.low, says.low), std::min(range.high, says.high)};
      }
      if (range.high <= range.low) return zero_of(x);
      bool whole = range.low == 0 && range.high == axis->size;
      axes.push_back(whole ? axis : fresh_axis(arena, range.high - range.low));
      if (!whole) moved.emplace_back(axis, shift(value(axes.back()), range.low));
      at.push_back(shift(value(axis), -range.low));
    }
    Expr body = substitute(x, moved);
    if (may_read_outside(body)) {
      std::vector<Expr> needed;
      for (Expr condition : conjuncts(substitute(left, moved)))
        if (std::ranges::all_of(condition->free, [&](AxisRef axis) { return std::ranges::find(axes, axis) != axes.end(); }))
          needed.push_back(condition);
      if (needed.size() != conjuncts(substitute(left, moved)).size() || left != guard)
        return x;  // What protects it depends on more than it does.
      body = select(both(needed, arena), body, zero_of(body));
    }
    return read_stored(define(axes, body, x->dtype, name_), at);
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
