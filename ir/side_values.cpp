// Looks through the expressions of a part's steps, from the whole of them down.
#include "ir/side_values.h"

#include <limits>
#include <set>

#include "ir/function.h"
#include "ir/tensor.h"

namespace heed {

namespace {

bool has(const auto& list, const auto& value) { return std::ranges::find(list, value) != list.end(); }

// The terms of a sum for which something holds.
Expr terms_that(const auto& holds, Expr x) {
  if (x->op != Op::linear) return x;
  std::vector<Term> terms;
  for (std::size_t k = 0; k < x->operands.size(); ++k)
    if (holds(x->operands[k])) terms.push_back({x->weights[k], x->operands[k]});
  return linear(terms, 0, *x->arena, x->dtype);
}

bool has_columns(const RegisterProgram& program, Expr x) {
  return std::ranges::any_of(x->free, [&](AxisRef axis) { return axis != program.row && !has(program.units, axis); });
}

// Null: it is no name.
Expr named(const RegisterProgram& program, ArrayRef array) {
  auto found = std::ranges::find(program.names, array, &std::pair<ArrayRef, Expr>::first);
  return found == program.names.end() ? nullptr : found->second;
}

class Finder {
 public:
  Finder(const RegisterProgram& program, Side side) : program_(program), side_(side) {
    for_steps(program, [&](const RegisterProgram::Part&, const RegisterStep& step, bool) {
      if (step.kind != RegisterStep::Kind::store) made_.insert(step.into);
    });
    made_.insert(program.kept.begin(), program.kept.end());
  }

  std::vector<SideValue> of(const RegisterProgram::Part& part) {
    for (const auto& kind : part.kinds)
      for (const RegisterStep& step : kind.steps) {
        if (step.kind == RegisterStep::Kind::score && step.value && is_of_side(step.value)) take({step.value, false, true});
        look(step.value), look(step.factor);
      }
    return std::move(found_);
  }

 private:
  bool is_of_side(Expr x) const {
    if (has_columns(program_, x) != (side_ == Side::columns)) return false;
    if (side_ == Side::columns && (!is_narrow(x) || std::ranges::any_of(x->free, [&](AxisRef axis) { return !is_of_columns(axis); })))
      return false;
    bool reads_memory = false;
    for (Expr node : nodes_of(x)) {
      if (node->op != Op::read) continue;
      if (made_.contains(node->array) || named(program_, node->array)) return false;
      reads_memory = true;
    }
    return reads_memory;
  }

  bool is_of_columns(AxisRef axis) const { return axis == program_.column || has(program_.units, axis); }

  static bool is_narrow(Expr x) {
    constexpr std::int64_t most_bytes = 4;
    return x->dtype != DType::i64 || (x->op == Op::read && byte_size(x->array->dtype) <= most_bytes);
  }

  void take(const SideValue& side) {
    auto known = std::ranges::find_if(found_, [&](const SideValue& other) { return other.x == side.x && other.is_shift == side.is_shift; });
    if (known == found_.end()) found_.push_back(side);
  }

  void look(Expr x) {
    if (!x || !seen_.insert(x).second) return;
    if (is_of_side(x)) return take({x});
    if (std::optional<Exponent> parts = exponent_of(program_, x)) {
      look(parts->inner);
      return is_of_side(parts->outer) ? take({parts->outer, true}) : look(parts->outer);
    }
    if (x->op == Op::read) return look(named(program_, x->array));
    for (Expr operand : x->operands) look(operand);
  }

  const RegisterProgram& program_;
  Side side_;
  std::set<ArrayRef> made_;
  std::set<Expr> seen_;
  std::vector<SideValue> found_;
};

bool is_of_both(const RegisterProgram& program, Expr x) { return has(x->free, program.row) && has_columns(program, x); }

std::optional<Exponent> parts_of(const RegisterProgram& program, Expr exponent) {
  auto of_columns = [&](Expr x) { return has_columns(program, x); };
  auto of_rows = [&](Expr x) { return has(x->free, program.row); };
  if (!of_columns(exponent)) return {};
  Expr inner = terms_that(of_columns, exponent);
  if (inner == exponent && exponent->op == Op::linear)
    if (Expr rows = terms_that(of_rows, exponent); !is_constant(rows)) inner = rows;
  Expr outer = subtract(exponent, inner);
  double weight = 1;
  if (inner->op == Op::linear && inner->operands.size() == 1 && inner->real == 0) weight = inner->weights[0], inner = inner->operands[0];
  if (is_constant(inner)) return {};
  return Exponent{weight, inner, outer};
}

}  // namespace

std::optional<Exponent> exponent_of(const RegisterProgram& program, Expr exponential) {
  if (exponential->op != Op::function || exponential->function != &functions::exp) return {};
  std::optional<Exponent> parts = parts_of(program, exponential->operands[0]);
  if (!parts || parts->inner->op != Op::read || parts->weight <= 0) return parts;
  // Of minus infinity or a sum: what is added on one side leaves the choice.
  Expr masked = named(program, parts->inner->array);
  if (!masked || masked->op != Op::select) return parts;
  for (const std::size_t other : {1, 2}) {
    Expr condition = masked->operands[0], chosen = masked->operands[3 - other], infinite = masked->operands[other];
    if (!is_constant(infinite, -std::numeric_limits<double>::infinity())) continue;
    const std::optional<Exponent> inside = parts_of(program, chosen);
    if (!inside || inside->weight <= 0) continue;
    Expr inner = other == 1 ? select(condition, infinite, inside->inner) : select(condition, inside->inner, infinite);
    Expr outer = add(parts->outer, scale(parts->weight, inside->outer));
    if (is_of_both(program, outer)) continue;
    return Exponent{parts->weight * inside->weight, inner, outer};
  }
  return parts;
}

std::vector<SideValue> side_values(const RegisterProgram& program, const RegisterProgram::Part& part, Side side) {
  return Finder(program, side).of(part);
}

}  // namespace heed
