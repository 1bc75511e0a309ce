// When each stored value of a plan is live.
#include "passes/lifetimes.h"

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

#include "ir/region_frame.h"

namespace heed {

std::vector<ArrayRef> stored_by(const Plan::Step& step) {
  if (const Region* region = std::get_if<Region>(&step)) return region->outputs;
  return std::get<std::shared_ptr<PlannedScan>>(step)->results;
}

std::vector<ArrayRef> read_by(const Plan::Step& step) {
  std::vector<ArrayRef> found;
  std::unordered_set<ArrayRef> seen;
  auto add = [&](ArrayRef array) {
    if (seen.insert(array).second) found.push_back(array);
  };
  if (const Region* region = std::get_if<Region>(&step)) {
    std::vector<ArrayRef> inside = arrays_of(*region);
    seen.insert(inside.begin(), inside.end());
    for (ArrayRef array : inside)
      for (ArrayRef read : reads_of(array)) add(read);
    if (region->blocks && region->blocks->by_data) add(region->blocks->by_data->begin), add(region->blocks->by_data->end);
    return found;
  }
  const PlannedScan& scan = *std::get<std::shared_ptr<PlannedScan>>(step);
  for (ArrayRef array : scan.scan->elements) add(array);
  for (ArrayRef array : scan.scan->starts) add(array);
  for (ArrayRef array : scan.captured) add(array);
  return found;
}

std::vector<Lifetime> lifetimes(const Plan& plan) {
  std::vector<Lifetime> result;
  std::unordered_map<ArrayRef, std::size_t> of;
  for (int step = 0; step < static_cast<int>(plan.steps.size()); ++step) {
    for (ArrayRef array : read_by(plan.steps[step]))
      if (auto found = of.find(array); found != of.end()) {
        Lifetime& life = result[found->second];
        const bool is_for_all_runs = life.made < plan.invariant_steps && step >= plan.invariant_steps;
        life.last_read = is_for_all_runs ? static_cast<int>(plan.steps.size()) : std::max(life.last_read, step);
      }
    for (ArrayRef array : stored_by(plan.steps[step])) {
      of[array] = result.size();
      result.push_back({array, step, step});
    }
  }
  for (const GraphOutput& output : plan.graph.outputs)
    if (auto found = of.find(plan.stored_for(output.array)); found != of.end())
      result[found->second].last_read = static_cast<int>(plan.steps.size());
  return result;
}

}  // namespace heed
