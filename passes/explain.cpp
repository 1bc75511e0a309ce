// What became of a program.
#include "passes/explain.h"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>
#include <unordered_map>

#include "ir/algebra.h"
#include "ir/region_frame.h"
#include "passes/describe.h"
#include "passes/kind.h"
#include "passes/lifetimes.h"
#include "passes/plan_memory.h"
#include "passes/work.h"

namespace heed {

namespace {

std::int64_t whole_bytes(ArrayRef array) { return element_count(array) * byte_size(array->dtype); }

std::string kernel_of(const Region& region) {
  bool has_reduction = false;
  std::vector<ArrayRef> arrays = arrays_of(region);
  for (ArrayRef array : arrays) {
    Kind kind = kind_of(array);
    if (kind == Kind::product || kind == Kind::scatter) return kind == Kind::product ? "product" : "scatter";
    has_reduction |= kind == Kind::reduction;
  }
  return !has_reduction ? "map" : arrays.size() == 1 ? "sum" : "sweep";
}

std::string axes_of(const RegionFrame& frame, const Graph& graph) {
  std::vector<std::int64_t> outer(frame.sizes.begin(), frame.sizes.begin() + frame.outer), inner;
  for (std::size_t axis = outer.size(); axis < frame.sizes.size(); ++axis)  // Sweeps over one row count once.
    if (std::ranges::find(inner, frame.sizes[axis]) == inner.end()) inner.push_back(frame.sizes[axis]);
  std::string text = shape_text(outer, graph);
  return inner.empty() ? text : text + " x " + shape_text(inner, graph);
}

// Bytes of a row that a later sweep reads again.
std::int64_t kept_bytes(const RegionFrame& frame) {
  double rows = 1, total = 0;
  for (int axis = 0; axis < frame.outer; ++axis) rows *= static_cast<double>(frame.sizes[axis]);
  for (std::size_t k = 0; k < frame.arrays.size(); ++k)
    for (std::size_t reader = k + 1; reader < frame.arrays.size(); ++reader) {
      std::vector<ArrayRef> reads = reads_of(frame.arrays[reader]);
      if (frame.level[reader] <= frame.level[k] || std::ranges::find(reads, frame.arrays[k]) == reads.end()) continue;
      total += static_cast<double>(whole_bytes(frame.arrays[k])) / std::max(rows, 1.0);
      break;
    }
  return static_cast<std::int64_t>(total);
}

RegionRow row_of(const Region& region, const Graph& graph) {
  RegionRow row{.label = region.label, .source = source_of(region), .axes = "", .kernel = kernel_of(region)};
  for (ArrayRef array : arrays_of(region)) {
    row.flop += flop_of(array);
    row.products += kind_of(array) == Kind::product;
  }
  if (std::optional<RegionFrame> frame = region_frame(region)) {
    row.axes = axes_of(*frame, graph);
    row.passes = frame->passes();
    row.scratch_bytes = kept_bytes(*frame);
  }
  return row;
}

RegionRow row_of(const PlannedScan& scan, const Graph& graph) {
  RegionRow row{.label = fmt::format("scan over {} steps", scan.scan->length),
                .source = source_of(scan.results[0]),
                .axes = "",
                .passes = 1,
                .kernel = "scan"};
  row.axes = shape_text({scan.scan->length}, graph);
  Explanation body = explain(scan.body);
  for (const RegionRow& inner : body.regions) {
    row.flop += inner.flop * static_cast<double>(scan.scan->length);
    row.products += inner.products;
  }
  row.scratch_bytes = scan.body.arena_bytes;
  return row;
}

// Why a value is stored, told by the step that reads it.
std::string why_apart(ArrayRef array, const Plan::Step& maker, const Plan::Step& reader) {
  if (std::holds_alternative<std::shared_ptr<PlannedScan>>(maker)) return "it is the result of a scan";
  const Region* reading = std::get_if<Region>(&reader);
  if (!reading) return "a scan reads it";
  const Region& making = std::get<Region>(maker);
  std::string at = source_of(*reading).empty() ? "" : " at " + source_of(*reading);
  std::string kernel = kernel_of(*reading), made_by = kernel_of(making);
  bool product_operand = false;
  for (ArrayRef inside : arrays_of(*reading))
    if (std::vector<ArrayRef> reads = reads_of(inside); std::ranges::find(reads, array) != reads.end())
      product_operand |= kind_of(inside) == Kind::product;
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
  std::unordered_map<ArrayRef, int> first_reader;
  for (int step = 0; step < static_cast<int>(plan.steps.size()); ++step) {
    const Plan::Step& each = plan.steps[step];
    const Region* region = std::get_if<Region>(&each);
    RegionRow row = region ? row_of(*region, plan.graph) : row_of(*std::get<std::shared_ptr<PlannedScan>>(each), plan.graph);
    row.region = step;
    for (ArrayRef array : read_by(each)) {
      row.bytes_read += whole_bytes(array);
      first_reader.try_emplace(array, step);
    }
    for (ArrayRef array : stored_by(each)) row.bytes_written += whole_bytes(array);
    result.regions.push_back(std::move(row));
  }
  std::vector<std::pair<std::int64_t, Unfused>> apart;
  for (const Plan::Step& step : plan.steps)
    for (ArrayRef array : stored_by(step)) {
      auto place = plan.places.find(array);
      if (place == plan.places.end() || place->second.kind != Plan::Place::Kind::arena) continue;
      result.stored_bytes += whole_bytes(array);
      result.largest_stored = std::max(result.largest_stored, whole_bytes(array));
      auto reader = first_reader.find(array);
      if (reader == first_reader.end()) continue;
      std::string why = fmt::format("{} {}, {} bytes, is stored: {}", words_of(array), shape_text(array->shape, plan.graph),
                                    whole_bytes(array), why_apart(array, step, plan.steps[reader->second]));
      apart.emplace_back(whole_bytes(array), Unfused{source_of(array), std::move(why)});
    }
  std::ranges::sort(apart, [](const auto& a, const auto& b) {
    return std::tuple(-a.first, a.second.source, a.second.why) < std::tuple(-b.first, b.second.source, b.second.why);
  });
  for (auto& each : apart) result.unfused.push_back(std::move(each.second));
  return result;
}

namespace {

std::string amount(double value, const char* unit) {
  for (const char* prefix : {"", "k", "M", "G"}) {
    if (value < 10000) return fmt::format("{:.{}f} {}{}", value, value < 100 && *prefix ? 1 : 0, prefix, unit);
    value /= 1000;
  }
  return fmt::format("{:.1f} T{}", value, unit);
}

}  // namespace

std::string text_of(const Explanation& explanation) {
  std::string text = fmt::format("{:>4}  {:8} {:44} {:24} {:>6} {:>10} {:>10} {:>10} {:>10}  {}\n", "", "kernel", "what", "axes", "passes",
                                 "flop", "read", "written", "scratch", "where");
  double flop = 0;
  for (const RegionRow& row : explanation.regions) {
    flop += row.flop;
    text +=
        fmt::format("{:>4}  {:8} {:44} {:24} {:>6} {:>10} {:>10} {:>10} {:>10}  {}\n", row.region, row.kernel, row.label, row.axes,
                    row.passes, amount(row.flop, ""), amount(static_cast<double>(row.bytes_read), "B"),
                    amount(static_cast<double>(row.bytes_written), "B"), amount(static_cast<double>(row.scratch_bytes), "B"), row.source);
  }
  text +=
      fmt::format("\n{} regions, {}flop; {} stored between them, the largest {}\n", explanation.regions.size(), amount(flop, ""),
                  amount(static_cast<double>(explanation.stored_bytes), "B"), amount(static_cast<double>(explanation.largest_stored), "B"));
  constexpr std::size_t shown = 20;
  if (!explanation.unfused.empty()) text += "\nstored between regions:\n";
  for (std::size_t k = 0; k < explanation.unfused.size() && k < shown; ++k)
    text += fmt::format("  {}: {}\n", explanation.unfused[k].source, explanation.unfused[k].why);
  if (explanation.unfused.size() > shown) text += fmt::format("  … and {} smaller ones\n", explanation.unfused.size() - shown);
  return text;
}

}  // namespace heed
