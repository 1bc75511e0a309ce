// Reverse mode through a scan: another scan, run the other way, that carries the derivatives by the carried values.
#include <algorithm>

#include "ir/algebra.h"
#include "passes/pull_back.h"
#include "passes/scan_body.h"

namespace heed {
namespace {

ArrayRef stand_in(ArrayRef like, const std::string& prefix) {
  return input(*like->arena, prefix + (like->name.empty() ? "" : like->name + "_") + std::to_string(like->id), like->shape, like->dtype);
}

std::vector<Expr> here(ArrayRef array) {
  std::vector<Expr> at;
  for (AxisRef place : positions(array)) at.push_back(value(place));
  return at;
}

bool has(const std::vector<ArrayRef>& arrays, ArrayRef array) { return std::ranges::find(arrays, array) != arrays.end(); }

// An outer array and the derivatives by it: of an element a result that is yielded, of a start one that is carried, of a captured array
// the sum of what each step adds: carried, or summed over all steps at once outside of the scan.
struct Derivative {
  enum class From { yielded, carried, steps } from;
  ArrayRef target;
  ArrayRef made;  // in the reverse body
  std::size_t index = 0;
};

struct ReverseScan {
  const Scan& old;          // as it was
  Scan forward, reverse{};  // with what must be kept of each step; the way back
  std::vector<Derivative> derivatives{};
  std::vector<std::pair<std::size_t, std::size_t>> kept_elements{};  // element of reverse, yield of forward
  ArrayTable kept{};                                                 // arrays of the forward body and their stand-ins in the reverse one
  std::unordered_map<ArrayRef, std::size_t> lifted{};                // arrays of the reverse body and their yield
  std::unordered_set<ArrayRef> backward{};                           // of the reverse body, what depends on a derivative
  std::unordered_set<ArrayRef> local{};                              // of the reverse body, what changes from step to step
};

// Derivatives by yields arrive as elements, those by carried values are carried. Gives the seeds of the body's reverse mode.
std::vector<Cotangent> take_cotangents(ReverseScan& scan, const std::vector<ArrayRef>& given, const std::vector<std::size_t>& carried) {
  std::vector<Cotangent> cotangents;
  scan.reverse.elements = scan.old.elements;
  scan.reverse.element_inputs = scan.old.element_inputs;
  for (std::size_t k = 0; k < scan.old.yields.size(); ++k) {
    if (!given[k]) continue;
    cotangents.push_back({scan.old.yields[k], stand_in(scan.old.yields[k], "d_")});
    scan.reverse.elements.push_back(given[k]);
    scan.reverse.element_inputs.push_back(cotangents.back().derivative);
  }
  for (std::size_t k : carried) {
    ArrayRef last = given[scan.old.yields.size() + k];
    cotangents.push_back({scan.old.next[k], stand_in(scan.old.carried_inputs[k], "d_")});
    scan.reverse.starts.push_back(last ? last : derivative_array({}, scan.old.next[k]));
    scan.reverse.carried_inputs.push_back(cotangents.back().derivative);
  }
  return cotangents;
}

// Scans in the body yield more than before, too.
void redirect_inside(ReverseScan& scan, const Redirect& redirect) {
  std::vector<ArrayRef> arrays = roots_of(scan.forward);
  for (const Derivative& each : scan.derivatives) arrays.push_back(each.made);
  arrays = rewrite(arrays, redefine, redirect);
  auto next = arrays.begin();
  for (ArrayRef& array : scan.forward.yields) array = *next++;
  for (ArrayRef& array : scan.forward.next) array = *next++;
  for (Derivative& each : scan.derivatives) each.made = *next++;
}

void find_locals(ReverseScan& scan) {
  std::vector<ArrayRef> roots, seeds = scan.old.element_inputs, derivatives;
  for (const Derivative& each : scan.derivatives) roots.push_back(each.made);
  seeds.insert(seeds.end(), scan.old.carried_inputs.begin(), scan.old.carried_inputs.end());
  derivatives.assign(scan.reverse.element_inputs.begin() + static_cast<std::ptrdiff_t>(scan.old.elements.size()),
                     scan.reverse.element_inputs.end());
  derivatives.insert(derivatives.end(), scan.reverse.carried_inputs.begin(), scan.reverse.carried_inputs.end());
  for (ArrayRef array : dependents(roots, derivatives)) scan.backward.insert(array);
  seeds.insert(seeds.end(), derivatives.begin(), derivatives.end());
  for (ArrayRef array : dependents(roots, seeds)) scan.local.insert(array);
}

// Of the forward body, what the way back reads rather than makes again: carried values and what reductions and scans made.
bool is_kept(const ReverseScan& scan, ArrayRef array) {
  if (!scan.local.contains(array) || scan.backward.contains(array) || has(scan.reverse.element_inputs, array)) return false;
  if (array->kind == Array::Kind::definition) return array->body->has_reduction;
  return true;
}

void keep(ReverseScan& scan, ArrayRef array) {
  if (scan.kept.contains(array)) return;
  const auto yield = static_cast<std::size_t>(std::ranges::find(scan.forward.yields, array) - scan.forward.yields.begin());
  if (yield == scan.forward.yields.size()) scan.forward.yields.push_back(array);
  scan.kept_elements.emplace_back(scan.reverse.elements.size(), yield);
  scan.kept[array] = stand_in(array, "kept_");
  scan.reverse.elements.push_back(nullptr);  // Known when the forward scan is made.
  scan.reverse.element_inputs.push_back(scan.kept[array]);
}

// What a step adds to the derivative by a captured array is summed over all steps at once where keeping what it reads costs less than
// reading and writing the derivative in every step.
bool sum_outside(ReverseScan& scan, const Derivative& derivative) {
  if (derivative.made->kind != Array::Kind::definition) return false;
  std::vector<ArrayRef> made_in_steps;
  std::int64_t read = 0, kept = 0;
  for (ArrayRef array : reads_of(derivative.made)) {
    if (!scan.local.contains(array)) continue;
    read += element_count(array);
    if (is_kept(scan, array) || has(scan.reverse.element_inputs, array) || scan.lifted.contains(array)) continue;
    made_in_steps.push_back(array);
    kept += element_count(array);
  }
  const std::int64_t size = element_count(derivative.made);
  if (read >= size && !(derivative.made->body->has_reduction && kept <= 2 * size)) return false;
  for (ArrayRef array : made_in_steps) {
    const auto yield = static_cast<std::size_t>(std::ranges::find(scan.reverse.yields, array) - scan.reverse.yields.begin());
    if (yield == scan.reverse.yields.size()) scan.reverse.yields.push_back(array);
    scan.lifted[array] = yield;
  }
  for (ArrayRef array : reads_of(derivative.made))
    if (is_kept(scan, array)) keep(scan, array);
  return true;
}

void place_derivatives(ReverseScan& scan) {
  for (Derivative& each : scan.derivatives) {
    if (each.from == Derivative::From::yielded) {
      each.index = scan.reverse.yields.size();
      scan.reverse.yields.push_back(each.made);
    } else if (each.from == Derivative::From::carried) {
      each.index = scan.reverse.next.size();
      scan.reverse.next.push_back(each.made);
    }
  }
  for (Derivative& each : scan.derivatives) {
    if (each.from != Derivative::From::steps || sum_outside(scan, each)) continue;
    ArrayRef total = stand_in(each.target, "sum_");
    each.from = Derivative::From::carried;
    each.index = scan.reverse.next.size();
    scan.reverse.starts.push_back(derivative_array({}, each.target));
    scan.reverse.carried_inputs.push_back(total);
    scan.reverse.next.push_back(derivative_array({read_stored(each.made, here(each.made)), read_stored(total, here(total))}, each.target));
  }
}

void keep_forward_values(ReverseScan& scan) {
  std::unordered_set<ArrayRef> met;
  std::vector<ArrayRef> left = roots_of(scan.reverse);
  while (!left.empty()) {
    ArrayRef array = left.back();
    left.pop_back();
    if (!met.insert(array).second) continue;
    if (is_kept(scan, array))
      keep(scan, array);
    else
      for (ArrayRef read : reads_of(array)) left.push_back(read);
  }
  const std::vector<ArrayRef> roots = rewrite(roots_of(scan.reverse), redefine, {scan.kept, {}});
  scan.reverse.yields.assign(roots.begin(), roots.begin() + static_cast<std::ptrdiff_t>(scan.reverse.yields.size()));
  scan.reverse.next.assign(roots.begin() + static_cast<std::ptrdiff_t>(scan.reverse.yields.size()), roots.end());
}

// The sum over steps of what each adds: reads of what the steps made go to what was kept of them.
Expr sum_of_steps(const ReverseScan& scan, const Derivative& derivative, const std::vector<ArrayRef>& results) {
  AxisRef step = fresh_axis(*derivative.made->arena, scan.old.length);
  auto stacked = [&](ArrayRef array) {
    if (auto known = scan.kept.find(array); known != scan.kept.end()) array = known->second;
    const auto element = std::ranges::find(scan.reverse.element_inputs, array) - scan.reverse.element_inputs.begin();
    if (static_cast<std::size_t>(element) < scan.reverse.elements.size()) return scan.reverse.elements[static_cast<std::size_t>(element)];
    return results.at(scan.lifted.at(array));
  };
  Expr lifted = rewrite(derivative.made->body, [&](Expr node, std::span<const Expr> operands) {
    if (node->op != Op::read || !scan.local.contains(node->array)) return with_operands(node, operands);
    std::vector<Expr> at{value(step)};
    at.insert(at.end(), operands.begin(), operands.end());
    return read(stacked(node->array), at);
  });
  return sum(std::vector{step}, lifted);
}

}  // namespace

ScanAdjoint adjoint_of_scan(ArrayRef any_result, const std::vector<ArrayRef>& derivatives, const IsActive& is_active) {
  const Scan& old = *any_result->scan;
  Arena& arena = *any_result->arena;
  const ScanActivity activity(old, is_active);
  ReverseScan scan{.old = old, .forward = old};
  scan.reverse.length = old.length;
  scan.reverse.reverse = !old.reverse;

  std::vector<std::size_t> elements, carried;
  std::vector<ArrayRef> variables;
  for (std::size_t k = 0; k < old.elements.size(); ++k)
    if (activity.is_active(old.element_inputs[k])) {
      elements.push_back(k);
      variables.push_back(old.element_inputs[k]);
    }
  for (std::size_t k = 0; k < old.starts.size(); ++k)
    if (activity.is_active(old.carried_inputs[k])) {
      carried.push_back(k);
      variables.push_back(old.carried_inputs[k]);
    }
  const std::vector<ArrayRef> captured = activity.captured();
  variables.insert(variables.end(), captured.begin(), captured.end());

  const std::vector<Cotangent> cotangents = take_cotangents(scan, derivatives, carried);
  const PullBack body = pull_back(cotangents, variables, activity.local());
  auto terms = body.terms.begin();
  for (std::size_t k : elements)
    scan.derivatives.push_back({Derivative::From::yielded, old.elements[k], derivative_array(*terms++, old.element_inputs[k])});
  for (std::size_t k : carried)
    scan.derivatives.push_back({Derivative::From::carried, old.starts[k], derivative_array(*terms++, old.carried_inputs[k])});
  for (ArrayRef array : captured)
    for (Expr term : *terms++) scan.derivatives.push_back({Derivative::From::steps, array, derivative_array({term}, array)});

  redirect_inside(scan, {{}, body.replaced});
  find_locals(scan);
  place_derivatives(scan);
  keep_forward_values(scan);

  const std::vector<ArrayRef> forward = heed::scan(arena, scan.forward);
  for (const auto& [element, yield] : scan.kept_elements) scan.reverse.elements[element] = forward[yield];
  const std::vector<ArrayRef> results = heed::scan(arena, scan.reverse);

  ScanAdjoint adjoint;
  for (const Derivative& each : scan.derivatives) {
    if (each.from == Derivative::From::steps) {
      adjoint.terms.emplace_back(each.target, sum_of_steps(scan, each, results));
      continue;
    }
    ArrayRef made = results.at(each.from == Derivative::From::yielded ? each.index : scan.reverse.yields.size() + each.index);
    adjoint.terms.emplace_back(each.target, read_stored(made, here(made)));
  }
  for (std::size_t k = 0; k < derivatives.size(); ++k)
    adjoint.replacement.push_back(forward[k < old.yields.size() ? k : k + forward.size() - derivatives.size()]);
  return adjoint;
}

}  // namespace heed
