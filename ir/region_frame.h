// The axes of a region: positions and bound axes of its arrays, joined along their reads of each other.
#pragma once
#include <optional>
#include <span>
#include <unordered_map>

#include "ir/plan.h"

namespace heed {

// One loop axis of the region stands for what is joined. Axes of one element are left out.
struct RegionFrame {
  std::vector<ArrayRef> arrays;     // in order
  std::vector<std::int64_t> sizes;  // of the joined axes; outer axes first, in the order of the largest array's positions
  int outer = 0;                    // on each of the first `outer` every array has a position, or sums over it (`over_rows`)
  // The joined axis of each position and bound axis of arrays[k]; a position is written positions(arrays[k])[p].
  std::vector<std::unordered_map<AxisRef, int>> axis_of;
  // Of arrays[k]: a sum over all outer axes, that nothing in the region reads. Only where arrays share no axis without it.
  std::vector<bool> over_rows;
  std::vector<bool> whole;  // of the joined axes: an array of the region reads another at some other index than one axis there
  std::vector<int> level;  // of arrays[k]: 0 if it needs no reduction of the region, else one more than the largest level of those it needs

  int passes() const;  // sweeps over the inner axes: one more than the highest level of an array that has some
  bool is_outer(int axis) const { return axis < outer; }
};

// Nothing if the arrays cannot be one region: one of them reads another at an index that is no plain axis, at different axes in
// different places, or at only a part of an axis. Arrays that read nothing of each other are joined by the order of their outer axes.
std::optional<RegionFrame> region_frame(std::span<const ArrayRef> arrays);
// The same where arrays may read each other at any index: what is read so is `whole`, no plain axis is joined with it.
std::optional<RegionFrame> region_frame_of_any(std::span<const ArrayRef> arrays);
std::optional<RegionFrame> region_frame(const Region& region);

// Locals and outputs of the region, what is read first.
std::vector<ArrayRef> arrays_of(const Region& region);

}  // namespace heed
