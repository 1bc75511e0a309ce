// Looks through all steps of a program for how a kept value is made and met.
#include "passes/register_kept.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include "ir/arena.h"
#include "ir/function.h"
#include "ir/wide_layout.h"

namespace heed {

namespace {

bool has(const auto& list, const auto& value) { return std::ranges::find(list, value) != list.end(); }

Expr read_of(const RegisterProgram& program, ArrayRef kept) { return read_stored(kept, std::vector{value(program.row)}); }

// A maximum that runs: what it becomes with each block of columns, and the values that begin and follow it.
struct Running {
  std::vector<ArrayRef> kept;  // it, and what it was before the last columns
  Expr next = nullptr;         // maximum(kept, weight * of the columns)
  double weight = 1;
};

std::optional<Running> running_of(RegisterProgram& program, ArrayRef kept) {
  if (kept->shape.size() != 1) return {};
  Running running{.kept = {kept}};
  bool is_plain = true;
  for_steps(program, [&](const RegisterProgram::Part& part, const RegisterStep& step, bool advances) {
    if (step.kind != RegisterStep::Kind::keep) return;
    if (advances && step.value == read_of(program, kept)) running.kept.push_back(step.into);
    if (step.into != kept || !is_plain) return;
    if (part.over_columns) {
      is_plain = !advances && (!running.next || running.next == step.value);
      running.next = step.value;
    } else {
      is_plain = is_constant(step.value, -std::numeric_limits<double>::infinity());
    }
  });
  if (!is_plain || !running.next || running.next->op != Op::function || running.next->function != &functions::maximum) return {};
  Expr other = nullptr;
  for (std::size_t k : {0, 1})
    if (running.next->operands[k] == read_of(program, kept)) other = running.next->operands[1 - k];
  if (!other) return {};
  const auto [weight, largest] = scaled_form(other);
  const bool is_step = largest->op == Op::read && !has(program.kept, largest->array);
  running.weight = is_step && weight > 0 ? weight : 1;
  return running;
}

// The number that the values are met no less than, everywhere but where they become each other.
std::optional<double> floor_of(RegisterProgram& program, const std::vector<Expr>& values) {
  std::optional<double> floor;
  bool is_met = true;
  auto look = [&](Expr root) {
    for (Expr node : nodes_of(root)) {
      const bool is_maximum = node->op == Op::function && node->function == &functions::maximum && is_constant(node->operands[1]) &&
                              std::isfinite(node->operands[1]->real);
      for (Expr operand : node->operands) {
        if (!has(values, operand) || node == values[0]) continue;
        if (!is_maximum || (floor && *floor != node->operands[1]->real)) is_met = false;
        floor = is_maximum ? node->operands[1]->real : floor;
      }
    }
    is_met &= !has(values, root);
  };
  for_steps(program, [&](const RegisterProgram::Part& part, const RegisterStep& step, bool advances) {
    const bool is_own = step.kind == RegisterStep::Kind::keep && (advances || (part.over_columns && step.value == values[0]));
    if (step.value && !is_own) look(step.value);
    if (step.factor) look(step.factor);
  });
  return is_met ? floor : std::nullopt;
}

// Where a maximum is only met no less than some number it begins with that number. It is kept without a factor that all scores have.
void simplify_maximum(RegisterProgram& program, ArrayRef kept) {
  std::optional<Running> running = running_of(program, kept);
  if (!running) return;
  std::vector<Expr> own{running->next};
  for (ArrayRef each : running->kept) own.push_back(read_of(program, each));
  std::optional<double> floor = floor_of(program, own);
  if (!floor) return;
  const double lowest = std::numeric_limits<float>::lowest();
  const double first = std::max(lowest, *floor / running->weight);
  std::unordered_map<Expr, Expr> now;
  for (std::size_t k = 1; k < own.size(); ++k) now[own[k]] = scale(running->weight, own[k]);
  Expr part = running->next->operands[running->next->operands[0] == own[1] ? 1 : 0];
  Expr next = apply(functions::maximum, {own[1], scale(1 / running->weight, part)});
  now[own[0]] = scale(running->weight, next);
  auto changed = [&](Expr root) {
    return rewrite(root, [&](Expr node, std::span<const Expr> operands) -> Expr {
      if (auto found = now.find(node); found != now.end()) return found->second;
      if (node->op == Op::function && node->function == &functions::maximum && is_constant(node->operands[1]) &&
          now.contains(node->operands[0]))
        return operands[0];
      return operands.empty() ? node : with_stored_operands(node, operands);
    });
  };
  for_steps(program, [&](const RegisterProgram::Part& each, RegisterStep& step, bool advances) {
    const bool is_own = step.kind == RegisterStep::Kind::keep && has(running->kept, step.into);
    if (is_own && advances)
      return;
    else if (is_own)
      step.value = each.over_columns ? next : real(*program.row->arena, first, DType::f32);
    else if (step.value)
      step.value = changed(step.value);
    if (step.factor) step.factor = changed(step.factor);
  });
}

// The kept value itself, or a product with it as one factor and nowhere else.
bool is_scaled(Expr x, ArrayRef kept) {
  if (x->op == Op::read) return x->array == kept;
  if (x->op != Op::product) return false;
  int count = 0;
  for (std::size_t k = 0; k < x->operands.size(); ++k)
    for (Expr node : nodes_of(x->operands[k]))
      if (node->op == Op::read && node->array == kept) count += node == x->operands[k] && x->weights[k] == 1 ? 1 : 2;
  return count == 1;
}

// The last sum of a body that an expression is; null if it is none.
const RegisterStep* sum_that_is(Expr x, const RegisterSteps& steps) {
  const RegisterStep* sum = nullptr;
  for (const RegisterStep& step : steps)
    if (step.kind == RegisterStep::Kind::reduce && step.reduction == Reduction::sum && is_read_of(x, step.into)) sum = &step;
  return sum;
}

// In a body over columns nothing reads the kept value but the sum that it becomes, which scales it at most, and nothing else reads that
// sum.
bool is_met_by_sum_alone(ArrayRef kept, const RegisterStep* sum, const RegisterSteps& steps) {
  for (const RegisterStep& step : steps) {
    if (&step != sum && (reads(step.value, kept) || reads(step.factor, kept))) return false;
    if (sum && (reads(step.factor, sum->into) || (reads(step.value, sum->into) && step.into != kept))) return false;
  }
  return !sum || (!reads(sum->factor, kept) && sum->value && is_scaled(sum->value, kept));
}

// A sum that nothing needs before its last column: what it was is scaled at most, and what comes is added.
bool is_spread(const RegisterProgram& program, ArrayRef kept) {
  if (kept->shape.size() != 1) return false;
  for (const auto& part : program.parts) {
    for (const auto& kind : part.kinds) {
      const RegisterStep* sum = nullptr;
      for (const RegisterStep& step : kind.steps) {
        if (step.kind != RegisterStep::Kind::keep || step.into != kept) continue;
        if (part.over_columns) sum = sum_that_is(step.value, kind.steps);
        if (part.over_columns ? !sum : !is_constant(step.value, 0)) return false;
      }
      if (part.over_columns && !is_met_by_sum_alone(kept, sum, kind.steps)) return false;
    }
    const bool is_advanced = std::ranges::any_of(part.advance, [&](const RegisterStep& step) { return reads(step.value, kept); });
    if (part.over_columns && is_advanced) return false;
  }
  return true;
}

// The number that all products of a sum have, which nothing meets before its last column.
std::optional<double> weight_of_sum(RegisterProgram& program, ArrayRef kept) {
  std::optional<double> weight;
  for (auto& part : program.parts) {
    for (const RegisterStep& step : part.advance)
      if (reads(step.value, kept) || step.into == kept) return {};
    for (auto& kind : part.kinds) {
      const RegisterStep *keeper = nullptr, *sum = nullptr;
      for (const RegisterStep& step : kind.steps)
        if (step.kind == RegisterStep::Kind::keep && step.into == kept) keeper = &step;
      if (!part.over_columns) {
        if (keeper && !is_constant(keeper->value, 0)) return {};
        continue;
      }
      for (const RegisterStep& step : kind.steps) {
        const bool is_own = keeper && step.kind == RegisterStep::Kind::sum && is_read_of(keeper->value, step.into);
        if (is_own) sum = &step;
        if (reads(step.factor, kept) || (!is_own && reads(step.value, kept))) return {};
      }
      if (!keeper) continue;
      const bool is_plain =
          sum && is_read_of(sum->value, kept) && program.tiles[static_cast<std::size_t>(sum->right)].array->dtype == DType::bf16;
      if (!is_plain) return {};
      for (const RegisterStep& step : kind.steps)
        if (&step != keeper && (reads(step.value, sum->into) || reads(step.factor, sum->into))) return {};
      const double own = scaled_form(sum->factor).first;
      if (weight && *weight != own) return {};
      weight = own;
    }
  }
  return weight;
}

void simplify_sum(RegisterProgram& program, ArrayRef kept) {
  if (kept->shape.size() != 2) return;
  const std::optional<double> weight = weight_of_sum(program, kept);
  if (!weight || *weight == 1) return;
  auto whole = [&](Expr root) {
    return rewrite(root, [&](Expr node, std::span<const Expr> operands) -> Expr {
      if (node->op == Op::read && node->array == kept) return scale(*weight, node);
      return operands.empty() ? node : with_stored_operands(node, operands);
    });
  };
  for_steps(program, [&](const RegisterProgram::Part& part, RegisterStep& step, bool advances) {
    if (advances) return;
    if (part.over_columns) {
      if (step.kind == RegisterStep::Kind::sum && is_read_of(step.value, kept)) step.factor = scaled_form(step.factor).second;
      return;
    }
    if (reads(step.value, kept)) step.value = whole(step.value);
    if (reads(step.factor, kept)) step.factor = whole(step.factor);
  });
}

// The sum that a score is read in alone; null if something else than a value of its row or of its column is added there.
Expr sum_with(Expr score, const RegisterProgram& program, const RegisterSteps& steps) {
  Expr sum = nullptr;
  auto look = [&](Expr root) {
    if (root == score) return false;
    for (Expr node : root ? nodes_of(root) : std::vector<Expr>{}) {
      for (std::size_t k = 0; k < node->operands.size(); ++k) {
        if (node->operands[k] != score) {
          if (node->op == Op::function && node->operands[k] == sum && sum) return false;  // its own operation takes the sum up
          continue;
        }
        if (node->op != Op::linear || node->weights[k] != 1 || (sum && sum != node)) return false;
        sum = node;
      }
    }
    return true;
  };
  for (const auto& [name, masked] : program.names)
    if (reads(masked, score->array)) return nullptr;
  for (const RegisterStep& step : steps)
    if (!look(step.value) || !look(step.factor)) return nullptr;
  if (!sum) return nullptr;
  Expr rest = subtract(sum, score);
  if (!std::ranges::all_of(steps,
                           [&](const RegisterStep& step) { return step.kind == RegisterStep::Kind::store || !reads(rest, step.into); }))
    return nullptr;
  bool has_row = false, has_column = false;
  for (AxisRef axis : rest->free) {
    if (has(program.units, axis)) continue;
    (axis == program.row ? has_row : has_column) = true;
  }
  return has_row && has_column ? nullptr : sum;
}

}  // namespace

void start_scores(RegisterProgram& program) {
  for (auto& part : program.parts) {
    if (program.groups > 0 && sums_follow(part)) continue;  // its products begin anew
    for (auto& kind : part.kinds)
      for (RegisterStep& score : kind.steps) {
        if (score.kind != RegisterStep::Kind::score) continue;
        Expr own = read_stored(score.into, std::vector{value(program.row), value(program.column)});
        Expr sum = sum_with(own, program, kind.steps);
        if (!sum) continue;
        auto changed = [&](Expr root) {
          return rewrite(root, [&](Expr node, std::span<const Expr> operands) -> Expr {
            if (node == sum) return own;
            return operands.empty() ? node : with_stored_operands(node, operands);
          });
        };
        for (RegisterStep& step : kind.steps) {
          if (reads(step.value, score.into)) step.value = changed(step.value);
          if (reads(step.factor, score.into)) step.factor = changed(step.factor);
        }
        score.value = subtract(sum, own);
      }
  }
}

void simplify_kept(RegisterProgram& program) {
  for (ArrayRef kept : program.kept) simplify_maximum(program, kept), simplify_sum(program, kept);
  for (ArrayRef kept : program.kept) program.spread.push_back(is_spread(program, kept));
}

}  // namespace heed
