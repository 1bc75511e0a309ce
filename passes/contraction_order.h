// In which order a sum over a product of several operands is made by sums over products of two.
#pragma once
#include <cstdint>
#include <vector>

namespace heed {

// Which axes, by number.
using AxisBits = std::uint64_t;
// Which operands, by number.
using OperandBits = std::uint32_t;

// A best binary tree over the operands. Each partial product is summed over the axes that nothing outside of it has; so is an operand by
// itself.
class ContractionOrder {
 public:
  static constexpr std::size_t most_operands = 8;

  // `kept`: axes of the result. Costs are multiplications with an addition, `stored` of them for each element of an intermediate value.
  ContractionOrder(std::vector<AxisBits> operands, AxisBits kept, std::vector<double> sizes, double stored);

  double cost() const { return cost_.back(); }
  OperandBits all() const { return static_cast<OperandBits>(cost_.size() - 1); }
  // Of a subset of several operands: one of the two parts that are multiplied.
  OperandBits part(OperandBits subset) const { return part_[subset]; }
  // What is left of the axes of a subset that has been summed.
  AxisBits axes_left(OperandBits subset) const;
  // Over which axes the product of a subset's two parts, or its only operand, is summed.
  AxisBits axes_bound(OperandBits subset) const;

 private:
  double span(AxisBits axes) const;
  AxisBits axes_of(OperandBits subset) const;

  std::vector<AxisBits> operands_;
  AxisBits kept_;
  std::vector<double> sizes_, cost_;  // cost_: by subset
  std::vector<OperandBits> part_;
};

}  // namespace heed
