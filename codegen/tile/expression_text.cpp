// One line a node, operands by number.
#include "codegen/tile/expression_text.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "ir/function.h"

namespace heed {

std::size_t ExpressionText::number(AxisRef axis) {
  auto [found, added] = axes_.try_emplace(axis, axes_.size());
  if (added) text_ += fmt::format("axis {}: {}\n", found->second, axis->size);
  return found->second;
}

std::size_t ExpressionText::number(ArrayRef array) {
  auto [found, added] = arrays_.try_emplace(array, arrays_.size());
  if (!added) return found->second;
  text_ += fmt::format("array {}: {} {}", found->second, name_of(array->dtype), fmt::join(array->shape, "x"));
  // What can be known of a scalar index decides how addresses are computed.
  if (array->shape.empty() && array->range) text_ += fmt::format(" in {} … {}", array->range->low, array->range->high);
  text_ += '\n';
  return found->second;
}

void ExpressionText::add(AxisRef axis) { text_ += fmt::format("axis {}\n", number(axis)); }
void ExpressionText::add(ArrayRef array) { text_ += fmt::format("array {}\n", number(array)); }

void ExpressionText::add(Expr root) {
  for (Expr x : nodes_of(root)) {
    if (nodes_.contains(x)) continue;
    std::string line = fmt::format("{} {} {} {} {:a} {}", static_cast<int>(x->op), static_cast<int>(x->dtype),
                                   static_cast<int>(x->reduction), static_cast<int>(x->to), x->real, x->integer);
    if (x->function) line += fmt::format(" {}", x->function->name);
    if (x->array) line += fmt::format(" array {}", number(x->array));
    for (AxisRef axis : x->axes) line += fmt::format(" axis {}", number(axis));
    for (Expr operand : x->operands) line += fmt::format(" {}", nodes_.at(operand));
    for (double weight : x->weights) line += fmt::format(" {:a}", weight);
    for (std::int64_t weight : x->integers) line += fmt::format(" {}", weight);
    nodes_.emplace(x, nodes_.size());
    text_ += line += '\n';
  }
  text_ += fmt::format("= {}\n", nodes_.at(root));
}

}  // namespace heed
