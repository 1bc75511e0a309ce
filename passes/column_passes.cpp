// Gives each array of a region its pass, and finds the reductions that can run with their maximum.
#include "passes/column_passes.h"

#include <algorithm>
#include <limits>
#include <set>

#include "ir/algebra.h"
#include "ir/function.h"
#include "passes/degrees.h"

namespace heed {

namespace {

using Role = ColumnPasses::Role;

bool has(const auto& list, const auto& value) { return std::ranges::find(list, value) != list.end(); }

class Finder {
 public:
  explicit Finder(const BlockRegion& region) : region_(region), axes_(region.axes) {
    for (std::size_t k = 0; k < region.arrays.size(); ++k) number_[region.arrays[k]] = k;
  }

  std::optional<ColumnPasses> run() {
    const std::size_t count = region_.arrays.size();
    if (axes_.frame.whole[static_cast<std::size_t>(axes_.column)]) return {};
    passes_.role.resize(count), passes_.pass.assign(count, 0), passes_.running.resize(count), needs_.resize(count);
    for (std::size_t k = 0; k < count; ++k) {
      const bool is_wide = axes_.position_on(k, axes_.column) >= 0, is_reduced = is_over_columns(k);
      if (is_wide && is_reduced) return {};
      passes_.role[k] = is_wide ? Role::wide : is_reduced ? Role::reduced : Role::narrow;
      if (is_reduced && !is_put_together(k)) return {};
      int after = 0;
      for (std::size_t read : reads(k)) {
        if (passes_.role[read] == Role::reduced)
          needs_[k].insert(read);
        else
          needs_[k].insert(needs_[read].begin(), needs_[read].end());
      }
      for (std::size_t need : needs_[k]) after = std::max(after, passes_.pass[need] + 1);
      passes_.pass[k] = after;
      if (is_reduced && after > 0 && axes_.reduced[k].empty() && try_running(k)) passes_.pass[k] = after - 1;
      const bool is_made_once = is_reduced || (is_wide && has(region_.outputs, region_.arrays[k]));
      if (is_made_once) passes_.count = std::max(passes_.count, passes_.pass[k] + 1);
    }
    return std::move(passes_);
  }

 private:
  std::vector<std::size_t> reads(std::size_t k) const {
    std::vector<std::size_t> found;
    for (ArrayRef read : region_.arrays[k]->reads)
      if (auto member = number_.find(read); member != number_.end()) found.push_back(member->second);
    return found;
  }

  int joined(std::size_t k, AxisRef axis) const {
    auto found = axes_.frame.axis_of[k].find(axis);
    return found == axes_.frame.axis_of[k].end() ? -1 : found->second;
  }

  bool is_over_columns(std::size_t k) const {
    const std::vector<AxisRef> own = positions(region_.arrays[k]);
    return std::ranges::any_of(axes_.frame.axis_of[k],
                               [&](const auto& each) { return each.second == axes_.column && !has(own, each.first); });
  }

  // The array is nothing but the reduction, so that parts of it can be kept in its place; or it is added to by blocks anyway.
  bool is_put_together(std::size_t k) const {
    ArrayRef array = region_.arrays[k];
    if (!axes_.reduced[k].empty()) return true;
    return array->body->op == Op::reduction && is_floating(array->dtype) && compute_type(array->dtype) == array->dtype &&
           (array->body->reduction == Reduction::sum || array->body->reduction == Reduction::maximum);
  }

  // Puts array k into the pass of the one maximum of that pass that it needs.
  bool try_running(std::size_t k) {
    const int pass = passes_.pass[k] - 1;
    std::vector<std::size_t> late;
    for (std::size_t need : needs_[k])
      if (passes_.pass[need] == pass) late.push_back(need);
    if (late.size() != 1) return false;
    const std::size_t maximum = late[0];
    ArrayRef array = region_.arrays[maximum];
    if (passes_.role[maximum] != Role::reduced || passes_.running[maximum] || !axes_.reduced[maximum].empty() ||
        array->body->op != Op::reduction || array->body->reduction != Reduction::maximum)
      return false;
    for (std::size_t shift = maximum; shift < k; ++shift)
      if (is_shift_of(shift, maximum))
        if (std::optional<double> power = power_of(k, shift, maximum)) {
          passes_.running[k] = ColumnPasses::Running{maximum, shift, *power};
          return true;
        }
    return false;
  }

  // The maximum, or no less than it and made of it alone.
  bool is_shift_of(std::size_t shift, std::size_t maximum) const {
    if (shift == maximum) return true;
    ArrayRef array = region_.arrays[shift];
    if (passes_.role[shift] != Role::narrow || needs_[shift] != std::set<std::size_t>{maximum} || !axes_.reduced[shift].empty())
      return false;
    return read_of(maximum, array->body) != nullptr;
  }

  // The read of the maximum that the body is, or that it is the larger of and something else.
  Expr read_of(std::size_t maximum, Expr body) const {
    if (body->op == Op::read && body->array == region_.arrays[maximum]) return body;
    if (body->op != Op::function || body->function != &functions::maximum) return nullptr;
    for (Expr operand : body->operands)
      if (Expr found = read_of(maximum, operand)) return found;
    return nullptr;
  }

  // What array k is made of in the same pass, but for the shift and what it is made of, in order; k is the last.
  std::vector<std::size_t> cone_of(std::size_t k, std::size_t shift) const {
    std::set<std::size_t> cone;
    std::vector<std::size_t> stack{k};
    while (!stack.empty()) {
      const std::size_t next = stack.back();
      stack.pop_back();
      if (!cone.insert(next).second) continue;
      for (std::size_t read : reads(next))
        if (read != shift && passes_.role[read] != Role::reduced) stack.push_back(read);
    }
    return {cone.begin(), cone.end()};
  }

  std::optional<double> power_of(std::size_t k, std::size_t shift, std::size_t maximum) const {
    Degrees degrees(region_.arrays[shift]);
    for (std::size_t member : cone_of(k, shift)) {
      if (has(reads(member), maximum) && shift != maximum) return {};
      if (!degrees.enter(region_.arrays[member], reads_of(region_.arrays[member]))) return {};
      if (degrees.of(region_.arrays[member]).shift != 0 || !exponents_are_safe(member, shift, maximum)) return {};
    }
    // It has all axes of the shift.
    for (AxisRef place : positions(region_.arrays[shift]))
      if (const int axis = joined(shift, place); axis >= 0 && !has(axes_.units, axis) && axes_.position_on(k, axis) < 0) return {};
    return degrees.of(region_.arrays[k]).power;
  }

  // Where the shift stands in an exponent it is taken from what the maximum is of: no exponent is above 0 while the maximum runs.
  bool exponents_are_safe(std::size_t k, std::size_t shift, std::size_t maximum) const {
    for (Expr node : nodes_of(region_.arrays[k]->body)) {
      if (node->op == Op::read && node->array == region_.arrays[shift]) continue;
      const bool is_exponential = node->op == Op::function && node->function == &functions::exp;
      for (Expr operand : node->operands) {
        if (operand->op != Op::read || operand->array != region_.arrays[shift]) continue;
        if (node->op != Op::linear) return false;  // met elsewhere than as a term
      }
      if (!is_exponential || !reads_shift(node->operands[0], shift)) continue;
      if (!is_safe(node, k, shift, maximum)) return false;
    }
    return true;
  }

  bool reads_shift(Expr x, std::size_t shift) const {
    return std::ranges::any_of(nodes_of(x), [&](Expr node) { return node->op == Op::read && node->array == region_.arrays[shift]; });
  }

  bool is_safe(Expr exponential, std::size_t k, std::size_t shift, std::size_t maximum) const {
    Expr exponent = exponential->operands[0];
    if (exponent->op != Op::linear) return false;
    Expr read = nullptr;
    double weight = 0;
    for (std::size_t term = 0; term < exponent->operands.size(); ++term) {
      Expr operand = exponent->operands[term];
      if (operand->op == Op::read && operand->array == region_.arrays[shift])
        read = operand, weight = exponent->weights[term];
      else if (reads_shift(operand, shift))
        return false;
    }
    if (!read || weight >= 0) return false;
    Expr x = add(exponent, scale(-weight, read));
    for (const auto& [axis, own] : axes_.frame.axis_of[k]) {
      if (own != axes_.column || !std::ranges::binary_search(x->free, axis->id, {}, &Axis::id)) continue;
      Expr operand = operand_at(read, axis, shift, maximum);
      if (x == scale(-weight, operand) || is_lowered(x, scale(-weight, operand))) return true;
      // Where the maximum leaves something out, so does all that the exponential is used for.
      if (operand->op == Op::select)
        for (std::size_t branch : {1, 2})
          if (x == scale(-weight, operand->operands[branch]) && is_lowest(operand->operands[3 - branch]) &&
              is_used_under(operand->operands[0], branch, exponential, region_.arrays[k]->body))
            return true;
    }
    return false;
  }

  static bool is_lowest(Expr x) { return is_constant(x) && x->real == -std::numeric_limits<double>::infinity(); }

  // Whether the body uses x in that branch of selections by the condition alone.
  static bool is_used_under(Expr condition, std::size_t branch, Expr x, Expr body) {
    if (body == x) return false;
    for (std::size_t k = 0; k < body->operands.size(); ++k)
      if (!(body->op == Op::select && body->operands[0] == condition && k == branch) &&
          !is_used_under(condition, branch, x, body->operands[k]))
        return false;
    return true;
  }

  static bool is_lowered(Expr x, Expr from) {
    if (x->op != Op::select) return false;
    return (x->operands[1] == from && is_lowest(x->operands[2])) || (x->operands[2] == from && is_lowest(x->operands[1]));
  }

  // What the maximum is of, where `read` reads the shift, at a column.
  Expr operand_at(Expr read, AxisRef column, std::size_t shift, std::size_t maximum) const {
    auto at = [](ArrayRef array, std::span<const Expr> indices) {
      Substitution table;
      const std::vector<AxisRef> own = positions(array);
      for (std::size_t p = 0; p < own.size(); ++p) table.emplace_back(own[p], indices[p]);
      return table;
    };
    ArrayRef array = region_.arrays[maximum];
    if (shift != maximum) {
      ArrayRef shifted = region_.arrays[shift];
      read = substitute(read_of(maximum, shifted->body), at(shifted, read->operands));
    }
    Substitution table = at(array, read->operands);
    for (AxisRef axis : array->body->axes)
      if (joined(maximum, axis) == axes_.column) table.emplace_back(axis, value(column));
    return substitute(array->body->operands[0], table);
  }

  const BlockRegion& region_;
  const BlockAxes& axes_;
  std::unordered_map<ArrayRef, std::size_t> number_;
  ColumnPasses passes_;
  std::vector<std::set<std::size_t>> needs_;  // reductions over columns that an array depends on
};

}  // namespace

std::optional<ColumnPasses> column_passes(const BlockRegion& region) { return Finder(region).run(); }

std::vector<std::size_t> made_in_pass(const BlockRegion& region, int pass) {
  const ColumnPasses& passes = *region.passes;
  std::unordered_map<ArrayRef, std::size_t> number;
  std::vector<std::size_t> made;
  for (std::size_t k = 0; k < region.arrays.size(); ++k) number[region.arrays[k]] = k;
  std::vector<bool> is_made(region.arrays.size());
  for (std::size_t k = region.arrays.size(); k-- > 0;) {
    const bool is_output = passes.role[k] == Role::wide && has(region.outputs, region.arrays[k]);
    if (passes.pass[k] == pass && (passes.role[k] == Role::reduced || is_output)) is_made[k] = true;
    if (!is_made[k]) continue;
    made.push_back(k);
    for (ArrayRef read : region.arrays[k]->reads)
      if (auto member = number.find(read); member != number.end()) {
        const std::size_t other = member->second;
        // What has no columns is made for each block of them only while it is not complete.
        is_made[other] =
            is_made[other] || passes.role[other] == Role::wide || (passes.role[other] == Role::narrow && passes.pass[other] > pass);
      }
  }
  std::ranges::reverse(made);
  return made;
}

}  // namespace heed
