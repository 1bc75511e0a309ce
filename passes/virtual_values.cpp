// Sizes alone decide who is a candidate; find_blocks decides by cost.
#include "passes/virtual_values.h"

#include <algorithm>
#include <unordered_map>

#include "ir/algebra.h"
#include "passes/kind.h"
#include "passes/work.h"

namespace heed {

namespace {

constexpr double much_larger = 2, slightly_larger = 1.25;

// It meets itself or another: not one value spread out.
bool is_crossing(Expr body) {
  return std::ranges::count_if(nodes_of(body), [](Expr node) { return node->op == Op::read; }) > 1;
}

bool gathers(Expr body) {
  return std::ranges::any_of(nodes_of(body),
                             [](Expr node) { return node->op == Op::read && !std::ranges::all_of(node->operands, is_affine); });
}

// Of floating values in the type in which they are computed: a sum in f32 of factors in bf16 is no larger for its type.
double computed_bytes(double elements, ArrayRef array) {
  return elements * static_cast<double>(byte_size(is_floating(array->dtype) ? compute_type(array->dtype) : array->dtype));
}
double computed_bytes(ArrayRef array) { return computed_bytes(static_cast<double>(element_count(array)), array); }

double elements_read(Expr read) {
  std::unordered_set<AxisRef> axes;
  for (Expr index : read->operands) axes.insert(index->free.begin(), index->free.end());
  double count = 1;
  for (AxisRef axis : axes) count *= static_cast<double>(axis->size);
  return count;
}

}  // namespace

std::unordered_set<ArrayRef> virtual_values(const std::vector<ArrayRef>& arrays, const std::unordered_set<ArrayRef>& kept,
                                            const Machine& machine) {
  const double larger = machine.seconds_per_stored_byte > 0 ? slightly_larger : much_larger;
  std::unordered_set<ArrayRef> found;
  std::unordered_map<ArrayRef, double> source;  // of the largest stored value a virtual one is made from
  for (ArrayRef array : arrays) {
    if (array->kind != Array::Kind::definition || kept.contains(array)) continue;
    const double size = computed_bytes(array);
    double largest = 1;
    bool is_elementwise = false;
    for (Expr node : nodes_of(array->body)) {
      if (node->op != Op::read) continue;
      auto known = source.find(node->array);
      // Of an array that holds queries, keys and values side by side, what is read counts.
      const double read_bytes = std::min(computed_bytes(node->array), computed_bytes(elements_read(node), node->array));
      largest = std::max(largest, known == source.end() ? read_bytes : known->second);
      is_elementwise |= known != source.end() && element_count(node->array) >= element_count(array);
    }
    Kind kind = kind_of(array);
    if (kind == Kind::scatter) continue;
    bool is_larger = size >= larger * largest && !gathers(array->body) && is_crossing(array->body);
    if (!is_larger && !(kind == Kind::map && is_elementwise)) continue;
    found.insert(array);
    source[array] = largest;
  }
  // What nothing makes small again has to be stored, sooner or later.
  std::unordered_map<ArrayRef, std::vector<ArrayRef>> readers;
  for (ArrayRef array : arrays)
    for (ArrayRef read : reads_of(array)) readers[read].push_back(array);
  std::unordered_set<ArrayRef> shrinks;
  for (auto array = arrays.rbegin(); array != arrays.rend(); ++array) {
    if (!found.contains(*array)) continue;
    const auto size = static_cast<double>(element_count(*array));
    bool is_made_small = std::ranges::any_of(readers[*array], [&](ArrayRef reader) {
      return shrinks.contains(reader) || (!found.contains(reader) && static_cast<double>(element_count(reader)) * much_larger <= size);
    });
    if (is_made_small) shrinks.insert(*array);
  }
  // What is looked up or spread out for them alone is made with them.
  for (auto array = arrays.rbegin(); array != arrays.rend(); ++array) {
    if ((*array)->kind != Array::Kind::definition || kept.contains(*array) || kind_of(*array) != Kind::map) continue;
    if (std::ranges::any_of(reads_of(*array), [&](ArrayRef read) { return computed_bytes(read) * much_larger > computed_bytes(*array); }))
      continue;
    if (std::ranges::all_of(readers[*array], [&](ArrayRef reader) { return shrinks.contains(reader); })) shrinks.insert(*array);
  }
  return shrinks;
}

}  // namespace heed
