// Dynamic programming over subsets of operands.
#include "passes/contraction_order.h"

#include <bit>
#include <limits>
#include <stdexcept>

namespace heed {

ContractionOrder::ContractionOrder(std::vector<AxisBits> operands, AxisBits kept, std::vector<double> sizes, double stored)
    : operands_(std::move(operands)), kept_(kept), sizes_(std::move(sizes)) {
  if (operands_.empty() || operands_.size() > most_operands) throw std::logic_error("contraction order: too many operands, or none");
  const OperandBits end = OperandBits{1} << operands_.size();
  cost_.assign(end, std::numeric_limits<double>::infinity());
  part_.assign(end, 0);
  cost_[0] = 0;
  for (OperandBits subset = 1; subset < end; ++subset) {
    const AxisBits left = axes_left(subset);
    double intermediate = subset == end - 1 ? 0 : stored * span(left);
    if (std::has_single_bit(subset)) {
      const AxisBits own = axes_of(subset);
      cost_[subset] = left == own ? 0 : span(own) + intermediate;
      continue;
    }
    // The part with the lowest operand: each pair of parts is met once.
    for (OperandBits part = (subset - 1) & subset; part; part = (part - 1) & subset) {
      if (!(part & subset & (~subset + 1))) continue;
      double cost = cost_[part] + cost_[subset ^ part] + span(axes_left(part) | axes_left(subset ^ part)) + intermediate;
      if (cost < cost_[subset]) cost_[subset] = cost, part_[subset] = part;
    }
  }
}

double ContractionOrder::span(AxisBits axes) const {
  double count = 1;
  for (; axes; axes &= axes - 1) count *= sizes_[static_cast<std::size_t>(std::countr_zero(axes))];
  return count;
}

AxisBits ContractionOrder::axes_of(OperandBits subset) const {
  AxisBits axes = 0;
  for (; subset; subset &= subset - 1) axes |= operands_[static_cast<std::size_t>(std::countr_zero(subset))];
  return axes;
}

AxisBits ContractionOrder::axes_left(OperandBits subset) const {
  const OperandBits others = static_cast<OperandBits>((OperandBits{1} << operands_.size()) - 1) ^ subset;
  return axes_of(subset) & (kept_ | axes_of(others));
}

AxisBits ContractionOrder::axes_bound(OperandBits subset) const {
  const OperandBits part = part_[subset];
  return (part ? axes_left(part) | axes_left(subset ^ part) : axes_of(subset)) & ~axes_left(subset);
}

}  // namespace heed
