// The faults, one line of meaning each.
#include "tests/random/faults.h"

#include <algorithm>
#include <limits>
#include <vector>

#include "ir/algebra.h"
#include "ir/function.h"
#include "ir/guard.h"
#include "passes/rewrite.h"

namespace heed {
namespace {

bool is_linear(Expr x, std::size_t least) { return x->op == Op::linear && is_floating(x->dtype) && x->operands.size() >= least; }

Expr with_terms(Expr x, auto&& weight_of) {
  std::vector<Term> terms;
  for (std::size_t k = 0; k < x->operands.size(); ++k) terms.push_back({weight_of(k), x->operands[k]});
  return linear(terms, x->real, *x->arena, x->dtype);
}

Expr lost_scale(Expr x) { return is_linear(x, 1) && x->operands.size() == 1 && x->real == 0 ? x->operands[0] : nullptr; }
Expr flipped_sign(Expr x) {
  return is_linear(x, 2) ? with_terms(x, [&](std::size_t k) { return k == 0 ? -x->weights[k] : x->weights[k]; }) : nullptr;
}
Expr lost_term(Expr x) {
  return is_linear(x, 2) ? with_terms(x, [&](std::size_t k) { return k == 0 ? 0 : x->weights[k]; }) : nullptr;
}
Expr lost_constant(Expr x) { return is_linear(x, 1) && x->real != 0 ? add(x, real(*x->arena, -x->real, x->dtype)) : nullptr; }

Expr swapped_branches(Expr x) {
  return x->op == Op::select && is_floating(x->dtype) ? select(x->operands[0], x->operands[2], x->operands[1]) : nullptr;
}
Expr lost_guard(Expr x) {
  if (x->op != Op::select || !is_floating(x->dtype)) return nullptr;
  bool leaves = false;
  for_each_leaving(x->operands[1], [&](Expr, std::size_t) { leaves = true; });
  return leaves ? x->operands[1] : nullptr;
}
Expr guard_off_by_one(Expr x) { return x->op == Op::at_least_zero ? at_least(x->operands[0], integer(*x->arena, 1)) : nullptr; }

Expr with_factors(Expr x, auto&& power_of) {
  std::vector<Factor> factors;
  for (std::size_t k = 0; k < x->operands.size(); ++k) factors.push_back({x->operands[k], power_of(k)});
  return product(factors, *x->arena, x->dtype);
}
bool is_product(Expr x, std::size_t least) { return x->op == Op::product && is_floating(x->dtype) && x->operands.size() >= least; }
Expr lost_factor(Expr x) {
  return is_product(x, 2) ? with_factors(x, [&](std::size_t k) { return k == 0 ? 0 : x->weights[k]; }) : nullptr;
}
Expr wrong_power(Expr x) {
  return is_product(x, 1) ? with_factors(x, [&](std::size_t k) { return k == 0 ? x->weights[k] + 1 : x->weights[k]; }) : nullptr;
}

bool reduces(Expr x, Reduction reduction) {
  return x->op == Op::reduction && x->reduction == reduction && is_floating(x->operands[0]->dtype);
}
Expr maximum_for_sum(Expr x) { return reduces(x, Reduction::sum) ? reduce(Reduction::maximum, x->axes, x->operands[0]) : nullptr; }
Expr sum_for_maximum(Expr x) { return reduces(x, Reduction::maximum) ? reduce(Reduction::sum, x->axes, x->operands[0]) : nullptr; }
Expr short_sum(Expr x) {
  if (!reduces(x, Reduction::sum)) return nullptr;
  Expr last = integer(*x->arena, x->axes[0]->size - 2);
  return reduce(Reduction::sum, x->axes, select(at_least(last, value(x->axes[0])), x->operands[0], real(*x->arena, 0, x->dtype)));
}
Expr smallest_for_largest(Expr x) {
  return reduces(x, Reduction::argmax) ? reduce(Reduction::argmax, x->axes, scale(-1.0, x->operands[0])) : nullptr;
}

bool reads(Expr x) { return x->op == Op::read && is_floating(x->dtype); }
Expr index_off_by_one(Expr x) {
  if (!reads(x)) return nullptr;
  std::vector<Expr> indices = x->operands;
  for (std::size_t k = 0; k < indices.size(); ++k) {
    if (x->array->shape[k] < 2) continue;
    indices[k] = remainder(shift(indices[k], 1), x->array->shape[k]);
    return read_stored(x->array, indices);
  }
  return nullptr;
}
Expr swapped_indices(Expr x) {
  if (!reads(x)) return nullptr;
  std::vector<Expr> indices = x->operands;
  for (std::size_t k = 0; k + 1 < indices.size(); ++k) {
    if (x->array->shape[k] != x->array->shape[k + 1] || indices[k] == indices[k + 1]) continue;
    std::swap(indices[k], indices[k + 1]);
    return read_stored(x->array, indices);
  }
  return nullptr;
}
Expr lost_index(Expr x) {
  if (!reads(x) || x->operands.empty() || x->operands.back()->free.empty()) return nullptr;
  std::vector<Expr> indices = x->operands;
  indices.back() = integer(*x->arena, 0);
  return read_stored(x->array, indices);
}

Expr wrong_function(Expr x) {
  constexpr std::pair<std::string_view, std::string_view> twins[] = {{"exp", "expm1"}, {"tanh", "sin"}, {"sin", "cos"}, {"erf", "tanh"},
                                                                     {"atan", "tanh"}, {"cos", "sin"},  {"log", "exp"}};
  if (x->op != Op::function) return nullptr;
  for (auto [name, other] : twins)
    if (x->function->name == name) return heed::apply(*find_function(other), std::span<const Expr>(x->operands));
  return nullptr;
}
Expr lost_function(Expr x) {
  return x->op == Op::function && x->function->arity == 1 && is_floating(x->dtype) && x->function != &functions::stop_gradient
             ? x->operands[0]
             : nullptr;
}
Expr lost_maximum(Expr x) {
  bool clamps = x->op == Op::function && x->function == &functions::maximum && is_floating(x->dtype);
  return clamps && !is_constant(x->operands[1], std::numeric_limits<float>::lowest()) ? x->operands[0] : nullptr;
}
Expr reciprocal_for_itself(Expr x) {
  return x->op == Op::function && x->function == &functions::reciprocal_or_zero ? x->operands[0] : nullptr;
}

Expr quotient_for_remainder(Expr x) {
  return x->op == Op::remainder ? remainder(floor_divide(x->operands[0], x->integer), x->integer) : nullptr;
}
Expr position_off_by_one(Expr x) {
  return x->op == Op::cast && is_floating(x->dtype) && x->operands[0]->dtype == DType::i64 ? cast(x->to, shift(x->operands[0], 1))
                                                                                           : nullptr;
}
Expr comparison_turned(Expr x) { return x->op == Op::greater ? greater(x->operands[1], x->operands[0]) : nullptr; }
Expr equality_off_by_one(Expr x) { return x->op == Op::is_zero ? equal(x->operands[0], integer(*x->arena, 1)) : nullptr; }

constexpr NodeFault faults[] = {
    {"lost scale", lost_scale},
    {"flipped sign", flipped_sign},
    {"lost term", lost_term},
    {"lost constant", lost_constant},
    {"swapped branches", swapped_branches},
    {"lost guard", lost_guard},
    {"guard off by one", guard_off_by_one},
    {"lost factor", lost_factor},
    {"wrong power", wrong_power},
    {"maximum for sum", maximum_for_sum},
    {"sum for maximum", sum_for_maximum},
    {"sum without its last term", short_sum},
    {"smallest for largest", smallest_for_largest},
    {"index off by one", index_off_by_one},
    {"swapped indices", swapped_indices},
    {"lost index", lost_index},
    {"wrong function", wrong_function},
    {"lost function", lost_function},
    {"lost maximum", lost_maximum},
    {"reciprocal for itself", reciprocal_for_itself},
    {"quotient for remainder", quotient_for_remainder},
    {"position off by one", position_off_by_one},
    {"comparison turned", comparison_turned},
    {"equality off by one", equality_off_by_one},
};

// A region is never run.
bool lost_region(Plan& plan, std::mt19937_64& random) {
  if (plan.steps.empty()) return false;
  plan.steps.erase(plan.steps.begin() + static_cast<std::ptrdiff_t>(random() % plan.steps.size()));
  return true;
}

// Two neighbouring regions of which the second reads the first change places.
bool swapped_regions(Plan& plan, std::mt19937_64&) {
  for (std::size_t k = 0; k + 1 < plan.steps.size(); ++k) {
    const auto *first = std::get_if<Region>(&plan.steps[k]), *second = std::get_if<Region>(&plan.steps[k + 1]);
    if (!first || !second) continue;
    auto is_read = [&](ArrayRef array) {
      auto reads = [&](ArrayRef reader) { return std::ranges::count(reads_of(reader), array) > 0; };
      return std::ranges::any_of(second->outputs, reads) || std::ranges::any_of(second->locals, reads);
    };
    if (!std::ranges::any_of(first->outputs, is_read)) continue;
    std::swap(plan.steps[k], plan.steps[k + 1]);
    return true;
  }
  return false;
}

// Stored values lie one upon the other: all in the arena begin at the same place.
bool overlapping_places(Plan& plan, std::mt19937_64&) {
  int moved = 0;
  for (auto& [array, place] : plan.places)
    if (place.kind == Plan::Place::Kind::arena && place.offset != 0) place.offset = 0, ++moved;
  return moved > 0;
}

constexpr PlanFault of_plans[] = {
    {"lost region", lost_region}, {"swapped regions", swapped_regions}, {"overlapping places", overlapping_places}};

}  // namespace

std::span<const NodeFault> node_faults() { return faults; }
std::span<const PlanFault> plan_faults() { return of_plans; }

std::optional<Graph> planted(const Graph& graph, const NodeFault& fault, std::mt19937_64& random) {
  std::vector<std::pair<ArrayRef, Expr>> places;
  for (ArrayRef array : all_arrays(outputs_of(graph)))
    if (array->body)
      for (Expr node : nodes_of(array->body))
        if (Expr wrong = fault.plant(node); wrong && wrong != node) places.emplace_back(array, node);
  if (places.empty()) return {};
  auto [where, what] = places[random() % places.size()];
  Expr wrong = fault.plant(what);
  return rewrite(graph, [&](ArrayRef definition, const ArrayTable& table) {
    if (definition != where) return redefine(definition, table);
    Expr body = rewrite(definition->body,
                        [&](Expr node, std::span<const Expr> operands) { return node == what ? wrong : with_operands(node, operands); });
    return define(positions(definition), replace_arrays(body, table), definition->dtype, definition->name);
  });
}

}  // namespace heed
