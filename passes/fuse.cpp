// Cuts a graph into regions.
#include "passes/fuse.h"

#include <algorithm>
#include <stdexcept>

#include "passes/describe.h"
#include "passes/grouping.h"
#include "passes/renamed_results.h"
#include "passes/schedule.h"

namespace heed {

namespace {

// What has to be made, what is read first. Inputs of the graph are given, whatever they are.
std::vector<ArrayRef> arrays_to_make(const Graph& graph) {
  std::unordered_set<ArrayRef> given, seen;
  for (const GraphInput& input : graph.inputs) given.insert(input.array);
  std::vector<ArrayRef> stack, found;
  for (const GraphOutput& output : graph.outputs) stack.push_back(output.array);
  while (!stack.empty()) {
    ArrayRef array = stack.back();
    stack.pop_back();
    if (given.contains(array) || !seen.insert(array).second) continue;
    if (array->kind == Array::Kind::input) throw std::logic_error("fuse: `" + array->name + "` is read but is no input of the graph");
    if (array->kind == Array::Kind::gradient) throw std::logic_error("fuse: a gradient is left; differentiate first");
    found.push_back(array);
    for (ArrayRef read : reads_of(array)) stack.push_back(read);
  }
  std::ranges::sort(found, {}, &Array::id);
  return found;
}

// What the body of a scan reads from outside, whole, in order.
std::vector<ArrayRef> captured_by(const Scan& scan) {
  std::vector<ArrayRef> outputs = scan.yields;
  outputs.insert(outputs.end(), scan.next.begin(), scan.next.end());
  std::unordered_set<ArrayRef> inside(scan.element_inputs.begin(), scan.element_inputs.end());
  inside.insert(scan.carried_inputs.begin(), scan.carried_inputs.end());
  std::vector<ArrayRef> order = in_order(outputs), captured;
  for (ArrayRef array : order)
    if (std::ranges::any_of(reads_of(array), [&](ArrayRef read) { return inside.contains(read); })) inside.insert(array);
  std::unordered_set<ArrayRef> wanted(outputs.begin(), outputs.end());
  for (ArrayRef array : order)
    if (inside.contains(array))
      for (ArrayRef read : reads_of(array)) wanted.insert(read);
  for (ArrayRef array : order)
    if (wanted.contains(array) && !inside.contains(array)) captured.push_back(array);
  return captured;
}

std::shared_ptr<PlannedScan> planned_scan(const Unit& unit, const Graph& outer, const Machine& machine) {
  const Scan& scan = *unit.scan;
  auto planned = std::make_shared<PlannedScan>();
  planned->scan = &scan;
  planned->results = unit.arrays;
  planned->captured = captured_by(scan);
  Graph body{.arena = outer.arena, .name = outer.name, .is_function = true, .sizes = outer.sizes};
  auto add_input = [&](ArrayRef array) { body.inputs.push_back({GraphInput::Role::data, array}); };
  for (ArrayRef array : scan.element_inputs) add_input(array);
  for (ArrayRef array : scan.carried_inputs) add_input(array);
  for (ArrayRef array : planned->captured) add_input(array);
  for (ArrayRef array : scan.yields) body.outputs.push_back({"yield", array});
  for (ArrayRef array : scan.next) body.outputs.push_back({"next", array});
  planned->body = fuse(body, machine);
  return planned;
}

Region region_of(const std::vector<int>& members, const Grouping& grouping) {
  Region region;
  for (int unit : members) (grouping.is_stored(unit) ? region.outputs : region.locals).push_back(grouping.units()[unit].arrays[0]);
  region.label = label_of(region);
  return region;
}

// Groups as tasks: values are numbered by units. Results are the caller's memory and weigh nothing.
std::vector<Task> tasks_of(const std::vector<std::vector<int>>& groups, const Grouping& grouping, const Plan& plan) {
  const std::vector<Unit>& units = grouping.units();
  std::vector<int> group_of(units.size());
  for (std::size_t group = 0; group < groups.size(); ++group)
    for (int unit : groups[group]) group_of[unit] = static_cast<int>(group);
  std::vector<Task> tasks(groups.size());
  auto add_once = [](auto& list, const auto& value) {
    if (std::ranges::find(list, value) == list.end()) list.push_back(value);
  };
  for (int unit = 0; unit < static_cast<int>(units.size()); ++unit) {
    Task& task = tasks[group_of[unit]];
    double bytes = 0;
    if (!units[unit].is_result && grouping.is_stored(unit))
      for (ArrayRef array : units[unit].arrays) bytes += bytes_of(array);
    task.makes.emplace_back(unit, bytes);
    for (int reader : units[unit].readers) {
      if (group_of[reader] == group_of[unit]) continue;
      add_once(tasks[group_of[reader]].after, group_of[unit]);
      add_once(tasks[group_of[reader]].reads, std::pair(unit, bytes));
    }
  }
  // An update comes after the last read of what it replaces, so that it may be made in place.
  std::unordered_map<ArrayRef, int> made_by;
  std::unordered_map<ArrayRef, std::vector<int>> read_by;
  for (int unit = 0; unit < static_cast<int>(units.size()); ++unit)
    for (ArrayRef array : units[unit].arrays) made_by[array] = group_of[unit];
  for (int unit = 0; unit < static_cast<int>(units.size()); ++unit)
    for (ArrayRef array : units[unit].inside())
      for (ArrayRef read : reads_of(array)) add_once(read_by[read], group_of[unit]);
  for (const GraphOutput& output : plan.graph.outputs)
    if (auto made = made_by.find(plan.stored_for(output.array)); output.updates && made != made_by.end())
      for (int reader : read_by[output.updates]) add_once(tasks[made->second].prefer_after, reader);
  return tasks;
}

// What the outputs need besides, each right after the last of what it reads.
void add_made(const std::vector<ArrayRef>& outputs, std::vector<ArrayRef>& arrays) {
  const std::unordered_set<ArrayRef> known(arrays.begin(), arrays.end());
  for (ArrayRef array : in_order(outputs)) {
    if (known.contains(array) || array->kind != Array::Kind::definition) continue;
    auto place = arrays.begin();
    for (ArrayRef read : reads_of(array))
      if (auto at = std::ranges::find(arrays, read); at != arrays.end()) place = std::max(place, at + 1);
    arrays.insert(place, array);
  }
}

Region region_of(const BlockRegion& blocks, const Graph& graph, const Machine& machine);

// `cuts`: values may be kept from being stored by running block by block; else it is a block's body.
Plan fuse(const Graph& graph, const Machine& machine, bool cuts) {
  Plan plan{.graph = graph};
  if (cuts) plan.renamed = renamed_results(graph);
  std::unordered_set<ArrayRef> results;
  for (const GraphOutput& output : graph.outputs) results.insert(plan.stored_for(output.array));
  std::vector<ArrayRef> arrays = arrays_to_make(graph);
  std::erase_if(arrays, [&](ArrayRef array) { return plan.renamed.contains(array); });
  std::vector<BlockRegion> blocks;
  if (cuts) blocks = find_blocks(arrays, results, machine);
  for (const BlockRegion& region : blocks)
    if (region.by_data) add_made({region.by_data->begin, region.by_data->end}, arrays);
  Grouping grouping(arrays, results, blocks, machine);
  grouping.run();
  std::vector<std::vector<int>> groups = grouping.groups();
  for (int group : schedule(tasks_of(groups, grouping, plan))) {
    const Unit& first = grouping.units()[groups[group][0]];
    if (first.blocks)
      plan.steps.emplace_back(region_of(*first.blocks, graph, machine));
    else if (first.scan)
      plan.steps.emplace_back(planned_scan(first, graph, machine));
    else
      plan.steps.emplace_back(region_of(groups[group], grouping));
  }
  return plan;
}

Region region_of(const BlockRegion& blocks, const Graph& graph, const Machine& machine) {
  Region region{.locals = {}, .outputs = blocks.outputs, .label = "", .blocks = make_blocks(blocks, graph, machine)};
  for (ArrayRef array : blocks.arrays)
    if (std::ranges::find(blocks.outputs, array) == blocks.outputs.end()) region.locals.push_back(array);
  region.label = label_of(region);
  for (Plan& body : region.blocks->bodies) {
    Plan fused = fuse(body.graph, machine, false);
    body.steps = std::move(fused.steps);
  }
  return region;
}

}  // namespace

Plan fuse(const Graph& graph, const Machine& machine) { return fuse(graph, machine, true); }

}  // namespace heed
