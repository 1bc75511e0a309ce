// Names of axes, from what is read at them.
#include "passes/axis_names.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "ir/algebra.h"

namespace heed {

AxisNames::AxisNames(const Graph& graph) {
  for (const GraphInput& input : graph.inputs) {
    Names& names = names_[input.array];
    std::vector<AxisRef> places = positions(input.array);
    for (std::size_t p = 0; p < std::min(places.size(), input.axes.size()); ++p)
      if (!input.axes[p].empty()) names[places[p]] = input.axes[p];
  }
}

const AxisNames::Names& AxisNames::names_in(ArrayRef array) const {
  if (auto found = names_.find(array); found != names_.end()) return found->second;
  for (ArrayRef each : in_order({array})) {
    auto [entry, is_new] = names_.try_emplace(each);
    if (!is_new || !each->body) continue;
    for (Expr node : nodes_of(each->body)) {
      if (node->op != Op::read) continue;
      std::vector<AxisRef> places = positions(node->array);
      for (std::size_t p = 0; p < places.size(); ++p) {
        if (node->operands[p]->op != Op::axis) continue;
        const Names& read = names_.at(node->array);
        if (auto name = read.find(places[p]); name != read.end()) entry->second.emplace(node->operands[p]->axes[0], name->second);
      }
    }
  }
  return names_.at(array);
}

std::string AxisNames::name(ArrayRef array, AxisRef axis) const {
  const Names& names = names_in(array);
  auto found = names.find(axis);
  return found == names.end() ? "" : found->second;
}

std::string AxisNames::shape(ArrayRef array) const {
  std::vector<std::string> sizes;
  for (AxisRef axis : positions(array)) {
    std::string known = axis->size > 1 ? name(array, axis) : "";
    sizes.push_back(known.empty() ? fmt::format("{}", axis->size) : known);
  }
  return fmt::format("[{}]", fmt::join(sizes, ", "));
}

std::string AxisNames::typed_shape(ArrayRef array) const {
  const std::string sizes = array->shape.empty() ? "" : shape(array);
  if (array->dtype == DType::f32 && !sizes.empty()) return sizes;
  return std::string(name_of(array->dtype)) + sizes;
}

}  // namespace heed
