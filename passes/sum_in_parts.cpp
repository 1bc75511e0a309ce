// Looks at the sizes of what is summed and of the parts.
#include "passes/sum_in_parts.h"

#include <algorithm>

#include "ir/algebra.h"
#include "passes/kind.h"
#include "passes/rewrite.h"

namespace heed {

namespace {

constexpr std::int64_t much_smaller = 2;

using Arrays = std::unordered_set<ArrayRef>;

// Those of 16 bits, or made of such.
Arrays of_halves(const std::vector<ArrayRef>& arrays, const Arrays& values) {
  Arrays found;
  for (ArrayRef array : arrays) {
    if (!values.contains(array)) continue;
    const bool reads_halves =
        std::ranges::any_of(reads_of(array), [&](ArrayRef read) { return is_half(read->dtype) || found.contains(read); });
    if (is_half(array->dtype) || reads_halves) found.insert(array);
  }
  return found;
}

ArrayRef in_parts(ArrayRef made, Expr total, std::int64_t most) {
  auto longest = std::ranges::max_element(total->axes, {}, &Axis::size);
  std::vector<AxisRef> others, axes;
  for (AxisRef axis : total->axes)
    if (axis != *longest) others.push_back(axis);
  axes = others;
  for (AxisRef axis : positions(made)) axes.push_back(axis);
  std::int64_t elements = 1;
  for (AxisRef axis : axes) elements *= axis->size;
  if (elements > most) return made;
  ArrayRef parts = define(axes, sum(std::vector{*longest}, total->operands[0]), made->dtype, made->name);
  std::vector<Expr> places;
  for (AxisRef axis : axes) places.push_back(value(axis));
  Expr whole = sum(others, read_stored(parts, places));
  Expr body = made->body == total ? whole : rebuild(made->body, std::vector{whole});
  return define(positions(made), body, made->dtype, made->name);
}

}  // namespace

Graph sum_in_parts(const Graph& graph, const Arrays& values) {
  const Arrays halves = of_halves(all_arrays(outputs_of(graph)), values);
  return rewrite(graph, [&](ArrayRef definition, const ArrayTable& table) {
    ArrayRef made = redefine(definition, table);
    if (made->kind != Array::Kind::definition || values.contains(definition) || made->dtype != DType::f32) return made;
    std::int64_t largest = 0;
    for (ArrayRef read : reads_of(definition))
      if (halves.contains(read)) largest = std::max(largest, element_count(read));
    Expr total = root_reduction(made);
    const bool is_whole = total && (made->body == total || (made->body->op == Op::linear && made->body->operands.size() == 1));
    if (largest == 0 || !is_whole || total->reduction != Reduction::sum || total->axes.size() < 2) return made;
    return in_parts(made, total, largest / much_smaller);
  });
}

}  // namespace heed
