// Opens arrays in exponents and under maxima; the constructors of both do the rest.
#include "passes/open_shifts.h"

#include <algorithm>

#include "ir/algebra.h"
#include "ir/function.h"
#include "passes/opening.h"
#include "passes/rewrite.h"

namespace heed {

namespace {

bool is_logarithm(Expr x) { return x->op == Op::function && x->function == &functions::log; }

bool can_open(Expr read) {
  return read->op == Op::read && read->array->kind == Array::Kind::definition && read->dtype == read->array->dtype;
}

bool has_logarithm(Expr read) {
  if (!can_open(read)) return false;
  Expr body = read->array->body;
  return is_logarithm(body) || (body->op == Op::linear && std::ranges::any_of(body->operands, is_logarithm));
}

// An exponent with the arrays opened that add up logarithms, until none is left.
Expr opened_exponent(Expr exponent) {
  while (true) {
    std::vector<Term> terms;
    if (exponent->op == Op::linear)
      for (std::size_t k = 0; k < exponent->operands.size(); ++k) terms.push_back({exponent->weights[k], exponent->operands[k]});
    else
      terms.push_back({1, exponent});
    bool changed = false;
    for (Term& term : terms)
      if (has_logarithm(term.x)) {
        term.x = opened(term.x->array, term.x->operands);
        changed = true;
      }
    if (!changed) return exponent;
    exponent = linear(terms, exponent->op == Op::linear ? exponent->real : 0, *exponent->arena, exponent->dtype);
  }
}

// Under a maximum over the axes, a value that is shifted by what does not have them. Null if it is not.
Expr opened_shift(Expr x, const std::vector<AxisRef>& axes) {
  if (!can_open(x) || x->array->body->op != Op::linear || !std::ranges::all_of(x->operands, is_affine)) return nullptr;
  Expr body = opened(x->array, x->operands);
  auto is_free = [&](Expr term) {
    return std::ranges::none_of(term->free, [&](AxisRef axis) { return std::ranges::find(axes, axis) != axes.end(); });
  };
  return body->op == Op::linear && std::ranges::any_of(body->operands, is_free) ? body : nullptr;
}

}  // namespace

Graph open_shifts(const Graph& graph) {
  return rewrite(graph, [&](ArrayRef definition, const ArrayTable& table) {
    Expr whole = replace_arrays(definition->body, table);
    Expr body = rewrite(whole, [&](Expr node, std::span<const Expr> operands) {
      if (node->op == Op::reduction && node->reduction == Reduction::maximum)
        if (Expr shifted = opened_shift(operands[0], node->axes)) return reduce(Reduction::maximum, node->axes, shifted);
      if (node->op != Op::function || node->function != &functions::exp) return with_operands(node, operands);
      return apply(functions::exp, {opened_exponent(operands[0])});
    });
    return body == definition->body ? definition : define(positions(definition), body, definition->dtype, definition->name);
  });
}

}  // namespace heed
