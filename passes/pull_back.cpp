// Reverse mode over the arrays of a graph, last one first.
#include "passes/pull_back.h"

#include <algorithm>

#include "ir/algebra.h"
#include "passes/adjoint_of_read.h"
#include "passes/cancel_shifts.h"
#include "passes/reads_outside.h"

namespace heed {
namespace {

std::vector<Expr> here(ArrayRef array) {
  std::vector<Expr> at;
  for (AxisRef place : positions(array)) at.push_back(value(place));
  return at;
}

// What is made for the gradient of an array is drawn and named with it.
void mark_gradient_of(ArrayRef array) {
  Arena& arena = *array->arena;
  Origin origin = arena.origin(array->origin);
  if (!origin.what.empty() && !origin.what.starts_with("gradient of ")) origin.what = "gradient of " + origin.what;
  arena.set_origin(std::move(origin));
}

bool is_differentiable(ArrayRef array) { return is_floating(array->dtype); }

// Axes of a read in the order in which its array lays them out.
std::vector<AxisRef> by_layout(Expr read) {
  std::vector<AxisRef> axes;
  for (Expr index : read->operands) {
    std::vector<IntegerTerm> terms = linear_form(index).terms;
    std::ranges::sort(terms, {}, [](const IntegerTerm& term) { return std::pair(-std::abs(term.weight), term.x->id); });
    for (const IntegerTerm& term : terms)
      for (AxisRef axis : term.x->free)
        if (std::ranges::find(axes, axis) == axes.end()) axes.push_back(axis);
  }
  return axes;
}

// A derivative made by a reduction is an array over the axes of its read: what is left to do is movement, without the guards and
// divisions that solving the read for its axes brings. Not where that is larger than what was read: the windows of a convolution are
// summed at once.
Expr with_name(const ReadAdjoint& each) {
  double elements = 1;
  for (AxisRef axis : each.axes) elements *= static_cast<double>(axis->size);
  const bool is_expanded = elements > static_cast<double>(element_count(each.read->array));
  if (!each.adjoint->has_reduction || is_expanded || may_read_outside(each.adjoint)) return each.adjoint;
  const std::vector<AxisRef> axes = by_layout(each.read);
  std::vector<Expr> at;
  for (AxisRef axis : axes) at.push_back(value(axis));
  const std::string& name = each.read->array->name;
  return read_stored(define(axes, each.adjoint, each.adjoint->dtype, name.empty() ? "" : "d_" + name), at);
}

class Reverse {
 public:
  Reverse(const std::vector<Cotangent>& outputs, const std::vector<ArrayRef>& wrt,
          const std::optional<std::unordered_set<ArrayRef>>& inside)
      : inside_(inside) {
    std::vector<ArrayRef> roots;
    for (const Cotangent& output : outputs) roots.push_back(output.output);
    order_ = in_order(roots);
    if (inside_)
      std::erase_if(order_, [&](ArrayRef array) { return !inside_->contains(array) && std::ranges::find(wrt, array) == wrt.end(); });
    const std::unordered_set<ArrayRef> shifts = cancelling_shifts(order_, roots);
    for (ArrayRef array : wrt)
      if (is_differentiable(array)) active_.insert(array);
    for (ArrayRef array : order_)
      if (is_differentiable(array) && !shifts.contains(array) && depends_on_active(array)) active_.insert(array);
    for (const Cotangent& output : outputs) add(output.output, read(output.derivative, here(output.output)));
  }

  PullBack operator()(const std::vector<ArrayRef>& wrt) {
    for (auto array = order_.rbegin(); array != order_.rend(); ++array) pass(*array);
    PullBack result;
    for (ArrayRef array : wrt) result.terms.push_back(terms_[array]);
    result.replaced = std::move(replaced_);
    return result;
  }

 private:
  bool is_inside(ArrayRef array) const { return !inside_ || inside_->contains(array); }
  IsActive is_active() const {
    return [this](ArrayRef array) { return active_.contains(array); };
  }

  bool depends_on_active(ArrayRef array) {
    if (active_.contains(array)) return true;
    if (!is_inside(array)) return false;
    if (array->kind == Array::Kind::definition) return has_active_read(array->body, is_active());
    if (array->kind != Array::Kind::scanned) return false;
    auto [found, fresh] = scan_activity_.try_emplace(array->scan);
    if (fresh) found->second = active_results(*array->scan, is_active());
    return found->second.at(static_cast<std::size_t>(array->result));
  }

  void add(ArrayRef array, Expr term) {
    if (active_.contains(array) && !is_constant(term, 0)) terms_[array].push_back(term);
  }

  void pass(ArrayRef array) {
    if (!is_inside(array)) return;
    if (array->kind == Array::Kind::definition) pass_definition(array);
    if (array->kind == Array::Kind::scanned) pass_scan(array);
  }

  void pass_definition(ArrayRef array) {
    auto found = terms_.find(array);
    if (found == terms_.end()) return;
    mark_gradient_of(array);
    ArrayRef derivative = derivative_array(found->second, array);
    // From here on the sum is one array; as a derivative that was asked for it is the same one.
    found->second = {read_stored(derivative, here(array))};
    for (const ReadAdjoint& each : adjoints_of_reads(array, read(derivative, here(array)), is_active()))
      add(each.read->array, adjoint_of_read(each.read->array, each.read->operands, with_name(each), each.axes));
  }

  // All results of a scan at the first of them: whatever reads any of them comes later, and what the scan reads earlier.
  void pass_scan(ArrayRef array) {
    auto [first, fresh] = first_result_.try_emplace(array->scan);
    if (fresh) first->second = *std::ranges::find_if(order_, [&](ArrayRef each) { return each->scan == array->scan; });
    if (first->second != array) return;
    mark_gradient_of(array);
    std::vector<ArrayRef> derivatives(array->scan->yields.size() + array->scan->next.size(), nullptr);
    for (ArrayRef each : order_) {
      if (each->scan != array->scan) continue;
      auto found = terms_.find(each);
      if (found == terms_.end()) continue;
      ArrayRef derivative = derivative_array(found->second, each);
      found->second = {read_stored(derivative, here(each))};
      derivatives.at(static_cast<std::size_t>(each->result)) = derivative;
    }
    if (std::ranges::all_of(derivatives, [](ArrayRef each) { return each == nullptr; })) return;
    ScanAdjoint adjoint = adjoint_of_scan(array, derivatives, is_active());
    for (const auto& [target, term] : adjoint.terms) add(target, term);
    replaced_[array->scan] = std::move(adjoint.replacement);
  }

  std::optional<std::unordered_set<ArrayRef>> inside_;
  std::vector<ArrayRef> order_;
  std::unordered_set<ArrayRef> active_;
  std::unordered_map<ArrayRef, std::vector<Expr>> terms_;
  std::unordered_map<const Scan*, std::vector<bool>> scan_activity_;
  std::unordered_map<const Scan*, ArrayRef> first_result_;
  ScanTable replaced_;
};

}  // namespace

ArrayRef derivative_array(const std::vector<Expr>& terms, ArrayRef like) {
  const DType dtype = compute_type(like->dtype);
  std::vector<Term> sum;
  for (Expr term : terms) sum.push_back({1, term->dtype == dtype ? term : cast(dtype, term)});
  return define(positions(like), linear(sum, 0, *like->arena, dtype), like->dtype, like->name.empty() ? "" : "d_" + like->name);
}

PullBack pull_back(const std::vector<Cotangent>& outputs, const std::vector<ArrayRef>& wrt,
                   const std::optional<std::unordered_set<ArrayRef>>& inside) {
  return Reverse(outputs, wrt, inside)(wrt);
}

}  // namespace heed
