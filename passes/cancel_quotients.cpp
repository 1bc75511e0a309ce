// Looks for the denominator of each inverse among the sums of the other parts.
#include "passes/cancel_quotients.h"

#include <algorithm>
#include <bit>

#include "ir/arena.h"
#include "ir/function.h"
#include "passes/opening.h"

namespace heed {

namespace {

constexpr std::size_t most_axes = 6;

// factor / denominator.
struct Inverse {
  double factor;
  Expr denominator;
  bool zero_at_zero;
};

bool is_inverse(Expr x) {
  return (x->op == Op::function && x->function == &functions::reciprocal_or_zero) ||
         (x->op == Op::product && x->operands.size() == 1 && x->weights[0] == -1);
}

// Opening is dear, and most bodies are seen to be no inverse before.
bool may_be_inverse(Expr body) {
  Expr rest = scaled_form(body).second;
  return is_inverse(rest) || rest->op == Op::read;
}

std::optional<Inverse> inverse_of(Expr x, double power) {
  auto [weight, rest] = scaled_form(x);
  if (power == -1) return Inverse{1, x, false};
  if (power != 1) return {};
  if (is_inverse(rest)) return Inverse{weight, rest->operands[0], rest->op == Op::function};
  const bool is_definition = rest->op == Op::read && rest->array->kind == Array::Kind::definition && rest->dtype == rest->array->dtype;
  if (!is_definition || rest->array->body->op == Op::read || rest->array->body->has_reduction || !may_be_inverse(rest->array->body))
    return {};
  std::optional<Inverse> inside = inverse_of(opened(rest->array, rest->operands), 1);
  if (inside) inside->factor *= weight;
  return inside;
}

// The value of an array that is a sum.
Expr total_of(Expr read) {
  const bool is_definition = read->op == Op::read && read->array->kind == Array::Kind::definition && read->dtype == read->array->dtype;
  return is_definition && read->array->body->has_reduction ? opened(read->array, read->operands) : nullptr;
}

bool cancel_one(Chain& chain, std::size_t at, Signs& signs) {
  std::optional<Inverse> inverse = inverse_of(chain.parts[at].x, chain.parts[at].power);
  Expr total = inverse ? total_of(inverse->denominator) : nullptr;
  if (!total || (inverse->zero_at_zero && !signs.is_positive(inverse->denominator))) return false;
  auto [weight, sum] = scaled_form(total);
  if (sum->op != Op::reduction || sum->reduction != Reduction::sum || chain.summed.size() > most_axes) return false;
  Arena& arena = *sum->arena;
  for (unsigned subset = 1; subset < 1U << chain.summed.size(); ++subset) {
    if (static_cast<std::size_t>(std::popcount(subset)) != sum->axes.size()) continue;
    std::vector<AxisRef> axes, others;
    for (std::size_t k = 0; k < chain.summed.size(); ++k) (subset >> k & 1 ? axes : others).push_back(chain.summed[k]);
    std::vector<Factor> factors;
    std::vector<Part> rest;
    for (const Part& part : chain.parts) {
      const bool has_axis = std::ranges::any_of(part.x->free, [&](AxisRef axis) { return std::ranges::find(axes, axis) != axes.end(); });
      if (has_axis)
        factors.push_back({part.x, part.power});
      else if (&part != &chain.parts[at])
        rest.push_back(part);
    }
    if (factors.empty() || factors.size() + rest.size() + 1 != chain.parts.size()) continue;
    auto [found_weight, found] = scaled_form(heed::sum(axes, product(factors, arena, sum->dtype)));
    if (found != sum) continue;
    chain.weight *= inverse->factor * found_weight / weight;
    chain.summed = others;
    chain.parts = rest;
    return true;
  }
  return false;
}

}  // namespace

void cancel_quotients(Chain& chain, Signs& signs) {
  for (std::size_t k = 0; k < chain.parts.size(); ++k)
    if (cancel_one(chain, k, signs)) k = std::size_t(-1);
}

}  // namespace heed
