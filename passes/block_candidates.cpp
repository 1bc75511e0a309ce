// Two walks over the graph: what follows a reader of virtual values, and what precedes one.
#include "passes/block_candidates.h"

#include <algorithm>
#include <span>

#include "passes/kind.h"

namespace heed {

namespace {

template <class Value>
const std::vector<Value>& found_or_none(const std::unordered_map<ArrayRef, std::vector<Value>>& lists, ArrayRef array) {
  static const std::vector<Value> none;
  auto found = lists.find(array);
  return found == lists.end() ? none : found->second;
}

bool has_kind(ArrayRef array, std::initializer_list<Kind> kinds) {
  return array->kind == Array::Kind::definition && std::ranges::find(kinds, kind_of(array)) != kinds.end();
}

}  // namespace

void add_cone(ArrayRef array, const std::unordered_set<ArrayRef>& virtual_arrays, ArraysById& cone) {
  if (!cone.insert(array).second) return;
  for (ArrayRef read : reads_of(array))
    if (virtual_arrays.contains(read)) add_cone(read, virtual_arrays, cone);
}

std::vector<ArrayRef> cone_of(ArrayRef array, const std::unordered_set<ArrayRef>& virtual_arrays) {
  ArraysById cone;
  add_cone(array, virtual_arrays, cone);
  cone.erase(array);
  return {cone.begin(), cone.end()};
}

BlockCandidates::BlockCandidates(const std::vector<ArrayRef>& arrays) : arrays_(arrays) {
  for (ArrayRef array : arrays) {
    reads_[array] = reads_of(array);
    for (ArrayRef read : reads_[array]) readers_[read].push_back(array);
  }
}

const std::vector<ArrayRef>& BlockCandidates::readers(ArrayRef array) const { return found_or_none(readers_, array); }
const std::vector<std::size_t>& BlockCandidates::touched_by(ArrayRef array) const { return found_or_none(touching_, array); }

void BlockCandidates::find(const std::unordered_set<ArrayRef>& virtual_arrays) {
  std::unordered_set<ArrayRef> after, before;
  auto is_virtual = [&](ArrayRef array) { return virtual_arrays.contains(array); };
  auto is_reader = [&](ArrayRef array) { return array->kind == Array::Kind::definition && std::ranges::any_of(reads(array), is_virtual); };
  auto is_cheap = [](ArrayRef array) { return has_kind(array, {Kind::map, Kind::reduction}); };
  for (ArrayRef array : arrays_) {
    bool follows = std::ranges::any_of(reads(array), [&](ArrayRef read) { return after.contains(read); });
    if (is_reader(array) || (follows && is_cheap(array))) after.insert(array);
  }
  for (auto array = arrays_.rbegin(); array != arrays_.rend(); ++array) {
    bool precedes = std::ranges::any_of(readers(*array), [&](ArrayRef reader) { return before.contains(reader); });
    if (is_reader(*array) || (precedes && is_cheap(*array))) before.insert(*array);
  }
  candidates_.clear(), readers_of_virtual_.clear(), cones_.clear(), touching_.clear();
  // What is elementwise of a region's output follows it for nothing.
  for (ArrayRef array : arrays_)
    if (!is_virtual(array) && after.contains(array) && (before.contains(array) || has_kind(array, {Kind::map})))
      candidates_.push_back(array);
  for (std::size_t c = 0; c < candidates_.size(); ++c) {
    ArrayRef array = candidates_[c];
    if (is_reader(array)) readers_of_virtual_.insert(array);
    cones_.push_back(cone_of(array, virtual_arrays));
    for (std::span<const ArrayRef> list : {std::span<const ArrayRef>(cones_.back()), {reads(array)}, {readers(array)}})
      for (ArrayRef other : list) touching_[other].push_back(c);
  }
}

}  // namespace heed
