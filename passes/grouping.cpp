// Arrays gathered into groups, each of which becomes one region: first what follows matrix products, then chains over rows, then
// what reads the same.
#include "passes/grouping.h"

#include <algorithm>
#include <limits>
#include <map>

#include "ir/algebra.h"
#include "ir/region_frame.h"

namespace heed {

namespace {

constexpr std::size_t largest_group = 24;  // arrays; code of a kernel stays small
constexpr double enough_rows = 32;         // positions on outer axes that keep every thread busy
constexpr double small_work = 1 << 15;     // elements below which one thread does
constexpr double launch_bytes = 24000;     // what starting a kernel costs, as memory traffic
constexpr double across_rows = 1.25;       // traffic costs more where rows lie across memory
constexpr double parts_of_rows = 64;       // that are summed apart; what they give stays close
constexpr double lanes = 16;               // rows that lie across memory are taken so many at a time

bool contains(const auto& range, const auto& value) { return std::ranges::find(range, value) != range.end(); }

double joined_elements(const RegionFrame& frame, std::size_t k) {
  double count = 1;
  for (const auto& [axis, joined] : frame.axis_of[k]) count *= static_cast<double>(axis->size);
  return count;
}

double outer_elements(const RegionFrame& frame) {
  double count = 1;
  for (int axis = 0; axis < frame.outer; ++axis) count *= static_cast<double>(frame.sizes[axis]);
  return count;
}

// Bytes of a row that are kept from one sweep to a later one.
double row_bytes(const RegionFrame& frame) {
  double total = 0;
  for (std::size_t k = 0; k < frame.arrays.size(); ++k) {
    bool later = false;
    for (std::size_t reader = k + 1; reader < frame.arrays.size() && !later; ++reader)
      later = frame.level[reader] > frame.level[k] && contains(reads_of(frame.arrays[reader]), frame.arrays[k]);
    if (later) total += bytes_of(frame.arrays[k]) / outer_elements(frame);
  }
  return total;
}

// Every reduction takes whole rows together: its positions are outer axes; or it sums over rows.
bool reduces_rows(const RegionFrame& frame) {
  for (std::size_t k = 0; k < frame.arrays.size(); ++k) {
    if (!frame.arrays[k]->body->has_reduction || frame.over_rows[k]) continue;
    for (AxisRef axis : positions(frame.arrays[k]))
      if (axis->size > 1 && !frame.is_outer(frame.axis_of[k].at(axis))) return false;
  }
  return true;
}

// Of the axes of an element in memory, as far as they are the frame's: the innermost one is an outer one although there are inner ones.
bool is_across(const RegionFrame& frame, const std::vector<int>& axes) {
  auto is_outer = [&](int axis) { return frame.is_outer(axis); };
  return !axes.empty() && is_outer(axes.back()) && !std::ranges::all_of(axes, is_outer);
}

// Rows of some map lie across memory.
bool lies_across(const RegionFrame& frame) {
  for (std::size_t k = 0; k < frame.arrays.size(); ++k) {
    if (frame.arrays[k]->body->has_reduction) continue;
    std::vector<int> axes;
    for (AxisRef axis : positions(frame.arrays[k]))
      if (axis->size > 1) axes.push_back(frame.axis_of[k].at(axis));
    if (is_across(frame, axes)) return true;
  }
  return false;
}

// The same of what is read, at plain axes.
bool reads_across(const RegionFrame& frame) {
  for (std::size_t k = 0; k < frame.arrays.size(); ++k)
    for (Expr node : nodes_of(frame.arrays[k]->body)) {
      if (node->op != Op::read) continue;
      std::vector<int> axes;
      for (Expr index : node->operands)
        if (auto found = index->op == Op::axis ? frame.axis_of[k].find(index->axes[0]) : frame.axis_of[k].end();
            found != frame.axis_of[k].end())
          axes.push_back(found->second);
      if (is_across(frame, axes)) return true;
    }
  return false;
}

// A read of an array from outside the region, by the outer axis of each index; all inner axes are one, since a row is read whole, and
// what is no plain axis is another.
using Access = std::pair<ArrayRef, std::vector<int>>;
Access access(Expr read, const RegionFrame& frame, std::size_t k) {
  Access result{read->array, {}};
  for (Expr index : read->operands) {
    auto found = index->op == Op::axis ? frame.axis_of[k].find(index->axes[0]) : frame.axis_of[k].end();
    constexpr int inner = -1, no_axis = -2;
    result.second.push_back(found == frame.axis_of[k].end() ? no_axis : frame.is_outer(found->second) ? found->second : inner);
  }
  return result;
}

}  // namespace

Grouping::Grouping(const std::vector<ArrayRef>& arrays, const std::unordered_set<ArrayRef>& results, const std::vector<BlockRegion>& blocks,
                   const Machine& machine)
    : machine_(machine) {
  std::unordered_map<ArrayRef, const BlockRegion*> made_in_blocks;  // null: not stored
  for (const BlockRegion& region : blocks) {
    for (ArrayRef array : region.arrays) made_in_blocks.try_emplace(array, nullptr);
    for (ArrayRef array : region.outputs) made_in_blocks[array] = &region;
  }
  std::unordered_map<const void*, int> unit_of_many;
  for (ArrayRef array : arrays) {
    auto in_blocks = made_in_blocks.find(array);
    if (in_blocks != made_in_blocks.end() && !in_blocks->second) continue;
    int unit = static_cast<int>(units_.size());
    Unit made;
    if (in_blocks != made_in_blocks.end())
      made.blocks = in_blocks->second;
    else if (array->scan)
      made.scan = array->scan;
    else
      made.kind = kind_of(array);
    const void* many = made.blocks ? static_cast<const void*>(made.blocks) : made.scan;
    if (many) unit = unit_of_many.try_emplace(many, unit).first->second;
    if (unit == static_cast<int>(units_.size())) units_.push_back(std::move(made));
    units_[unit].arrays.push_back(array);
    units_[unit].is_result |= results.contains(array);
    unit_of_[array] = unit;
  }
  for (int unit = 0; unit < static_cast<int>(units_.size()); ++unit) {
    auto add_read = [&](ArrayRef read) {
      auto found = unit_of_.find(read);
      if (found == unit_of_.end() || found->second == unit || contains(units_[unit].reads, found->second)) return;
      units_[unit].reads.push_back(found->second);
      units_[found->second].readers.push_back(unit);
    };
    for (ArrayRef array : units_[unit].inside())
      for (ArrayRef read : reads_of(array)) add_read(read);
    if (const BlockRegion* region = units_[unit].blocks; region && region->by_data)
      add_read(region->by_data->begin), add_read(region->by_data->end);
  }
  for (int unit = 0; unit < static_cast<int>(units_.size()); ++unit) {
    group_of_.push_back(unit);
    members_.push_back({unit});
  }
  for (const auto& members : members_) costs_.push_back(cost(members));
}

void Grouping::run() {
  follow_products();
  join_along_reads();
  join_readers_of_one_source();
}

std::vector<std::vector<int>> Grouping::groups() const {
  std::vector<std::vector<int>> result;
  for (const auto& members : members_)
    if (!members.empty()) result.push_back(members);
  return result;
}

bool Grouping::is_stored(int unit) const {
  if (units_[unit].is_result || units_[unit].is_alone()) return true;
  return std::ranges::any_of(units_[unit].readers, [&](int reader) { return group_of_[reader] != group_of_[unit]; });
}

double Grouping::cost(const std::vector<int>& members) const {
  constexpr double impossible = std::numeric_limits<double>::infinity();
  if (members.size() == 1 && units_[members[0]].is_alone()) return 0;
  std::vector<ArrayRef> arrays;
  std::unordered_set<int> inside(members.begin(), members.end());
  bool has_product = false;
  for (int unit : members) {
    if (members.size() > 1 && (units_[unit].is_alone() || units_[unit].kind == Kind::scatter)) return impossible;
    has_product |= units_[unit].kind == Kind::product;
    arrays.push_back(units_[unit].arrays[0]);
  }
  std::optional<RegionFrame> frame = region_frame(arrays);
  if (!frame) return impossible;
  if (members.size() > 1 && !has_product) {
    if (!reduces_rows(*frame)) return impossible;
    if (contains(frame->over_rows, true) && (lies_across(*frame) || reads_across(*frame))) return impossible;
    double work = 0;
    for (std::size_t k = 0; k < arrays.size(); ++k) work += joined_elements(*frame, k);
    double together = lies_across(*frame) ? lanes : 1;
    if (outer_elements(*frame) < enough_rows * together && work > small_work) return impossible;
    if (row_bytes(*frame) * together > machine_.cache_bytes) return impossible;
  }
  double traffic = 0;
  std::map<std::pair<std::uint32_t, std::vector<int>>, double> sources;
  for (std::size_t k = 0; k < arrays.size(); ++k) {
    for (Expr node : nodes_of(arrays[k]->body)) {
      if (node->op != Op::read || contains(arrays, node->array)) continue;
      Access read = access(node, *frame, k);
      sources[{read.first->id, read.second}] =
          std::min(bytes_of(read.first), joined_elements(*frame, k) * static_cast<double>(byte_size(read.first->dtype)));
    }
    const Unit& unit = units_[members[k]];
    bool stored = unit.is_result || std::ranges::any_of(unit.readers, [&](int reader) { return !inside.contains(reader); });
    if (stored) traffic += bytes_of(arrays[k]) * (frame->over_rows[k] ? parts_of_rows : 1);
    // Without outer axes all is one row: that is for scalars.
    if (stored && members.size() > 1 && frame->outer == 0 && element_count(arrays[k]) > 1) return impossible;
  }
  for (const auto& [source, bytes] : sources) traffic += bytes;
  if (!has_product && lies_across(*frame)) traffic *= across_rows;
  return traffic + launch_bytes;
}

// A product comes first; all else are maps whose positions are the product's.
bool Grouping::fits_product(const std::vector<int>& members) const {
  std::vector<ArrayRef> arrays;
  int products = 0;
  for (int unit : members) {
    arrays.push_back(units_[unit].arrays[0]);
    products += units_[unit].kind == Kind::product;
    if (units_[unit].is_alone() || (units_[unit].kind != Kind::product && units_[unit].kind != Kind::map)) return false;
  }
  if (products != 1 || units_[members[0]].kind != Kind::product) return false;
  std::optional<RegionFrame> frame = region_frame(arrays);
  if (!frame) return false;
  for (std::size_t k = 0; k < arrays.size(); ++k) {
    int count = 0;
    for (AxisRef axis : positions(arrays[k])) count += axis->size > 1;
    if (count != frame->outer) return false;
  }
  return true;
}

// There is a way from one group to the other by way of a third.
bool Grouping::makes_cycle(int a, int b) const { return reaches(a, b) || reaches(b, a); }

bool Grouping::reaches(int from, int to) const {
  std::vector<int> stack;
  std::unordered_set<int> seen{from};
  auto follow = [&](int group, bool skip_target) {
    for (int unit : members_[group])
      for (int reader : units_[unit].readers) {
        int next = group_of_[reader];
        if (next == to && skip_target) continue;
        if (next == to) return true;
        if (!seen.insert(next).second) continue;
        stack.push_back(next);
      }
    return false;
  };
  follow(from, true);
  while (!stack.empty()) {
    int group = stack.back();
    stack.pop_back();
    if (follow(group, false)) return true;
  }
  return false;
}

bool Grouping::try_merge(int unit, int other, double least_gain) {
  int a = group_of_[unit], b = group_of_[other];
  if (a == b) return false;
  std::vector<int> merged;
  std::ranges::merge(members_[a], members_[b], std::back_inserter(merged));
  if (merged.size() > largest_group) return false;
  bool has_product = std::ranges::any_of(merged, [&](int member) { return units_[member].kind == Kind::product; });
  if (has_product && !fits_product(merged)) return false;
  double together = cost(merged);
  if (together >= costs_[a] + costs_[b] - least_gain || makes_cycle(a, b)) return false;
  int kept = std::min(a, b), gone = std::max(a, b);
  for (int member : members_[gone]) group_of_[member] = kept;
  members_[gone].clear();
  members_[kept] = std::move(merged);
  costs_[kept] = together;
  return true;
}

void Grouping::follow_products() {
  for (int unit = 0; unit < static_cast<int>(units_.size()); ++unit) {
    if (units_[unit].kind != Kind::map || units_[unit].is_alone()) continue;
    std::vector<int> reads = units_[unit].reads;
    std::ranges::sort(reads, std::greater());
    for (int read : reads)  // The last of several products: the others are there by then.
      if (units_[members_[group_of_[read]].front()].kind == Kind::product && try_merge(read, unit)) break;
  }
}

void Grouping::join_along_reads() {
  for (int unit = 0; unit < static_cast<int>(units_.size()); ++unit) {
    std::vector<int> reads = units_[unit].reads;
    std::ranges::sort(
        reads, [&](int x, int y) { return std::pair(-bytes_of(units_[x].arrays[0]), x) < std::pair(-bytes_of(units_[y].arrays[0]), y); });
    for (int read : reads) try_merge(read, unit);
  }
}

void Grouping::join_readers_of_one_source() {
  std::map<std::uint32_t, std::pair<ArrayRef, std::vector<int>>> readers;  // by id of what is read
  for (int unit = 0; unit < static_cast<int>(units_.size()); ++unit)
    for (ArrayRef array : units_[unit].arrays)
      if (!units_[unit].is_alone() && units_[unit].kind != Kind::product)
        for (ArrayRef read : reads_of(array)) {
          readers[read->id].first = read;
          readers[read->id].second.push_back(unit);
        }
  for (const auto& [id, entry] : readers) {
    const auto& [source, units] = entry;
    for (std::size_t k = 0; k < units.size(); ++k)
      for (std::size_t other = k + 1; other < units.size(); ++other) {
        double largest = std::max(element_count(units_[units[k]].arrays[0]), element_count(units_[units[other]].arrays[0]));
        if (static_cast<double>(element_count(source)) >= largest && largest > 1) try_merge(units[k], units[other], launch_bytes);
      }
  }
}

}  // namespace heed
