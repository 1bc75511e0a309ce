// Splits values into a condition and what they are where it holds, and asks whether each row has a place where it does.
#include "passes/sharpen_masks.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include "ir/algebra.h"
#include "ir/function.h"
#include "passes/opening.h"
#include "passes/rewrite.h"

namespace heed {

namespace {

constexpr double masking = -1e6;  // what is added, at most, to be a mask
constexpr double infinity = std::numeric_limits<double>::infinity();

struct Masked {
  Expr condition;  // elsewhere the value is a mask
  Expr value;      // where it holds
  bool is_finite;  // a mask is
};

// The same of a value, minus infinity elsewhere.
Expr sharp(Expr condition, Expr value) { return select(condition, value, real(*value->arena, -infinity, value->dtype)); }

// What a value has added besides what depends on data.
double offset_of(Expr x) {
  if (x->op == Op::constant) return x->real;
  return x->op == Op::linear ? x->real : 0;
}

// The linear combination with another operand in place of its k-th.
Expr with_term(Expr x, std::size_t k, Expr term) {
  std::vector<Term> terms;
  for (std::size_t i = 0; i < x->operands.size(); ++i) terms.push_back({x->weights[i], i == k ? term : x->operands[i]});
  return linear(terms, x->real, *x->arena, x->dtype);
}

std::optional<Masked> split(Expr x);

Masked under(Expr condition, Expr value, bool is_finite) {
  if (std::optional<Masked> inner = split(value)) return {both(condition, inner->condition), inner->value, is_finite || inner->is_finite};
  return {condition, value, is_finite};
}

// A value that is one of two, as the condition has it, of which exactly one is a mask.
std::optional<Masked> split(Expr condition, Expr a, Expr b) {
  const double of_a = offset_of(a), of_b = offset_of(b);
  if ((of_a <= masking) == (of_b <= masking)) return {};
  return of_b <= masking ? under(condition, a, of_b > -infinity) : under(negate(condition), b, of_a > -infinity);
}

std::optional<Masked> split(Expr x) {
  if (!is_floating(x->dtype)) return {};
  if (x->op == Op::select) return split(x->operands[0], x->operands[1], x->operands[2]);
  if (x->op != Op::linear) return {};
  for (std::size_t k = 0; k < x->operands.size(); ++k)
    if (Expr term = x->operands[k]; term->op == Op::select)
      if (auto found = split(term->operands[0], with_term(x, k, term->operands[1]), with_term(x, k, term->operands[2]))) return found;
  return {};
}

class Sharpener {
 public:
  explicit Sharpener(const Graph& graph) {
    for (const GraphInput& input : graph.inputs)
      if (input.role == GraphInput::Role::data) data_.insert(input.array);
  }

  // Of a maximum: null if nothing changes.
  Expr maximum(Expr x, const std::vector<AxisRef>& axes) {
    std::optional<Masked> masked = masked_of(x);
    if (masked) masked = of_rows(*masked, x, axes);
    return masked ? reduce(Reduction::maximum, axes, sharp(masked->condition, masked->value)) : nullptr;
  }

  // exp(x - n), n at least the maximum of x over a row, of which masks were found.
  Expr exponential(Expr exponent) {
    if (exponent->op != Op::linear) return nullptr;
    for (std::size_t k = 0; k < exponent->operands.size(); ++k) {
      if (exponent->weights[k] != -1) continue;
      Expr zero = real(*exponent->arena, 0, exponent->dtype), shift = exponent->operands[k], x = with_term(exponent, k, zero);
      std::optional<Masked> masked = masked_of(x);
      if (masked) masked = of_rows_below(shift, *masked, x);
      if (masked) return select(masked->condition, apply(functions::exp, {subtract(masked->value, shift)}), zero);
    }
    return nullptr;
  }

 private:
  // Of an array what it is where it is not masked becomes an array of its own. Nothing where all masks are infinite as it is.
  std::optional<Masked> masked_of(Expr x) {
    std::optional<Masked> masked = x->op == Op::read ? split_array(x) : split(x);
    return masked && masked->is_finite && !adds_data(masked->value) ? masked : std::nullopt;
  }

  std::optional<Masked> split_array(Expr read) {
    ArrayRef array = read->array;
    if (array->kind != Array::Kind::definition || read->dtype != array->dtype) return {};
    auto [known, is_new] = split_.try_emplace(array);
    if (is_new)
      if (std::optional<Masked> masked = split(array->body)) {
        masked->value = read_stored(define(positions(array), masked->value, array->dtype, array->name), places(array));
        known->second = masked;
      }
    if (!known->second) return {};
    Substitution table;
    const std::vector<AxisRef> from = positions(array);
    for (std::size_t k = 0; k < from.size(); ++k) table.emplace_back(from[k], read->operands[k]);
    return Masked{substitute(known->second->condition, table), substitute(known->second->value, table), known->second->is_finite};
  }

  static std::vector<Expr> places(ArrayRef array) {
    std::vector<Expr> places;
    for (AxisRef axis : positions(array)) places.push_back(value(axis));
    return places;
  }

  // Data is added to the value as it is: it may hold masks.
  bool adds_data(Expr x) const {
    if (x->op == Op::select || x->op == Op::linear || x->op == Op::cast)
      return std::ranges::any_of(x->operands, [&](Expr each) { return each->dtype != DType::boolean && adds_data(each); });
    if (x->op != Op::read || !is_floating(x->dtype)) return false;
    return x->array->kind == Array::Kind::definition ? adds_data(x->array->body) : data_.contains(x->array);
  }

  // Of masks along the axes what may be infinite: all where every row surely keeps a place; where data decides that, those of the rows that
  // keep one of a few places that are looked at.
  static std::optional<Masked> of_rows(const Masked& masked, Expr x, const std::vector<AxisRef>& axes) {
    std::vector<AxisRef> asked;
    const auto& free = masked.condition->free;
    std::ranges::copy_if(axes, std::back_inserter(asked), [&](AxisRef axis) { return std::ranges::find(free, axis) != free.end(); });
    if (asked.size() != 1) return {};
    Expr kept = keeps_one(masked.condition, asked[0]);
    if (is_constant(kept, 1)) return masked;
    if (!is_decided_by_indices(masked.condition)) return {};
    return Masked{either(masked.condition, negate(kept)), x, true};
  }

  // True only if the condition holds at some place along the axis, whatever the other axes are: at that of another axis, first or last.
  static Expr keeps_one(Expr condition, AxisRef axis) {
    Arena& arena = *condition->arena;
    std::vector<Expr> candidates{integer(arena, 0), integer(arena, axis->size - 1)};
    for (AxisRef other : condition->free)
      if (other != axis && other->size <= axis->size)
        for (std::int64_t from : {std::int64_t{0}, axis->size - other->size}) candidates.push_back(shift(value(other), from));
    std::vector<Expr> ways;  // none of which another one is a case of
    for (Expr at : candidates) {
      Expr holds = substitute(condition, {{axis, at}});
      if (std::ranges::any_of(conjuncts(holds), is_of_places_alone)) continue;  // few rows keep that one
      if (std::ranges::any_of(ways, [&](Expr way) { return implies(holds, way); })) continue;
      std::erase_if(ways, [&](Expr way) { return implies(way, holds); });
      ways.push_back(holds);
    }
    Expr kept = boolean(arena, false);
    for (Expr way : ways) kept = either(kept, way);
    return kept;
  }

  static bool is_of_places_alone(Expr condition) {
    return !is_constant(condition) && std::ranges::none_of(nodes_of(condition), [](Expr node) { return node->op == Op::read; });
  }

  // True only if b holds wherever a does.
  static bool implies(Expr a, Expr b) {
    return std::ranges::all_of(conjuncts(b), [&](Expr need) {
      return std::ranges::any_of(conjuncts(a), [&](Expr known) {
        const bool are_orders = known->op == Op::at_least_zero && need->op == Op::at_least_zero;
        return known == need || (are_orders && is_constant(at_least(need->operands[0], known->operands[0]), 1));
      });
    });
  }

  // By integers and truths that are read where the axes are: their bounds, for some rows and columns, can be had when a program runs.
  static bool is_decided_by_indices(Expr condition) {
    bool reads = false;
    for (Expr node : nodes_of(condition)) {
      if (node->op != Op::read) continue;
      const bool is_plain = std::ranges::all_of(node->operands, [](Expr at) { return at->op == Op::axis || is_constant(at); });
      if (is_floating(node->dtype) || !is_plain) return false;
      if (node->array->kind == Array::Kind::definition && !is_decided_by_indices(node->array->body)) return false;
      reads = true;
    }
    return reads;
  }

  // x is the maximum, over one axis, of what masks of `of` become, or at least that.
  static std::optional<Masked> of_rows_below(Expr x, const Masked& masked, Expr of) {
    if (x->op == Op::read && x->array->kind == Array::Kind::definition) return of_rows_below(opened(x->array, x->operands), masked, of);
    if (x->op != Op::function && x->op != Op::reduction) return {};
    if (x->op == Op::function) {
      if (x->function != &functions::stop_gradient && x->function != &functions::maximum) return {};
      for (Expr each : x->operands)
        if (auto found = of_rows_below(each, masked, of)) return found;
      return {};
    }
    if (x->reduction != Reduction::maximum || x->axes.size() != 1) return {};
    for (AxisRef axis : of->free) {
      if (axis->size != x->axes[0]->size) continue;
      auto found = of_rows(masked, of, {axis});
      if (found && substitute(x->operands[0], {{x->axes[0], value(axis)}}) == sharp(found->condition, found->value)) return found;
    }
    return {};
  }

  std::unordered_set<ArrayRef> data_;
  std::unordered_map<ArrayRef, std::optional<Masked>> split_;  // at the array's positions
};

}  // namespace

Graph sharpen_masks(const Graph& graph) {
  Sharpener sharpener(graph);
  return rewrite(graph, [&](ArrayRef definition, const ArrayTable& table) {
    Expr whole = replace_arrays(definition->body, table);
    Expr body = rewrite(whole, [&](Expr node, std::span<const Expr> operands) {
      Expr sharp = nullptr;
      if (node->op == Op::reduction && node->reduction == Reduction::maximum)
        sharp = sharpener.maximum(operands[0], node->axes);
      else if (node->op == Op::function && node->function == &functions::exp)
        sharp = sharpener.exponential(operands[0]);
      return sharp ? sharp : with_operands(node, operands);
    });
    return body == definition->body ? definition : define(positions(definition), body, definition->dtype, definition->name);
  });
}

}  // namespace heed
