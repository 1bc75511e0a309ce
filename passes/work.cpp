// What arrays cost.
#include "passes/work.h"

#include <algorithm>
#include <cmath>

#include "ir/function.h"

namespace heed {

// Columns are cut for kernels alone that hold values in registers: others have no order of blocks of the same rows. Of a thread's 255
// registers a quarter is left for addresses, fragments and what rows carry.
Machine gpu_machine(const GpuFigures& gpu) {
  constexpr int first_with_copies = 80;  // and with products of bf16 (PTX: cp.async, mma.m16n8k16)
  constexpr int first_with_fewer = 90;   // registers: ptxas 13.0 needs some more for the same kernel
  Machine machine;
  machine.columns_of_passes = 0;
  machine.shared_bytes = gpu.shared_bytes, machine.shared_of_multiprocessor = gpu.shared_of_multiprocessor;
  machine.has_groups = gpu.has_groups;
  if (gpu.chip < first_with_copies) return machine;
  machine.sums_of_thread = 192;
  machine.values_of_thread = gpu.chip < first_with_fewer ? 28 : 8;
  machine.half_products = 8;  // to memory's speed as 156 TFLOP/s, half of what an A100 says of itself, to 1.6 TB/s
  return machine;
}

namespace {

double elements(const std::vector<AxisRef>& axes) {
  double count = 1;
  for (AxisRef axis : axes) count *= static_cast<double>(axis->size);
  return count;
}

bool is_comparison(const Node& node) { return node.op == Op::at_least || node.op == Op::greater || node.op == Op::equal; }

// Operations of the node alone, its operands given.
double own_operations(const Node& node, double function_operations) {
  if (is_comparison(node)) return 1;
  if (!is_floating(node.dtype)) return node.op == Op::function ? function_operations : 0;
  switch (node.op) {
    case Op::linear: {
      double count = static_cast<double>(node.operands.size()) - 1 + (node.real != 0);
      for (double weight : node.weights) count += std::abs(weight) != 1;
      return count;
    }
    case Op::product: {
      double count = static_cast<double>(node.operands.size()) - 1;
      for (double power : node.weights) count += power == 1 ? 0 : power == std::round(power) && power > 0 ? power - 1 : 4;
      return count;
    }
    case Op::function:
      return node.function == &functions::maximum ? 1 : function_operations;
    case Op::select:
      return 1;
    default:
      return 0;
  }
}

}  // namespace

double flop_per_second(ArrayRef product, const Machine& machine) {
  const bool are_half = std::ranges::all_of(product->reads, is_half, &Array::dtype);
  return machine.flop_per_second * (are_half ? machine.half_products : 1);
}

double flop_of(ArrayRef array) {
  if (!array->body) return 0;
  double total = 0;
  for (Expr node : nodes_of(array->body)) {
    if (node->op == Op::select) continue;
    double count = own_operations(*node, 1);
    if (node->op == Op::reduction && is_floating(node->operands[0]->dtype)) count = elements(node->axes);
    total += count * elements(node->free);
  }
  return total;
}

double operations_of(Expr body, const Machine& machine) {
  double total = 0;
  for (Expr node : nodes_of(body)) total += own_operations(*node, machine.function_operations);
  return total;
}

double bytes_of(ArrayRef array) { return static_cast<double>(element_count(array)) * static_cast<double>(byte_size(array->dtype)); }

}  // namespace heed
