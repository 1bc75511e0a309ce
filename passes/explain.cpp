// What became of a program.
#include "passes/explain.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <tuple>
#include <unordered_map>
#include <unordered_set>

#include "ir/algebra.h"
#include "ir/region_frame.h"
#include "passes/axis_names.h"
#include "passes/describe.h"
#include "passes/describe_blocks.h"
#include "passes/kind.h"
#include "passes/lifetimes.h"
#include "passes/plan_memory.h"
#include "passes/virtual_values.h"
#include "passes/work.h"

namespace heed {

namespace {

std::string kernel_of(const Region& region) {
  if (region.blocks) return "blocks";
  bool has_reduction = false;
  std::vector<ArrayRef> arrays = arrays_of(region);
  for (ArrayRef array : arrays) {
    Kind kind = kind_of(array);
    if (kind == Kind::product || kind == Kind::scatter) return kind == Kind::product ? "product" : "scatter";
    has_reduction |= kind == Kind::reduction;
  }
  return !has_reduction ? "map" : arrays.size() == 1 ? "sum" : "sweep";
}

// The name of a joined axis, or its size.
std::string axis_text(const RegionFrame& frame, int axis, const AxisNames& names) {
  for (std::size_t k = 0; k < frame.arrays.size(); ++k)
    for (const auto& [each, joined] : frame.axis_of[k])
      if (joined == axis)
        if (std::string name = names.name(frame.arrays[k], each); !name.empty()) return name;
  return fmt::format("{}", frame.sizes[static_cast<std::size_t>(axis)]);
}

std::string axes_text(const RegionFrame& frame, const std::vector<int>& axes, const AxisNames& names) {
  std::vector<std::string> texts;
  for (int axis : axes) texts.push_back(axis_text(frame, axis, names));
  return fmt::format("[{}]", fmt::join(texts, ", "));
}

std::string axes_of(const RegionFrame& frame, const AxisNames& names) {
  std::vector<int> outer, inner;
  for (int axis = 0; axis < static_cast<int>(frame.sizes.size()); ++axis) {
    auto same_size = [&](int other) { return frame.sizes[other] == frame.sizes[axis]; };
    if (axis < frame.outer)
      outer.push_back(axis);
    else if (std::ranges::none_of(inner, same_size))  // Sweeps over one row count once.
      inner.push_back(axis);
  }
  std::string text = axes_text(frame, outer, names);
  return inner.empty() ? text : text + " x " + axes_text(frame, inner, names);
}

// What blocks are cut along, then what the largest value that is never stored has besides.
std::string axes_of_blocks(const Region& region, const RegionFrame& frame, const AxisNames& names) {
  std::vector<int> cut = region.blocks->axes.units, inner;
  cut.push_back(region.blocks->axes.row);
  std::ranges::sort(cut);
  ArrayRef largest = nullptr;
  std::size_t at = 0;
  for (std::size_t k = 0; k < frame.arrays.size(); ++k)
    if (std::ranges::find(region.outputs, frame.arrays[k]) == region.outputs.end() &&
        (!largest || element_count(frame.arrays[k]) > element_count(largest)))
      largest = frame.arrays[k], at = k;
  if (largest)
    for (AxisRef place : positions(largest))
      if (auto joined = frame.axis_of[at].find(place);
          joined != frame.axis_of[at].end() && std::ranges::find(cut, joined->second) == cut.end())
        inner.push_back(joined->second);
  return axes_text(frame, cut, names) + (inner.empty() ? "" : " x " + axes_text(frame, inner, names));
}

// Bytes of a row that a later sweep reads again.
std::int64_t kept_bytes(const RegionFrame& frame) {
  double rows = 1, total = 0;
  for (int axis = 0; axis < frame.outer; ++axis) rows *= static_cast<double>(frame.sizes[axis]);
  for (std::size_t k = 0; k < frame.arrays.size(); ++k)
    for (std::size_t reader = k + 1; reader < frame.arrays.size(); ++reader) {
      std::vector<ArrayRef> reads = reads_of(frame.arrays[reader]);
      if (frame.level[reader] <= frame.level[k] || std::ranges::find(reads, frame.arrays[k]) == reads.end()) continue;
      total += static_cast<double>(byte_count(frame.arrays[k])) / std::max(rows, 1.0);
      break;
    }
  return static_cast<std::int64_t>(total);
}

double flop_of(const Plan& body) {
  double flop = 0;
  for (const Plan::Step& step : body.steps)
    for (ArrayRef array : arrays_of(std::get<Region>(step))) flop += flop_of(array);
  return flop;
}

RegionRow row_of_blocks(const Region& region, const AxisNames& names) {
  const Blocks& blocks = *region.blocks;
  RegionRow row{.label = region.label, .source = source_of(region), .axes = "", .passes = blocks.passes, .kernel = "blocks"};
  if (std::optional<RegionFrame> frame = region_frame_of_any(arrays_of(region))) row.axes = axes_of_blocks(region, *frame, names);
  for (ArrayRef array : arrays_of(region)) row.products += kind_of(array) == Kind::product;
  std::vector<double> flop;
  for (const Plan& body : blocks.bodies) flop.push_back(flop_of(body));
  row.scratch_bytes = scratch_bytes(blocks);
  for (const Blocks::Block& block : blocks.blocks) row.flop += flop[static_cast<std::size_t>(block.body)];
  for (std::int64_t unit : blocks.units) row.flop *= static_cast<double>(unit);
  BlockCount count = count_blocks(blocks);
  row.blocks = count.made, row.blocks_skipped = count.skipped;
  row.block_rows = count.rows, row.block_columns = count.columns;
  return row;
}

RegionRow row_of(const Region& region, const AxisNames& names) {
  if (region.blocks) return row_of_blocks(region, names);
  RegionRow row{.label = region.label, .source = source_of(region), .axes = "", .kernel = kernel_of(region)};
  for (ArrayRef array : arrays_of(region)) {
    row.flop += flop_of(array);
    row.products += kind_of(array) == Kind::product;
  }
  if (std::optional<RegionFrame> frame = region_frame(region)) {
    row.axes = axes_of(*frame, names);
    row.passes = frame->passes();
    row.scratch_bytes = kept_bytes(*frame);
  }
  return row;
}

RegionRow row_of(const PlannedScan& scan) {
  RegionRow row{.label = fmt::format("scan over {} steps", scan.scan->length),
                .source = source_of(scan.results[0]),
                .axes = fmt::format("[{}]", scan.scan->length),
                .passes = 1,
                .kernel = "scan"};
  Explanation body = explain(scan.body);
  for (const RegionRow& inner : body.regions) {
    row.flop += inner.flop * static_cast<double>(scan.scan->length);
    row.products += inner.products;
  }
  row.scratch_bytes = scan.body.arena_bytes;
  return row;
}

// Values that would not need to be stored by what they are made from, and what is made of them; `returned`: but for the model's results.
struct Candidates {
  std::unordered_set<ArrayRef> arrays, returned;
};

Candidates candidates_of(const Plan& plan) {
  std::vector<ArrayRef> arrays;
  std::unordered_set<ArrayRef> seen, results;
  for (const Plan::Step& step : plan.steps) {
    const Region* region = std::get_if<Region>(&step);
    for (ArrayRef array : region ? arrays_of(*region) : stored_by(step))
      if (seen.insert(array).second) arrays.push_back(array);
  }
  std::ranges::sort(arrays, {}, &Array::id);
  for (const GraphOutput& output : plan.graph.outputs) results.insert(plan.stored_for(output.array));
  Candidates found{virtual_values(arrays, results), {}};
  for (ArrayRef array : virtual_values(arrays, {}))
    if (results.contains(array)) found.returned.insert(array);
  return found;
}

std::string why_no_blocks(ArrayRef array) {
  bool is_small = static_cast<double>(byte_count(array)) <= Machine{}.cache_bytes;
  return is_small ? "it is too small for blocks to save anything" : "blocks of both would cost more than to store it";
}

// Why a value is stored, told by the step that reads it.
std::string why_apart(ArrayRef array, const Plan::Step& maker, const Plan::Step& reader) {
  if (std::holds_alternative<std::shared_ptr<PlannedScan>>(maker)) return "it is the result of a scan";
  const Region* reading = std::get_if<Region>(&reader);
  if (!reading) return "a scan reads it";
  const Region& making = std::get<Region>(maker);
  std::string source = source_of(*reading), at = source.empty() ? "" : " at " + source;
  std::string kernel = kernel_of(*reading), made_by = kernel_of(making);
  bool product_operand = false;
  for (ArrayRef inside : arrays_of(*reading))
    if (std::vector<ArrayRef> reads = reads_of(inside); std::ranges::find(reads, array) != reads.end())
      product_operand |= kind_of(inside) == Kind::product;
  if (reading->blocks || making.blocks) {
    if (making.blocks && reading->blocks) return fmt::format("`{}`{} needs all of it before its first block", reading->label, at);
    if (reading->blocks) return fmt::format("`{}`{} reads it in many of its blocks", reading->label, at);
    return fmt::format("`{}`{} does more than follow its rows", reading->label, at);
  }
  if (product_operand) return fmt::format("`{}`{} reads it as an operand", reading->label, at);
  if (kernel == "scatter" || made_by == "scatter") return fmt::format("a scatter stays alone; `{}`{} reads it", reading->label, at);
  if (kernel == "product") return fmt::format("`{}`{} follows a product of its own", reading->label, at);
  if (made_by == "product") return fmt::format("`{}`{} does more than follow the product elementwise", reading->label, at);
  std::vector<ArrayRef> together = arrays_of(making);
  for (ArrayRef inside : arrays_of(*reading)) together.push_back(inside);
  std::ranges::sort(together, {}, &Array::id);
  std::optional<RegionFrame> frame = region_frame(together);
  if (!frame) return fmt::format("`{}`{} reads it at other positions than it is made", reading->label, at);
  if (frame->outer == 0) return fmt::format("`{}`{} shares no axis with what makes it", reading->label, at);
  return fmt::format("together with `{}`{} rows would be too few, too long or read across memory", reading->label, at);
}

}  // namespace

Explanation explain(const Plan& plan) {
  Explanation result;
  const AxisNames names(plan.graph);
  std::unordered_map<ArrayRef, int> first_reader;
  for (int step = 0; step < static_cast<int>(plan.steps.size()); ++step) {
    const Plan::Step& each = plan.steps[step];
    const Region* region = std::get_if<Region>(&each);
    RegionRow row = region ? row_of(*region, names) : row_of(*std::get<std::shared_ptr<PlannedScan>>(each));
    row.region = step;
    for (ArrayRef array : read_by(each)) {
      row.bytes_read += byte_count(array);
      first_reader.try_emplace(array, step);
    }
    for (ArrayRef array : stored_by(each)) row.bytes_written += byte_count(array);
    result.regions.push_back(std::move(row));
  }
  const Candidates candidates = candidates_of(plan);
  std::vector<std::pair<std::int64_t, Unfused>> apart;
  auto add = [&](ArrayRef array, const std::string& why) {
    std::string text = fmt::format("{} {}, {}, is stored: {}", words_of(array), names.typed_shape(array),
                                   amount(static_cast<double>(byte_count(array)), "B"), why);
    apart.emplace_back(byte_count(array), Unfused{source_of(array), std::move(text)});
  };
  for (const Plan::Step& step : plan.steps)
    for (ArrayRef array : stored_by(step)) {
      if (candidates.returned.contains(array)) add(array, "the model returns it");
      auto place = plan.places.find(array);
      if (place == plan.places.end() || place->second.kind != Plan::Place::Kind::arena) continue;
      result.stored_bytes += byte_count(array);
      result.largest_stored = std::max(result.largest_stored, byte_count(array));
      auto reader = first_reader.find(array);
      if (reader == first_reader.end()) continue;
      std::string why = why_apart(array, step, plan.steps[reader->second]);
      if (candidates.arrays.contains(array)) why += ", and " + why_no_blocks(array);
      add(array, why);
    }
  std::ranges::sort(apart, [](const auto& a, const auto& b) {
    return std::tuple(-a.first, a.second.source, a.second.why) < std::tuple(-b.first, b.second.source, b.second.why);
  });
  for (auto& each : apart) result.unfused.push_back(std::move(each.second));
  return result;
}

}  // namespace heed
