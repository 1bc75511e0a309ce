// Gathers the readers of virtual values into regions that run by blocks of rows, and keeps those that cost less than storing the values.
#include <algorithm>
#include <map>
#include <set>
#include <tuple>

#include "ir/algebra.h"
#include "passes/block_axes.h"
#include "passes/block_candidates.h"
#include "passes/block_sizes.h"
#include "passes/blocks.h"
#include "passes/kind.h"
#include "passes/virtual_values.h"
#include "passes/work.h"

namespace heed {

namespace {

constexpr std::size_t largest_region = 64;  // arrays

class Finder {
 public:
  Finder(const std::vector<ArrayRef>& arrays, const std::unordered_set<ArrayRef>& results, const Machine& machine)
      : arrays_(arrays), results_(results), machine_(machine), candidates_(arrays) {}

  std::vector<BlockRegion> run() {
    std::unordered_set<ArrayRef> kept = results_;
    for (ArrayRef array : arrays_)
      if (array->kind != Array::Kind::definition)
        for (ArrayRef read : reads_of(array)) kept.insert(read);
    // Values that turn out to be better stored are out of the question, and all is tried again without them.
    while (true) {
      virtual_ = virtual_values(arrays_, kept, machine_);
      if (virtual_.empty()) return {};
      gather();
      std::unordered_set<ArrayRef> refused = failed_;
      if (refused.empty()) refused = too_dear();
      if (machine_.sums_of_thread > 0) {  // registers hold values of blocks
        const std::unordered_set<ArrayRef> apart = refused.empty() ? needlessly_apart() : refused;
        if (std::unordered_set<ArrayRef> small = smaller_halves(apart); !small.empty()) {
          kept.insert(small.begin(), small.end());
          continue;
        }
        if (bring_together(apart)) continue;
      }
      if (refused.empty()) return std::move(regions_);
      kept.insert(refused.begin(), refused.end());
    }
  }

 private:
  bool is_virtual(ArrayRef array) const { return virtual_.contains(array); }
  const std::vector<ArrayRef>& readers(ArrayRef array) const { return candidates_.readers(array); }
  const std::vector<ArrayRef>& reads(ArrayRef array) const { return candidates_.reads(array); }

  void gather() {
    candidates_.find(virtual_);
    regions_.clear(), failed_.clear(), region_of_.clear();
    for (ArrayRef seed : candidates_.arrays()) {
      if (!candidates_.reads_virtual(seed) || region_of_.contains(seed)) continue;
      ArraysById start;
      add_cone(seed, virtual_, start);
      // Rows may be any position of the largest virtual value: those along which most can be gathered.
      ArrayRef largest = nullptr;
      for (ArrayRef array : start)
        if (is_virtual(array) && (!largest || element_count(array) > element_count(largest))) largest = array;
      Choice best;
      for (int row = 0; row < static_cast<int>(largest->shape.size()); ++row) {
        if (largest->shape[static_cast<std::size_t>(row)] == 1) continue;
        Choice choice = choice_of(seed, largest, row);
        if (choice.score > best.score) best = std::move(choice);
      }
      if (best.row >= 0) best = sparing_columns(std::move(best), seed, largest);
      if (best.row < 0)
        std::ranges::copy_if(start, std::inserter(failed_, failed_.end()), [&](ArrayRef array) { return is_virtual(array); });
      else if (!best.refused.empty())
        failed_.insert(best.refused.begin(), best.refused.end());
      else
        add_region(best.arrays, largest, best.row);
    }
  }

  struct Choice {
    ArraysById arrays;
    std::vector<ArrayRef> refused;  // virtual values that would have to be stored
    int row = -1;
    double score = -1;
  };

  // What can be gathered along some rows. Where the cone itself does not fit, its smallest values are stored, as many as there are until
  // the others have rows in common.
  Choice choice_of(ArrayRef seed, ArrayRef largest, int row) {
    const std::unordered_set<ArrayRef> all = virtual_;
    Choice choice{.arrays = {}, .refused = {}};
    add_cone(seed, virtual_, choice.arrays);
    std::vector<ArrayRef> by_size;
    for (ArrayRef array : choice.arrays)
      if (is_virtual(array) && array != largest) by_size.push_back(array);
    std::ranges::sort(by_size, {}, [](ArrayRef array) { return std::pair(element_count(array), array->id); });
    for (ArrayRef array : by_size) {
      if (!choice.arrays.contains(largest) || fits(choice.arrays, largest, row)) break;
      choice.refused.push_back(array);
      virtual_.erase(array);
      choice.arrays.clear();
      add_cone(seed, virtual_, choice.arrays);
    }
    if (choice.arrays.contains(largest) && fits(choice.arrays, largest, row)) {
      grow(choice.arrays, largest, row, choice.refused);
      choice.row = row;
      choice.score = score_of(choice.arrays, largest, row) - 0.5 * static_cast<double>(choice.refused.size());
    }
    virtual_ = all;
    return choice;
  }

  // Blocks of rows that are a batch of every product, heads say, add to nothing, but hold whole values. Other rows come first where they
  // gather the same and a mask spares them columns.
  Choice sparing_columns(Choice chosen, ArrayRef seed, ArrayRef largest) {
    const std::vector<ArrayRef> arrays(chosen.arrays.begin(), chosen.arrays.end());
    if (machine_.sums_of_thread > 0 || !axes_of(arrays, largest, chosen.row)->row_is_batch) return chosen;
    std::vector<ArrayRef> outputs;
    std::ranges::copy_if(arrays, std::back_inserter(outputs), [&](ArrayRef array) { return !is_virtual(array); });
    for (int row = static_cast<int>(largest->shape.size()) - 1; row >= 0; --row) {
      if (row == chosen.row || largest->shape[static_cast<std::size_t>(row)] == 1) continue;
      Choice other = choice_of(seed, largest, row);
      if (other.row < 0 || other.arrays != chosen.arrays || other.refused != chosen.refused) continue;
      BlockRegion region{.arrays = arrays, .outputs = outputs, .axes = *axes_of(arrays, largest, row)};
      if (region.axes.row_is_batch) continue;
      choose_columns(region, virtual_, machine_);
      if (region.axes.column >= 0 && !region.by_data && !region.passes) return other;
    }
    return chosen;
  }

  std::optional<BlockAxes> axes_of(const std::vector<ArrayRef>& arrays, ArrayRef largest, int row) const {
    return block_axes(arrays, largest, row, virtual_);
  }

  bool fits(const ArraysById& region, ArrayRef largest, int row) {
    if (region.size() > largest_region) return false;
    std::vector<ArrayRef> arrays(region.begin(), region.end()), hidden;
    std::ranges::copy_if(arrays, std::back_inserter(hidden), [&](ArrayRef array) { return is_virtual(array); });
    auto [known, is_new] = fits_.try_emplace({arrays, std::move(hidden), largest, row});
    if (!is_new) return known->second;
    std::optional<BlockAxes> axes = axes_of(arrays, largest, row);
    if (!axes || rows_of_block({.arrays = arrays, .outputs = {}, .axes = *axes}, virtual_, machine_) <= 0) return false;
    return known->second = !is_apart(arrays) || is_apart_alone(*axes);
  }

  // Nothing is added to, and the rows are of one operand.
  bool is_apart_alone(const BlockAxes& axes) const {
    return !axes.row_is_batch && std::ranges::all_of(axes.reduced, [](const auto& reduced) { return reduced.empty(); });
  }

  // Kernels that hold values in registers add to nothing in memory: what is summed over rows is made by a region of its own, with other
  // rows, which makes the values anew.
  bool is_apart(const std::vector<ArrayRef>& arrays) const {
    return machine_.sums_of_thread > 0 && std::ranges::none_of(arrays, [&](ArrayRef array) { return together_.contains(array); });
  }

  // Of regions that make the same values and do not run in registers after all.
  std::unordered_set<ArrayRef> needlessly_apart() const {
    std::unordered_set<ArrayRef> values;
    std::unordered_map<ArrayRef, int> makers;
    for (const BlockRegion& region : regions_)
      for (ArrayRef array : region.arrays)
        if (is_virtual(array)) ++makers[array];
    for (const BlockRegion& region : regions_) {
      const bool shares = std::ranges::any_of(region.arrays, [&](ArrayRef array) { return is_virtual(array) && makers.at(array) > 1; });
      if (!shares || region.in_registers) continue;
      for (ArrayRef array : region.arrays)
        if (is_virtual(array)) values.insert(array);
    }
    return values;
  }

  // Where factors are of 16 bits: values that larger ones are made from. Registers hold those alone, and read the others from memory.
  std::unordered_set<ArrayRef> smaller_halves(const std::unordered_set<ArrayRef>& values) const {
    std::unordered_set<ArrayRef> smaller;
    for (ArrayRef array : values)
      if ((is_half(array->dtype) || std::ranges::any_of(reads(array), is_half, &Array::dtype)) && is_smaller(array, array))
        smaller.insert(array);
    return smaller;
  }
  bool is_smaller(ArrayRef array, ArrayRef maker) const {
    return std::ranges::any_of(readers(maker), [&](ArrayRef reader) {
      return is_virtual(reader) && (element_count(reader) > element_count(array) || is_smaller(array, reader));
    });
  }

  // False if they were before.
  bool bring_together(const std::unordered_set<ArrayRef>& values) {
    bool is_new = false;
    for (ArrayRef array : values) is_new |= together_.insert(array).second;
    if (is_new) fits_.clear();
    return is_new;
  }

  // Takes in turn what is touched by the region and fits, as long as there is something. `refused`: values that are virtual no more.
  void grow(ArraysById& region, ArrayRef largest, int row, const std::vector<ArrayRef>& refused) {
    std::set<std::size_t> touched;
    auto touch = [&](ArrayRef array) {
      const std::vector<std::size_t>& found = candidates_.touched_by(array);
      touched.insert(found.begin(), found.end());
    };
    auto is_inside = [&](ArrayRef array) { return region.contains(array); };
    for (ArrayRef array : region) touch(array);
    for (bool grew = true; grew;) {
      grew = false;
      for (std::size_t c : touched) {  // those that are touched meanwhile come up in this turn if they lie behind, else in the next
        ArrayRef array = candidates_.arrays()[c];
        if (region.contains(array) || region_of_.contains(array) || is_factor(array) || !is_worth_following(array, region)) continue;
        std::vector<ArrayRef> made_from = candidates_.cone(c);
        if (std::ranges::any_of(refused, [&](ArrayRef each) { return std::ranges::find(made_from, each) != made_from.end(); })) {
          made_from = cone_of(array, virtual_);
          const bool touches = std::ranges::any_of(reads(array), is_inside) || std::ranges::any_of(readers(array), is_inside);
          if (!touches && std::ranges::none_of(made_from, is_inside)) continue;
        }
        ArraysById with = region;
        with.insert(made_from.begin(), made_from.end());
        with.insert(array);
        if (!fits(with, largest, row) || makes_cycle(with)) continue;
        region = std::move(with);
        touch(array);
        for (ArrayRef each : made_from) touch(each);
        grew = true;
      }
    }
  }

  // What registers multiply lies in memory: a 16-bit map that products with larger results read is made before them.
  bool is_factor(ArrayRef array) const {
    if (machine_.sums_of_thread == 0 || !is_half(array->dtype) || kind_of(array) != Kind::map || candidates_.reads_virtual(array))
      return false;
    return std::ranges::any_of(readers(array), [&](ArrayRef reader) {
      return is_virtual(reader) && kind_of(reader) == Kind::product && element_count(reader) > element_count(array);
    });
  }

  // A map that nothing of the region needs is made here where that spares reading again what is: as much as the map itself makes, at least.
  bool is_worth_following(ArrayRef array, const ArraysById& region) const {
    if (kind_of(array) != Kind::map || candidates_.reads_virtual(array)) return true;
    bool is_needed = std::ranges::any_of(readers(array), [&](ArrayRef reader) { return region.contains(reader) || is_virtual(reader); });
    return is_needed || std::ranges::any_of(reads_of(array), [&](ArrayRef read) {
             return region.contains(read) && element_count(read) * 2 >= element_count(array);
           });
  }

  // Readers of virtual values count; of equal choices the one with fewer arrays that blocks add to, then rows that lie further inside.
  double score_of(const ArraysById& region, ArrayRef largest, int row) const {
    double score = 0.001 * row;
    for (ArrayRef array : region)
      if (candidates_.reads_virtual(array)) score += 1;
    std::optional<BlockAxes> axes = axes_of({region.begin(), region.end()}, largest, row);
    for (const auto& reduced : axes->reduced) score -= 0.01 * static_cast<double>(!reduced.empty());
    return score;
  }

  // Something outside would have to run after a part of the region and before another.
  bool makes_cycle(const ArraysById& region) const {
    std::unordered_set<ArrayRef> seen;
    std::vector<ArrayRef> stack;
    std::uint32_t oldest = ~0U;
    for (ArrayRef array : region)
      if (!is_virtual(array)) oldest = std::min(oldest, array->id);
    auto visit = [&](ArrayRef array) {  // What is older reads nothing of the region, but for younger ones that are made with it.
      if ((array->id >= oldest || region_of_.contains(array)) && seen.insert(array).second) stack.push_back(array);
    };
    auto visit_reads = [&](ArrayRef array) {
      for (ArrayRef read : reads_of(array))
        if (!region.contains(read)) visit(read);
    };
    for (ArrayRef array : region) visit_reads(array);
    while (!stack.empty()) {
      ArrayRef array = stack.back();
      stack.pop_back();
      auto follow = [&](ArrayRef next) {
        for (ArrayRef read : reads_of(next)) {
          if (region.contains(read) && !is_virtual(read)) return true;
          visit(read);
        }
        return false;
      };
      if (follow(array)) return true;
      if (auto other = region_of_.find(array); other != region_of_.end())
        for (ArrayRef member : regions_[other->second].arrays)
          if (follow(member)) return true;
    }
    return false;
  }

  void add_region(const ArraysById& members, ArrayRef largest, int row) {
    std::vector<ArrayRef> arrays(members.begin(), members.end());
    for (ArrayRef array : arrays)
      if (!is_virtual(array)) region_of_[array] = regions_.size();
    BlockAxes axes = *axes_of(arrays, largest, row);
    regions_.push_back({.arrays = std::move(arrays), .outputs = {}, .axes = std::move(axes)});
  }

  void set_outputs(BlockRegion& region) const {
    std::unordered_set<ArrayRef> inside(region.arrays.begin(), region.arrays.end());
    for (ArrayRef array : region.arrays) {
      bool is_read = std::ranges::any_of(readers(array), [&](ArrayRef reader) { return !inside.contains(reader) && !is_virtual(reader); });
      // A virtual reader outside is made in another region, which reads this from memory.
      bool is_read_by_virtual =
          std::ranges::any_of(readers(array), [&](ArrayRef reader) { return !inside.contains(reader) && is_virtual(reader); });
      if (!is_virtual(array) && (results_.contains(array) || is_read || is_read_by_virtual || is_read_elsewhere(array)))
        region.outputs.push_back(array);
    }
  }

  // Some other region makes again what reads it.
  bool is_read_elsewhere(ArrayRef array) const {
    std::unordered_set<ArrayRef> above;
    std::vector<ArrayRef> stack{array};
    while (!stack.empty()) {
      ArrayRef next = stack.back();
      stack.pop_back();
      for (ArrayRef reader : readers(next)) {
        if (!is_virtual(reader)) {
          if (next != array) {
            auto own = region_of_.find(array), other = region_of_.find(reader);
            if (other == region_of_.end() || other->second != own->second) return true;
          }
          continue;
        }
        if (above.insert(reader).second) stack.push_back(reader);
      }
    }
    return false;
  }

  // Virtual values of regions that cost more than storing would, all regions that share some taken together.
  std::unordered_set<ArrayRef> too_dear() {
    for (BlockRegion& region : regions_) {  // now that all regions are known
      region.outputs.clear();
      set_outputs(region);
      choose_columns(region, virtual_, machine_);
    }
    std::vector<std::size_t> group(regions_.size());
    for (std::size_t k = 0; k < group.size(); ++k) group[k] = k;
    std::unordered_map<ArrayRef, std::size_t> first;
    for (std::size_t k = 0; k < regions_.size(); ++k)
      for (ArrayRef array : regions_[k].arrays) {
        if (!is_virtual(array)) continue;
        auto [known, is_new] = first.try_emplace(array, k);
        if (is_new) continue;
        std::size_t from = group[k], to = group[known->second];
        std::ranges::replace(group, std::max(from, to), std::min(from, to));
      }
    std::unordered_set<ArrayRef> refused;
    for (std::size_t k = 0; k < regions_.size(); ++k) {
      std::vector<const BlockRegion*> together;
      for (std::size_t other = 0; other < regions_.size(); ++other)
        if (group[other] == k) together.push_back(&regions_[other]);
      if (together.empty() || saved_by_blocks(together, virtual_, machine_) > 0) continue;
      for (const BlockRegion* region : together)
        for (ArrayRef array : region->arrays)
          if (is_virtual(array)) refused.insert(array);
    }
    return refused;
  }

  const std::vector<ArrayRef>& arrays_;
  const std::unordered_set<ArrayRef>& results_;
  const Machine& machine_;
  BlockCandidates candidates_;
  std::unordered_set<ArrayRef> virtual_, failed_;
  std::unordered_set<ArrayRef> together_;  // values whose readers may be one region also where blocks add to something
  // What fits, by the arrays of a region, those of them that are virtual, and the rows.
  std::map<std::tuple<std::vector<ArrayRef>, std::vector<ArrayRef>, ArrayRef, int>, bool> fits_;
  std::vector<BlockRegion> regions_;
  std::unordered_map<ArrayRef, std::size_t> region_of_;
};

// Whether what is made for `wanted` besides `arrays` reads one of `hidden`.
bool reads_one(const std::vector<ArrayRef>& wanted, const std::unordered_set<ArrayRef>& arrays,
               const std::unordered_set<ArrayRef>& hidden) {
  std::vector<ArrayRef> stack = wanted;
  std::unordered_set<ArrayRef> seen;
  while (!stack.empty()) {
    ArrayRef array = stack.back();
    stack.pop_back();
    if (hidden.contains(array)) return true;
    if (arrays.contains(array) || !seen.insert(array).second) continue;
    for (ArrayRef read : reads_of(array)) stack.push_back(read);
  }
  return false;
}

}  // namespace

std::vector<BlockRegion> find_blocks(const std::vector<ArrayRef>& arrays, const std::unordered_set<ArrayRef>& results,
                                     const Machine& machine) {
  std::vector<BlockRegion> regions = Finder(arrays, results, machine).run();
  // Arrays that choose columns are made before the region: what is stored nowhere chooses none.
  std::unordered_set<ArrayRef> hidden;
  for (const BlockRegion& region : regions)
    for (ArrayRef array : region.arrays)
      if (std::ranges::find(region.outputs, array) == region.outputs.end()) hidden.insert(array);
  const std::unordered_set<ArrayRef> all(arrays.begin(), arrays.end());
  for (BlockRegion& region : regions)
    if (region.by_data && reads_one({region.by_data->begin, region.by_data->end}, all, hidden)) region.by_data.reset();
  return regions;
}

}  // namespace heed
