// Sets apart what a program makes of parameters and constants alone.
#include "passes/hoist_invariants.h"

#include <algorithm>
#include <iterator>
#include <utility>
#include <vector>

#include "passes/lifetimes.h"

namespace heed {

void hoist_invariants(Plan& plan) {
  std::unordered_set<ArrayRef> updated, results;
  for (const GraphOutput& output : plan.graph.outputs) {
    if (output.updates) updated.insert(output.updates);
    results.insert(plan.stored_for(output.array));
  }
  plan.invariants.clear();
  for (const GraphInput& input : plan.graph.inputs) {
    const bool is_kept = input.role == GraphInput::Role::parameter || input.role == GraphInput::Role::state;
    if (is_kept && !updated.contains(input.array)) plan.invariants.insert(input.array);
  }
  // In the order of the plan, in which each step reads what came before it.
  auto is_invariant = [&](const Plan::Step& step) {
    const auto is_known = [&](ArrayRef array) { return plan.invariants.contains(array); };
    const auto is_result = [&](ArrayRef array) { return results.contains(array); };
    const std::vector<ArrayRef> stored = stored_by(step);
    if (!std::holds_alternative<Region>(step) || std::ranges::any_of(stored, is_result)) return false;
    if (!std::ranges::all_of(read_by(step), is_known)) return false;
    plan.invariants.insert(stored.begin(), stored.end());
    return true;
  };
  std::vector<Plan::Step> first, others;
  for (Plan::Step& step : plan.steps) (is_invariant(step) ? first : others).push_back(std::move(step));
  plan.invariant_steps = static_cast<int>(first.size());
  plan.steps = std::move(first);
  std::ranges::move(others, std::back_inserter(plan.steps));
}

}  // namespace heed
