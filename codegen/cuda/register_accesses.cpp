// Looks through the expressions of all steps.
#include "codegen/cuda/register_accesses.h"

#include <algorithm>

#include "codegen/tile/access.h"
#include "ir/function.h"

namespace heed {

namespace {

// Of roots, each once.
std::vector<Expr> roots_of(const RegisterSteps& steps) {
  std::vector<Expr> roots;
  for (const RegisterStep& step : steps)
    for (Expr x : {step.value, step.factor})
      if (x) roots.push_back(x);
  return roots;
}

// The terms of a sum for which something holds.
Expr terms_that(const auto& holds, Expr x) {
  if (x->op != Op::linear) return x;
  std::vector<Term> terms;
  for (std::size_t k = 0; k < x->operands.size(); ++k)
    if (holds(x->operands[k])) terms.push_back({x->weights[k], x->operands[k]});
  return linear(terms, 0, *x->arena, x->dtype);
}

LinearForm address_of(Expr read) {
  std::vector<IntegerTerm> terms;
  const std::vector<std::int64_t> strides = strides_of(read->array->shape);
  for (std::size_t p = 0; p < strides.size(); ++p)
    if (read->array->shape[p] != 1) terms.push_back({strides[p], read->operands[p]});
  return linear_form(linear(terms, 0, *read->arena));
}

}  // namespace

RegisterAccesses::RegisterAccesses(const RegisterProgram& program) {
  stand_ins_.insert(program.kept.begin(), program.kept.end());
  std::vector<const RegisterSteps*> all;
  for (const auto& part : program.parts) {
    for (const auto& kind : part.kinds) all.push_back(&kind.steps);
    all.push_back(&part.advance);
  }
  for (const RegisterSteps* steps : all)
    for (const RegisterStep& step : *steps)
      if (step.kind != RegisterStep::Kind::store) stand_ins_.insert(step.into);
  for (const auto& [name, masked] : program.names) names_[name] = masked;
  for (const RegisterTile& tile : program.tiles) add_buffer(tile.array);
  for (const auto& [name, masked] : program.names) prepare(masked, program);
  for (const RegisterSteps* steps : all) {
    for (Expr root : roots_of(*steps)) prepare(root, program);
    for (const RegisterStep& step : *steps)
      if (step.kind == RegisterStep::Kind::store) add_buffer(step.into);
  }
}

void RegisterAccesses::add_buffer(ArrayRef array) {
  if (std::ranges::find(buffers_, array) == buffers_.end()) buffers_.push_back(array);
}

std::size_t RegisterAccesses::buffer(ArrayRef array) const {
  return static_cast<std::size_t>(std::ranges::find(buffers_, array) - buffers_.begin());
}

Expr RegisterAccesses::named(ArrayRef name) const {
  auto found = names_.find(name);
  return found == names_.end() ? nullptr : found->second;
}

const RegisterAccesses::Exponent* RegisterAccesses::exponent(Expr exponential) const {
  auto found = exponents_.find(exponential);
  return found == exponents_.end() ? nullptr : &found->second;
}

void RegisterAccesses::prepare(Expr root, const RegisterProgram& program) {
  for (Expr node : nodes_of(root)) {
    if (node->op == Op::read && !stand_ins_.contains(node->array) && !names_.contains(node->array)) {
      add_buffer(node->array);
      addresses_.try_emplace(node, address_of(node));
    }
    if (node->op != Op::function || node->function != &functions::exp) continue;
    Expr exponent = node->operands[0];
    auto has_columns = [&](Expr x) {
      return std::ranges::any_of(
          x->free, [&](AxisRef axis) { return axis != program.row && std::ranges::find(program.units, axis) == program.units.end(); });
    };
    auto has_rows = [&](Expr x) { return std::ranges::find(x->free, program.row) != x->free.end(); };
    if (!has_columns(exponent)) continue;
    Expr inner = terms_that(has_columns, exponent);
    if (inner == exponent && exponent->op == Op::linear)
      if (Expr of_rows = terms_that(has_rows, exponent); !is_constant(of_rows)) inner = of_rows;
    Expr outer = subtract(exponent, inner);
    double weight = 1;
    if (inner->op == Op::linear && inner->operands.size() == 1 && inner->real == 0) weight = inner->weights[0], inner = inner->operands[0];
    if (!is_constant(inner)) exponents_[node] = {weight, inner, outer};
  }
}

}  // namespace heed
