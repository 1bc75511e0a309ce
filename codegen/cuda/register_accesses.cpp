// Looks through the expressions of all steps.
#include "codegen/cuda/register_accesses.h"

#include <algorithm>

#include "codegen/tile/access.h"

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
  for (const auto& part : program.parts) {
    row_values_.push_back(part.over_columns ? side_values(program, part, Side::rows) : std::vector<SideValue>{});
    rings_.push_back(part.over_columns && program.groups == 0 ? ring_layout(program, part) : RingLayout{});
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

const Exponent* RegisterAccesses::exponent(Expr exponential) const {
  auto found = exponents_.find(exponential);
  return found == exponents_.end() ? nullptr : &found->second;
}

void RegisterAccesses::prepare(Expr root, const RegisterProgram& program) {
  for (Expr node : nodes_of(root)) {
    if (node->op == Op::read && !stand_ins_.contains(node->array) && !names_.contains(node->array)) {
      add_buffer(node->array);
      addresses_.try_emplace(node, address_of(node));
    }
    if (std::optional<Exponent> parts = exponent_of(program, node)) exponents_[node] = *parts;
  }
}

}  // namespace heed
