// Boxes and links of a program.
#include "passes/picture.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <functional>
#include <map>
#include <unordered_map>
#include <unordered_set>

#include "ir/algebra.h"
#include "ir/region_frame.h"
#include "passes/axis_names.h"
#include "passes/describe.h"
#include "passes/describe_blocks.h"
#include "passes/lifetimes.h"
#include "passes/rewrite.h"

namespace heed {

namespace {

constexpr std::string_view gradient_prefix = "gradient";

// "h.3.attn" as {"h.3", "attn"}: a number belongs to the name before it.
std::vector<std::string> clusters_of(const std::string& path) {
  std::vector<std::string> clusters;
  std::size_t start = 0;
  while (start < path.size()) {
    std::size_t end = std::min(path.find('.', start), path.size());
    std::string part = path.substr(start, end - start);
    bool is_number = !part.empty() && std::ranges::all_of(part, [](char c) { return c >= '0' && c <= '9'; });
    if (is_number && !clusters.empty())
      clusters.back() += "." + part;
    else
      clusters.push_back(part);
    start = end + 1;
  }
  return clusters;
}

class Painter {
 public:
  explicit Painter(const Graph& graph) : graph_(graph), names_(graph) {
    picture_.title = graph.name;
    for (const GraphInput& input : graph.inputs) roles_[input.array] = input.role;
  }

  // `groups` in order, each becomes a box; `stored` of each is what others can read.
  struct Group {
    std::vector<ArrayRef> arrays, reads;
    std::string title;
    std::vector<std::string> lines;
    Box::Kind kind;
    std::string subtitle = "";
  };

  Picture paint(const std::vector<Group>& groups) {
    for (const Group& group : groups) {
      int box = static_cast<int>(picture_.boxes.size());
      picture_.boxes.push_back(
          {.kind = group.kind, .path = path_of(group.arrays), .title = group.title, .subtitle = group.subtitle, .lines = group.lines});
      for (ArrayRef array : group.arrays) made_by_[array] = box;
    }
    for (const Group& group : groups)
      for (ArrayRef read : group.reads) add_read(read, made_by_.at(group.arrays[0]));
    for (const GraphOutput& output : graph_.outputs) add_output(output);
    gather_optimizer();
    for (Box& box : picture_.boxes)
      for (std::string& name : box.updates) name = short_name(name, box);
    return std::move(picture_);
  }

 private:
  // Of gradients in clusters of their own, so that the way back lies beside the way forward.
  std::vector<std::string> path_of(const std::vector<ArrayRef>& arrays) const {
    const Origin& origin = arrays[0]->arena->origin(arrays[0]->origin);
    std::vector<std::string> path = clusters_of(origin.path);
    if (origin.what.starts_with(gradient_prefix)) path.insert(path.begin(), "gradients");
    return path;
  }

  // A name without what the box's clusters say already.
  std::string short_name(const std::string& name, const Box& box) const {
    std::string prefix;
    for (const std::string& part : box.path)
      if (part != "gradients") prefix += part + ".";
    return !prefix.empty() && name.starts_with(prefix) ? name.substr(prefix.size()) : name;
  }

  void add_read(ArrayRef read, int box) {
    auto role = roles_.find(read);
    if (role == roles_.end()) {
      if (auto maker = made_by_.find(read); maker != made_by_.end() && maker->second != box)
        add_link(maker->second, box, names_.typed_shape(read));
      return;
    }
    Box& reader = picture_.boxes[box];
    switch (role->second) {
      case GraphInput::Role::data:
        add_link(input_box(read), box, names_.typed_shape(read));
        return;
      case GraphInput::Role::parameter: {
        std::string text = short_name(read->name, reader) + " " + fmt::format("[{}]", fmt::join(read->shape, ", "));
        if (std::ranges::find(reader.parameters, text) == reader.parameters.end()) reader.parameters.push_back(text);
        return;
      }
      default:
        return;  // States are seen where they are updated; seed and step are everywhere.
    }
  }

  int input_box(ArrayRef input) {
    auto [entry, is_new] = input_boxes_.try_emplace(input, static_cast<int>(picture_.boxes.size()));
    if (is_new)
      picture_.boxes.push_back({.kind = Box::Kind::input, .path = {}, .title = input->name, .lines = {}, .parameters = {}, .updates = {}});
    return entry->second;
  }

  // "fc.weight.m" beside "fc.weight": its update goes without saying.
  bool is_state_of_parameter(ArrayRef state) const {
    return roles_.at(state) == GraphInput::Role::state && std::ranges::any_of(graph_.outputs, [&](const GraphOutput& output) {
             return output.updates && roles_.at(output.updates) == GraphInput::Role::parameter &&
                    state->name.starts_with(output.updates->name + ".");
           });
  }

  void add_output(const GraphOutput& output) {
    auto maker = made_by_.find(output.array);
    if (output.updates) {
      if (maker != made_by_.end() && !is_state_of_parameter(output.updates))
        picture_.boxes[maker->second].updates.push_back(output.updates->name);
      return;
    }
    int box = static_cast<int>(picture_.boxes.size());
    picture_.boxes.push_back({.kind = Box::Kind::result, .path = {}, .title = output.name, .lines = {}, .parameters = {}, .updates = {}});
    int from = maker != made_by_.end() ? maker->second : roles_.contains(output.array) ? input_box(output.array) : -1;
    if (from >= 0) add_link(from, box, names_.typed_shape(output.array));
  }

  void add_link(int from, int to, std::string shape) {
    Link link{from, to, std::move(shape)};
    if (std::ranges::find(picture_.links, link) == picture_.links.end()) picture_.links.push_back(std::move(link));
  }

  // What serves only to give parameters new values, and is no gradient.
  void gather_optimizer() {
    std::vector<bool> serves_others(picture_.boxes.size());
    std::vector<std::vector<int>> before(picture_.boxes.size());
    for (const Link& link : picture_.links) before[link.to].push_back(link.from);
    std::vector<int> stack;
    for (int box = 0; box < static_cast<int>(picture_.boxes.size()); ++box) {
      const std::vector<std::string>& path = picture_.boxes[box].path;
      if (picture_.boxes[box].kind == Box::Kind::result || (!path.empty() && path[0] == "gradients")) stack.push_back(box);
    }
    while (!stack.empty()) {
      int box = stack.back();
      stack.pop_back();
      if (serves_others[box]) continue;
      serves_others[box] = true;
      stack.insert(stack.end(), before[box].begin(), before[box].end());
    }
    bool any_update = std::ranges::any_of(
        graph_.outputs, [](const GraphOutput& output) { return output.updates && output.array->kind != Array::Kind::input; });
    if (!any_update) return;
    for (std::size_t box = 0; box < picture_.boxes.size(); ++box) {
      Box& each = picture_.boxes[box];
      if (serves_others[box] || each.kind == Box::Kind::input) continue;
      each.path = {"optimizer"};
    }
  }

  const Graph& graph_;
  AxisNames names_;
  Picture picture_;
  std::unordered_map<ArrayRef, GraphInput::Role> roles_;
  std::unordered_map<ArrayRef, int> made_by_, input_boxes_;
};

// Arrays that one call made belong together; so do the results of a scan or gradient.
std::vector<Painter::Group> calls_of(const Graph& graph) {
  std::unordered_set<ArrayRef> given;
  for (const GraphInput& input : graph.inputs) given.insert(input.array);
  std::vector<Painter::Group> groups;
  std::unordered_map<std::uint32_t, std::size_t> of_origin;
  std::unordered_map<const void*, std::size_t> of_node;
  // A call may have marked its arrays more than once: then they read each other.
  auto same_call = [&](ArrayRef array) {
    for (ArrayRef read : reads_of(array))
      if (auto found = of_origin.find(read->origin);
          !given.contains(read) && found != of_origin.end() && array->arena->origin(array->origin) == read->arena->origin(read->origin))
        return found->second;
    return groups.size();
  };
  for (ArrayRef array : in_order(graph)) {
    if (given.contains(array) || array->kind == Array::Kind::input) continue;
    const void* node = array->scan ? static_cast<const void*>(array->scan) : array->gradient;
    std::size_t& known = node ? of_node.try_emplace(node, groups.size()).first->second
                              : of_origin.try_emplace(array->origin, same_call(array)).first->second;
    if (known == groups.size())
      groups.push_back({.arrays = {}, .reads = {}, .title = call_words(array), .lines = {}, .kind = Box::Kind::operation});
    Painter::Group& group = groups[known];
    group.arrays.push_back(array);
    for (ArrayRef read : reads_of(array)) group.reads.push_back(read);
  }
  return groups;
}

}  // namespace

Picture picture_of(const Graph& graph) { return Painter(graph).paint(calls_of(graph)); }

Picture picture_of(const Plan& plan) {
  const AxisNames names(plan.graph);
  std::vector<Painter::Group> groups;
  for (const Plan::Step& step : plan.steps) {
    Painter::Group group{.arrays = stored_by(step), .reads = read_by(step), .title = "", .lines = {}, .kind = Box::Kind::region};
    if (const Region* region = std::get_if<Region>(&step)) {
      group.arrays = arrays_of(*region);
      group.title = region->label;
      if (region->blocks) group.subtitle = words_of(count_blocks(*region->blocks));
      for (ArrayRef array : group.arrays) {
        bool is_stored = std::ranges::find(region->outputs, array) != region->outputs.end();
        group.lines.push_back(fmt::format("{} {} {}", is_stored ? "→" : "·", inside_words(array, names), names.typed_shape(array)));
      }
    } else {
      const PlannedScan& scan = *std::get<std::shared_ptr<PlannedScan>>(step);
      group.title = fmt::format("scan over {} steps", scan.scan->length);
      for (const Plan::Step& inner : scan.body.steps)
        if (const Region* region = std::get_if<Region>(&inner)) group.lines.push_back("· " + region->label);
    }
    for (const GraphOutput& output : plan.graph.outputs)  // It is made where what it renames is.
      if (ArrayRef stored = plan.stored_for(output.array);
          stored != output.array && std::ranges::find(group.arrays, stored) != group.arrays.end())
        group.arrays.push_back(output.array);
    groups.push_back(std::move(group));
  }
  return Painter(plan.graph).paint(groups);
}

}  // namespace heed
