// Checks each joined axis of a region's frame.
#include "passes/block_axes.h"

#include <algorithm>

#include "ir/algebra.h"
#include "passes/kind.h"

namespace heed {

namespace {

bool has(const auto& list, const auto& value) { return std::ranges::find(list, value) != list.end(); }

// Its parts over some of the axis can be put together: a sum, also under a factor, or a maximum.
bool is_reduced_over(ArrayRef array, const std::unordered_map<AxisRef, int>& axis_of, int axis) {
  Expr sum = root_reduction(array);
  if (!sum || array->body->op == Op::select || !is_floating(array->dtype) || compute_type(array->dtype) != array->dtype) return false;
  bool is_whole = array->body == sum;
  if (sum->reduction != Reduction::sum && !(sum->reduction == Reduction::maximum && is_whole)) return false;
  return std::ranges::any_of(sum->axes, [&](AxisRef each) {
    auto found = axis_of.find(each);
    return found != axis_of.end() && found->second == axis;
  });
}

}  // namespace

int BlockAxes::position_on(std::size_t array, int axis) const {
  if (axis < 0) return -1;
  std::vector<AxisRef> places = positions(frame.arrays[array]);
  for (std::size_t p = 0; p < places.size(); ++p)
    if (auto found = frame.axis_of[array].find(places[p]); found != frame.axis_of[array].end() && found->second == axis)
      return static_cast<int>(p);
  return -1;
}

bool BlockAxes::is_cut(int axis) const { return axis == row || has(units, axis); }

std::optional<BlockAxes> block_axes(std::span<const ArrayRef> arrays, ArrayRef rows_of, int row,
                                    const std::unordered_set<ArrayRef>& virtual_arrays) {
  std::optional<RegionFrame> frame = region_frame_of_any(arrays);
  if (!frame) return {};
  BlockAxes result{.frame = std::move(*frame)};
  const RegionFrame& axes = result.frame;
  const std::size_t count = axes.arrays.size();
  std::unordered_map<ArrayRef, std::size_t> index;
  for (std::size_t k = 0; k < count; ++k) index[axes.arrays[k]] = k;
  std::vector<std::vector<std::size_t>> reads(count);
  for (std::size_t k = 0; k < count; ++k)
    for (ArrayRef read : reads_of(axes.arrays[k]))
      if (auto found = index.find(read); found != index.end()) reads[k].push_back(found->second);

  // Whether the axis can be cut, and which arrays are reduced over it then.
  auto cut = [&](int axis) -> std::optional<std::vector<bool>> {
    if (axes.whole[static_cast<std::size_t>(axis)]) return {};
    std::vector<bool> reduced(count);
    for (std::size_t k = 0; k < count; ++k) {
      std::vector<AxisRef> places = positions(axes.arrays[k]);
      bool has_position = false, has_bound = false;
      for (const auto& [each, joined] : axes.axis_of[k])
        if (joined == axis) (has(places, each) ? has_position : has_bound) = true;
      if (has_position) {
        if (has_bound) return {};
        continue;
      }
      if (!has_bound || virtual_arrays.contains(axes.arrays[k]) || !is_reduced_over(axes.arrays[k], axes.axis_of[k], axis)) return {};
      reduced[k] = true;
    }
    for (std::size_t k = 0; k < count; ++k)
      for (std::size_t read : reads[k])
        if (reduced[read]) return {};
    return reduced;
  };
  // Both operands of every product have it, so that a block of one position is as good as many.
  std::vector<std::pair<std::size_t, ProductForm>> products;  // that are virtual
  for (std::size_t k = 0; k < count; ++k)
    if (virtual_arrays.contains(axes.arrays[k]))
      if (std::optional<ProductForm> form = product_form_of(axes.arrays[k])) products.emplace_back(k, std::move(*form));
  auto is_batch = [&](int axis) {
    for (const auto& [k, form] : products) {
      bool found = std::ranges::any_of(form.batch, [&, at = k](AxisRef each) {
        auto joined = axes.axis_of[at].find(each);
        return joined != axes.axis_of[at].end() && joined->second == axis;
      });
      if (!found) return false;
    }
    return true;
  };

  std::size_t at = index.at(rows_of);
  AxisRef place = positions(rows_of)[static_cast<std::size_t>(row)];
  auto joined = axes.axis_of[at].find(place);
  if (joined == axes.axis_of[at].end()) return {};
  result.row = joined->second;
  std::optional<std::vector<bool>> over_rows = cut(result.row);
  if (!over_rows) return {};
  result.row_is_batch = is_batch(result.row);
  result.reduced.resize(count);
  std::vector<int> serial;
  for (int axis = 0; axis < static_cast<int>(axes.sizes.size()); ++axis) {
    if (axis == result.row) continue;
    std::optional<std::vector<bool>> over = cut(axis);
    if (!over) continue;
    if (!is_batch(axis)) {
      if (!has(*over, true)) result.could_be_units.push_back(axis);
      continue;
    }
    (has(*over, true) ? serial : result.units).push_back(axis);
    for (std::size_t k = 0; k < count; ++k)
      if ((*over)[k]) result.reduced[k].push_back(axis);
  }
  result.parallel_units = static_cast<int>(result.units.size());
  result.units.insert(result.units.end(), serial.begin(), serial.end());
  for (std::size_t k = 0; k < count; ++k)
    if ((*over_rows)[k]) result.reduced[k].push_back(result.row);
  result.parallel_rows = !has(*over_rows, true);
  return result;
}

}  // namespace heed
