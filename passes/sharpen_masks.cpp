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
    return masked && keeps_one(masked->condition, axes) ? reduce(Reduction::maximum, axes, sharp(*masked)) : nullptr;
  }

  // exp(x - n), n at least the maximum of x over a row, of which masks were found.
  Expr exponential(Expr exponent) {
    if (exponent->op != Op::linear) return nullptr;
    for (std::size_t k = 0; k < exponent->operands.size(); ++k) {
      if (exponent->weights[k] != -1) continue;
      Expr zero = real(*exponent->arena, 0, exponent->dtype), shift = exponent->operands[k];
      std::optional<Masked> masked = masked_of(with_term(exponent, k, zero));
      if (masked && is_at_least_maximum(shift, sharp(*masked)))
        return select(masked->condition, apply(functions::exp, {subtract(masked->value, shift)}), zero);
    }
    return nullptr;
  }

 private:
  static Expr sharp(const Masked& masked) {
    return select(masked.condition, masked.value, real(*masked.value->arena, -infinity, masked.value->dtype));
  }

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

  // At some place along the axis the condition holds, whatever the other axes are: at that of another axis, first or last.
  static bool keeps_one(Expr condition, const std::vector<AxisRef>& axes) {
    std::vector<AxisRef> asked;
    std::ranges::copy_if(axes, std::back_inserter(asked),
                         [&](AxisRef axis) { return std::ranges::find(condition->free, axis) != condition->free.end(); });
    if (asked.size() != 1) return false;
    const AxisRef axis = asked[0];
    Arena& arena = *condition->arena;
    std::vector<Expr> candidates{integer(arena, 0), integer(arena, axis->size - 1)};
    for (AxisRef other : condition->free)
      if (other != axis && other->size <= axis->size)
        for (std::int64_t from : {std::int64_t{0}, axis->size - other->size}) candidates.push_back(shift(value(other), from));
    return std::ranges::any_of(candidates, [&](Expr at) { return is_constant(substitute(condition, {{axis, at}}), 1); });
  }

  // x is the maximum, over one axis, of what `row` is, or at least that.
  static bool is_at_least_maximum(Expr x, Expr row) {
    if (x->op == Op::read && x->array->kind == Array::Kind::definition) return is_at_least_maximum(opened(x->array, x->operands), row);
    if (x->op == Op::function && x->function == &functions::stop_gradient) return is_at_least_maximum(x->operands[0], row);
    if (x->op == Op::function && x->function == &functions::maximum)
      return std::ranges::any_of(x->operands, [&](Expr each) { return is_at_least_maximum(each, row); });
    if (x->op != Op::reduction || x->reduction != Reduction::maximum || x->axes.size() != 1) return false;
    return std::ranges::any_of(row->free, [&](AxisRef axis) {
      return axis->size == x->axes[0]->size && substitute(x->operands[0], {{x->axes[0], value(axis)}}) == row;
    });
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
