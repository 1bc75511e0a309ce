// Reverse mode inside one body: from the derivative by its value to the derivative by each of its reads.
#include <algorithm>
#include <cmath>

#include "ir/algebra.h"
#include "ir/arena.h"
#include "ir/function.h"
#include "ir/guard.h"
#include "passes/pull_back.h"
#include "passes/reads_outside.h"

namespace heed {
namespace {

bool carries_gradient(Expr node, const IsActive& is_active, const std::unordered_set<Expr>& live) {
  if (node->dtype != DType::f32 && node->dtype != DType::f64) return false;
  if (node->op == Op::read) return is_active(node->array);
  if (node->op == Op::function && node->function->derivative == nullptr) return false;
  return std::ranges::any_of(node->operands, [&](Expr operand) { return live.contains(operand); });
}

std::unordered_set<Expr> live_nodes(const std::vector<Expr>& nodes, const IsActive& is_active) {
  std::unordered_set<Expr> live;
  for (Expr node : nodes)
    if (carries_gradient(node, is_active, live)) live.insert(node);
  return live;
}

// A derivative that differs by case is applied in each case: what the other case holds may be infinite. A guard of the adjoint stays
// outermost: where it does not hold the slope may read outside.
Expr times(Expr adjoint, Expr slope) {
  if (is_guarded(adjoint) && (slope->op == Op::select || may_leave(slope)))
    return select(adjoint->operands[0], times(adjoint->operands[1], slope), adjoint->operands[2]);
  if (slope->op == Op::select) return select(slope->operands[0], times(adjoint, slope->operands[1]), times(adjoint, slope->operands[2]));
  return multiply(adjoint, slope);
}

// Whether the axes of a maximum are where the first largest value is; several axes count as one, row-major. The index is an array of its
// own: it is found once, and by the same values as the maximum.
Expr is_place_of_maximum(Expr maximum) {
  Arena& arena = *maximum->arena;
  Expr body = maximum->operands[0], place = value(maximum->axes[0]);
  AxisRef flat = maximum->axes[0];
  if (maximum->axes.size() > 1) {
    std::int64_t size = 1;
    std::vector<IntegerTerm> terms;
    for (auto axis = maximum->axes.rbegin(); axis != maximum->axes.rend(); ++axis) {
      terms.push_back({size, value(*axis)});
      size *= (*axis)->size;
    }
    place = linear(terms, 0, arena);
    flat = fresh_axis(arena, size);
    Expr rest = value(flat);
    Substitution table;
    for (auto axis = maximum->axes.rbegin(); axis != maximum->axes.rend(); ++axis) {
      table.emplace_back(*axis, remainder(rest, (*axis)->size));
      rest = floor_divide(rest, (*axis)->size);
    }
    body = substitute(body, table);
  }
  Expr found = reduce(Reduction::argmax, std::vector{flat}, body);
  if (!is_constant(found) && !may_read_outside(found)) {
    std::vector<Expr> at;
    for (AxisRef axis : found->free) at.push_back(value(axis));
    found = read_stored(define(found->free, found, DType::i64), at);
  }
  return equal(place, found);
}

// The product of all other values of the body along the reduced axes.
Expr product_of_others(Expr product) {
  Arena& arena = *product->arena;
  std::vector<AxisRef> others;
  std::vector<Expr> same;
  Substitution table;
  for (AxisRef axis : product->axes) {
    others.push_back(fresh_axis(arena, axis->size));
    table.emplace_back(axis, value(others.back()));
    same.push_back(equal(value(axis), value(others.back())));
  }
  Expr one = real(arena, 1, product->dtype);
  return reduce(Reduction::product, others, select(both(same, arena), one, substitute(product->operands[0], table)));
}

// The value of a node that is the whole body, a constant factor aside, read from the array; null if it is not. `guarded`: it may also
// stand under a guard, outside of which the array is zero.
Expr from_array(ArrayRef definition, Expr node, bool guarded = false) {
  Expr body = definition->body;
  double factor = 1;
  auto strip_factor = [&] {
    if (body == node || body->op != Op::linear || body->operands.size() != 1 || body->real != 0) return;
    factor *= body->weights[0];
    body = body->operands[0];
  };
  strip_factor();
  if (guarded && body->op == Op::select && is_constant(body->operands[2], 0)) {
    body = body->operands[1];
    strip_factor();
  }
  if (body != node) return nullptr;
  if (definition->dtype != body->dtype) return nullptr;  // Rounded when it was stored.
  std::vector<Expr> at;
  for (AxisRef place : positions(definition)) {
    auto has = [&](Expr x) { return std::ranges::find(x->free, place) != x->free.end(); };
    const bool repeated = place->size != 1 && !has(node);
    if (repeated && (place->size == 0 || has(definition->body))) return nullptr;  // No element, or another guard for each.
    at.push_back(repeated ? integer(*body->arena, 0) : value(place));             // the adjoint has no axis that the body lacks
  }
  return scale(1 / factor, read_stored(definition, at));
}

// o = u / l, u made by a reduction: the derivative by l is -(g o) / l, so that o is kept and u is not. Gives o where this applies.
Expr kept_quotient(ArrayRef definition, Expr product) {
  const bool of_reduction = std::ranges::any_of(product->operands, [&](Expr x) {
    return x->has_reduction || (x->op == Op::read && x->array->kind == Array::Kind::definition && x->array->body->has_reduction &&
                                x->array->shape.size() == definition->shape.size());
  });
  return of_reduction ? from_array(definition, product) : nullptr;
}

// Adjoints of one node from uses around which the same axes are bound that it lacks.
struct Given {
  std::vector<AxisRef> lost;
  std::vector<Term> terms;
};

class BodyAdjoint {
 public:
  BodyAdjoint(ArrayRef definition, const IsActive& is_active)
      : definition_(definition), nodes_(nodes_of(definition->body)), live_(live_nodes(nodes_, is_active)) {
    for (Expr node : nodes_)
      for (Expr operand : node->operands) {
        auto [parent, is_first] = parent_.try_emplace(operand, node);
        if (!is_first) parent->second = nullptr;
      }
  }

  std::vector<ReadAdjoint> operator()(Expr adjoint) {
    give(definition_->body, adjoint, as_set(positions(definition_)));
    std::vector<ReadAdjoint> reads;
    for (auto node = nodes_.rbegin(); node != nodes_.rend(); ++node) {
      auto found = terms_.find(*node);
      if (found == terms_.end()) continue;
      Expr total = total_of(found->second, *node);
      if (is_constant(total, 0)) continue;
      if ((*node)->op == Op::read)
        reads.push_back({*node, total, (*node)->free});
      else
        pass_on(*node, total);
    }
    return reads;
  }

 private:
  // Used under a guard alone, a factor aside: then its adjoint is zero outside of it, too.
  bool is_guarded(Expr node) const {
    auto parent = parent_.find(node);
    if (parent != parent_.end() && parent->second && parent->second->op == Op::linear) parent = parent_.find(parent->second);
    return parent != parent_.end() && parent->second && parent->second->op == Op::select;
  }

  void give(Expr x, Expr adjoint, const AxisSet& scope) {
    if (!live_.contains(x) || is_constant(adjoint, 0)) return;
    if (adjoint->dtype != x->dtype) adjoint = cast(x->dtype, adjoint);
    std::vector<AxisRef> lost;
    std::ranges::set_difference(scope, x->free, std::back_inserter(lost), {}, &Axis::id, &Axis::id);
    std::vector<Given>& given = terms_[x];
    auto same = std::ranges::find(given, lost, &Given::lost);
    if (same == given.end()) same = given.insert(given.end(), {std::move(lost), {}});
    same->terms.push_back({1, adjoint});
  }

  // What is summed over the same axes is added before: one sum, of the same as what is given where no axis is lost.
  static Expr total_of(const std::vector<Given>& given, Expr x) {
    std::vector<Term> sums;
    for (const Given& each : given) {
      Expr inside = linear(each.terms, 0, *x->arena, x->dtype);
      sums.push_back({1, each.lost.empty() ? inside : sum(each.lost, inside)});
    }
    return linear(sums, 0, *x->arena, x->dtype);
  }

  void pass_on(Expr node, Expr adjoint) {
    Arena& arena = *node->arena;
    const std::vector<Expr>& operands = node->operands;
    const AxisSet& scope = node->free;
    switch (node->op) {
      case Op::linear:
        for (std::size_t k = 0; k < operands.size(); ++k) give(operands[k], scale(node->weights[k], adjoint), scope);
        return;
      case Op::product:
        return pass_on_product(node, adjoint);
      case Op::function: {
        Expr result = from_array(definition_, node, is_guarded(node));
        if (!result) result = node;
        for (std::size_t k = 0; k < operands.size(); ++k)
          if (live_.contains(operands[k]))
            if (Expr slope = node->function->derivative(operands, result, static_cast<int>(k)))
              give(operands[k], times(adjoint, slope), scope);
        return;
      }
      case Op::cast:
        return give(operands[0], adjoint, scope);
      case Op::select: {
        Expr zero = real(arena, 0, node->dtype);
        if (live_.contains(operands[1])) give(operands[1], select(operands[0], adjoint, zero), scope);
        if (live_.contains(operands[2])) give(operands[2], select(operands[0], zero, adjoint), scope);
        return;
      }
      case Op::reduction:
        return pass_on_reduction(node, adjoint);
      default:
        throw std::logic_error("differentiate: a node of floating type has no gradient rule");
    }
  }

  void pass_on_product(Expr node, Expr adjoint) {
    const std::vector<Expr>& operands = node->operands;
    for (std::size_t k = 0; k < operands.size(); ++k) {
      if (!live_.contains(operands[k])) continue;
      const double power = node->weights[k];
      const bool inverted = operands[k]->op == Op::function && operands[k]->function == &functions::reciprocal_or_zero && power == 1;
      Expr result = power < 0 || inverted ? kept_quotient(definition_, node) : nullptr;
      if (result && inverted) {
        const Factor factors[] = {{adjoint, 1}, {result, 1}, {operands[k], 1}};
        give(operands[k]->operands[0], scale(-1.0, product(factors, *node->arena, node->dtype)), node->free);
        continue;
      }
      std::vector<Factor> factors{{adjoint, 1}};
      if (result) {
        factors.push_back({result, 1});
        factors.push_back({operands[k], -1});
      } else {
        for (std::size_t m = 0; m < operands.size(); ++m)
          if (m != k || power != 1) factors.push_back({operands[m], m == k ? power - 1 : node->weights[m]});
      }
      give(operands[k], scale(power, product(factors, *node->arena, node->dtype)), node->free);
    }
  }

  void pass_on_reduction(Expr node, Expr adjoint) {
    Expr body = node->operands[0];
    const AxisSet scope = united(node->free, as_set(node->axes));
    switch (node->reduction) {
      case Reduction::sum:
        return give(body, adjoint, scope);
      case Reduction::product:
        return give(body, multiply(adjoint, product_of_others(node)), scope);
      case Reduction::maximum:
        return give(body, select(is_place_of_maximum(node), adjoint, real(*node->arena, 0, node->dtype)), scope);
      case Reduction::argmax:
      case Reduction::any:
        return;
    }
  }

  ArrayRef definition_;
  std::vector<Expr> nodes_;
  std::unordered_set<Expr> live_;
  std::unordered_map<Expr, Expr> parent_;  // null where there are several
  std::unordered_map<Expr, std::vector<Given>> terms_;
};

}  // namespace

std::vector<ReadAdjoint> adjoints_of_reads(ArrayRef definition, Expr adjoint, const IsActive& is_active) {
  return BodyAdjoint(definition, is_active)(adjoint);
}

bool has_active_read(Expr body, const IsActive& is_active) { return live_nodes(nodes_of(body), is_active).contains(body); }

}  // namespace heed
