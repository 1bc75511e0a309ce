// Graphs as text of the flat form: what stands on which line, and under which name.
#include "ir/print.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <set>
#include <stdexcept>
#include <unordered_map>
#include <unordered_set>

#include "ir/algebra.h"
#include "ir/function.h"
#include "ir/print_expression.h"

namespace heed {
namespace {

// Words that mean something in a flat file; no array is called so.
constexpr std::array reserved = {"model", "fn",     "layer",  "param",        "state", "let",      "if",    "else", "for",
                                 "in",    "return", "yield",  "true",         "false", "none",     "None",  "and",  "or",
                                 "not",   "inf",    "nan",    "step",         "seed",  "training", "where", "with", "grad",
                                 "scan",  "region", "import", "reverse_scan", "train", "optimizer"};

std::set<std::string> reserved_names() {
  std::set<std::string> names(reserved.begin(), reserved.end());
  for (const ScalarFunction& function : scalar_functions()) names.emplace(function.name);
  for (const ReductionRecord& reduction : reductions()) names.emplace(reduction.name);
  for (int k = 0; k <= static_cast<int>(DType::boolean); ++k) names.emplace(name_of(static_cast<DType>(k)));
  return names;
}

// A hint as a name of the language: words of letters, digits and `_`, joined by points; spaces become `_`.
std::string as_name(std::string_view hint) {
  std::string name;
  for (char c : hint) {
    if (c == ' ' && !name.empty()) c = '_';
    bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_', digit = c >= '0' && c <= '9';
    bool point = c == '.' && !name.empty() && name.back() != '.';
    if (letter || point || (digit && !name.empty())) name += c;
  }
  while (!name.empty() && (name.back() == '.' || (name.back() == '_' && hint.back() != '_'))) name.pop_back();
  return name;
}

// One line or block, or a declaration.
struct Item {
  std::vector<ArrayRef> makes;  // names that stand on its left
  std::vector<ArrayRef> reads;  // what must stand before it
  const GraphInput* declared = nullptr;
  const Scan* scan = nullptr;
  const Gradient* gradient = nullptr;
  const Region* region = nullptr;
};

// The arrays of a scan's body that are made anew at each step, in order.
std::vector<ArrayRef> arrays_inside(const Scan& scan) {
  std::unordered_set<ArrayRef> inside(scan.element_inputs.begin(), scan.element_inputs.end());
  inside.insert(scan.carried_inputs.begin(), scan.carried_inputs.end());
  std::vector<ArrayRef> ends = scan.yields, result;
  ends.insert(ends.end(), scan.next.begin(), scan.next.end());
  for (ArrayRef array : in_order(ends))
    if (std::ranges::any_of(reads_of(array), [&](ArrayRef read) { return inside.contains(read); }) && inside.insert(array).second)
      result.push_back(array);
  return result;
}

using ScanBodies = std::unordered_map<const Scan*, const PlannedScan*>;

class GraphPrinter {
 public:
  GraphPrinter(const Graph& graph, ScanBodies bodies) : graph_(graph), bodies_(std::move(bodies)), used_(reserved_names()) {}

  std::string print(std::span<const Region> regions) {
    std::vector<ArrayRef> ends;
    for (const GraphOutput& output : graph_.outputs) ends.push_back(output.array);
    std::vector<Item> items;
    for (const GraphInput& input : graph_.inputs) {
      name_input(input);
      if (input.role != GraphInput::Role::parameter && input.role != GraphInput::Role::state) continue;
      Item& item = items.emplace_back(Item{.makes = {input.array}, .declared = &input});
      if (!input.initial) continue;
      item.reads = input.initial->body ? reads_of(input.initial) : std::vector<ArrayRef>{input.initial};
      ends.insert(ends.end(), item.reads.begin(), item.reads.end());
    }
    gather(items, ends, regions);
    std::vector<Item> order = in_reading_order(std::move(items));
    for (const Item& item : order) name_all(item);
    header();
    indent_ = 1;
    for (const Item& item : order) print_item(item);
    for (GraphInput::Role role : {GraphInput::Role::parameter, GraphInput::Role::state})
      for (const Item& item : order)
        if (item.declared && item.declared->role == role) print_updates(item.declared->array);
    footer();
    return std::move(out_);
  }

 private:
  // --- what is printed, and in which order
  void gather(std::vector<Item>& items, const std::vector<ArrayRef>& ends, std::span<const Region> regions) {
    std::unordered_map<ArrayRef, const Region*> region_of;
    for (const Region& region : regions)
      for (ArrayRef output : region.outputs) region_of[output] = &region;
    std::unordered_set<ArrayRef> seen;
    for (const GraphInput& input : graph_.inputs) seen.insert(input.array);
    std::unordered_map<const void*, std::size_t> joined;  // region, scan or gradient -> item
    std::vector<ArrayRef> wanted(ends.rbegin(), ends.rend());
    while (!wanted.empty()) {
      ArrayRef array = wanted.back();
      wanted.pop_back();
      if (array->kind == Array::Kind::input || outside_.contains(array) || !seen.insert(array).second) continue;
      const Region* region = region_of.contains(array) ? region_of.at(array) : nullptr;
      const void* group = region ? static_cast<const void*>(region) : array->scan ? static_cast<const void*>(array->scan) : array->gradient;
      if (group && joined.contains(group)) {
        if (!region) items[joined.at(group)].makes.push_back(array);
        continue;
      }
      if (group) joined[group] = items.size();
      Item& item = items.emplace_back(Item{.makes = {array}, .scan = array->scan, .gradient = array->gradient, .region = region});
      if (region) {
        item.makes = region->outputs;
        item.reads = reads_of_region(*region);
      } else {
        item.reads = reads_of(array);
      }
      wanted.insert(wanted.end(), item.reads.rbegin(), item.reads.rend());
    }
  }

  static std::vector<ArrayRef> reads_of_region(const Region& region) {
    std::vector<ArrayRef> reads;
    std::vector<ArrayRef> body = region.locals;
    body.insert(body.end(), region.outputs.begin(), region.outputs.end());
    for (ArrayRef array : body)
      for (ArrayRef read : reads_of(array))
        if (std::ranges::find(body, read) == body.end() && std::ranges::find(reads, read) == reads.end()) reads.push_back(read);
    return reads;
  }

  static std::uint32_t age(const Item& item) { return std::ranges::min(item.makes, {}, &Array::id)->id; }

  // What is read comes first; else the older one: lines keep their order when they are read back.
  std::vector<Item> in_reading_order(std::vector<Item> items) {
    std::ranges::sort(items, {}, age);
    std::unordered_set<ArrayRef> waiting;
    for (const Item& item : items) waiting.insert(item.makes.begin(), item.makes.end());
    std::vector<Item> order;
    std::vector<bool> done(items.size(), false);
    while (order.size() < items.size()) {
      std::size_t next = 0;
      while (next < items.size() && (done[next] || std::ranges::any_of(
                                                       items[next].reads,
                                                       [&](ArrayRef read) {
                                                         return waiting.contains(read) &&
                                                                std::ranges::find(items[next].makes, read) == items[next].makes.end();
                                                       })))
        ++next;
      if (next == items.size()) throw std::logic_error("print: regions that wait for each other");
      done[next] = true;
      for (ArrayRef made : items[next].makes) waiting.erase(made);
      order.push_back(items[next]);
    }
    return order;
  }

  // --- names
  void name_input(const GraphInput& input) {
    std::string name = input.role == GraphInput::Role::seed ? "seed" : input.role == GraphInput::Role::step ? "step" : input.array->name;
    names_[input.array] = name;
    used_.insert(name);
  }

  void name(ArrayRef array) {
    if (names_.contains(array)) return;
    std::string hint = as_name(array->name);
    if (hint.empty()) hint = as_name(array->arena->origin(array->origin).what);
    if (hint.empty()) hint = "a";
    std::string chosen = hint, stem = hint;  // `next` and `next_3` are numbered together
    if (std::size_t last = hint.find_last_not_of("0123456789");
        last != std::string::npos && last > 0 && last + 1 < hint.size() && hint[last] == '_')
      stem = hint.substr(0, last);
    for (int k = 2; !used_.insert(chosen).second; ++k) chosen = fmt::format("{}_{}", stem, k);
    names_[array] = chosen;
  }

  void name_all(const Item& item) {
    if (item.region)
      for (ArrayRef local : item.region->locals) name(local);
    if (item.scan) {
      for (ArrayRef stand_in : item.scan->element_inputs) name(stand_in);
      for (ArrayRef stand_in : item.scan->carried_inputs) name(stand_in);
      for (ArrayRef array : arrays_inside(*item.scan)) name(array);
    }
    for (ArrayRef made : item.makes) name(made);
  }

  // --- text
  void line(const std::string& text) { out_ += std::string(2 * indent_, ' ') + text + "\n"; }

  static std::string type_of(ArrayRef array, DType dtype, const std::vector<std::string>& axes = {}) {
    std::string text(name_of(dtype));
    if (array->shape.empty()) return text;
    std::string dimensions;
    for (std::size_t k = 0; k < array->shape.size(); ++k)
      dimensions += (k ? ", " : "") + (axes.empty() ? "" : axes[k] + ": ") + fmt::format("{}", array->shape[k]);
    return text + "[" + dimensions + "]";
  }
  static std::string type_of(ArrayRef array) { return type_of(array, array->dtype); }

  // `f32[i: 3] = …` of a definition; of any other array a copy.
  std::string typed_body(ArrayRef array) {
    ExpressionPrinter printer([&](ArrayRef read) { return names_.at(read); }, used_);
    std::vector<std::string> axes;
    for (AxisRef axis : positions(array)) axes.push_back(printer.bind(axis));
    std::string body = names_.contains(array) && !array->body ? names_.at(array) : "";
    if (array->body)
      body = printer.text(array->body);
    else if (!axes.empty())
      body += fmt::format("[{}]", fmt::join(axes, ", "));
    return type_of(array, array->dtype, axes) + " = " + body;
  }

  void header() {
    if (!graph_.sizes.empty()) {
      std::string sizes;
      for (const auto& [symbol, size] : graph_.sizes) sizes += fmt::format("{}{} = {}", sizes.empty() ? "" : ", ", symbol, size);
      line("# sizes: " + sizes);
    }
    std::string inputs, results;
    int count = 0;
    for (const GraphInput& input : graph_.inputs)
      if (input.role == GraphInput::Role::data)
        inputs += fmt::format("{}{}: {}", inputs.empty() ? "" : ", ", names_.at(input.array), type_of(input.array));
    for (const GraphOutput& output : graph_.outputs) {
      if (output.updates) continue;
      results += fmt::format("{}{}: {}", count++ ? ", " : "", as_name(output.name), type_of(output.array));
    }
    std::string arrow = count ? fmt::format(" -> ({})", results) : "";
    if (graph_.is_function && count == 1 && graph_.outputs[0].name == "out") arrow = " -> " + type_of(graph_.outputs[0].array);
    std::string name = as_name(graph_.name);
    std::ranges::replace(name, '.', '_');
    line(fmt::format("{} {}({}){} {{", graph_.is_function ? "fn" : "model", name.empty() ? "unnamed" : name, inputs, arrow));
  }

  void footer() {
    std::string results;
    for (const GraphOutput& output : graph_.outputs)
      if (!output.updates) results += (results.empty() ? "" : ", ") + names_.at(output.array);
    if (!results.empty()) line("return " + results);
    indent_ = 0;
    line("}");
  }

  void print_updates(ArrayRef declared) {
    for (const GraphOutput& output : graph_.outputs)
      if (output.updates == declared) line(fmt::format("{} := {}", names_.at(declared), names_.at(output.array)));
  }

  // The left side of an item that makes several arrays.
  std::string targets(const std::vector<ArrayRef>& arrays) {
    std::string text;
    for (ArrayRef array : arrays) text += fmt::format("{}{}: {}", text.empty() ? "" : ", ", names_.at(array), type_of(array));
    return text;
  }

  void print_item(const Item& item) {
    if (item.declared) return print_declared(*item.declared);
    if (item.region) return print_region(*item.region, item.reads);
    if (item.gradient) return print_gradient(item);
    if (item.scan) return print_scan(*item.scan, item.makes);
    line(fmt::format("{}: {}", names_.at(item.makes[0]), typed_body(item.makes[0])));
  }

  void print_declared(const GraphInput& input) {
    std::string_view word = input.role == GraphInput::Role::state ? "state" : "param";
    std::string rest = input.initial ? typed_body(input.initial) : type_of(input.array);
    line(fmt::format("{} {}: {}", word, names_.at(input.array), rest));
  }

  void print_gradient(const Item& item) {
    std::vector<ArrayRef> results = item.makes;
    std::ranges::sort(results, {}, &Array::result);
    std::string wrt;
    for (ArrayRef result : results)
      wrt += (wrt.empty() ? "" : ", ") + names_.at(item.gradient->wrt[static_cast<std::size_t>(result->result)]);
    line(fmt::format("{} = grad({}, {})", targets(results), names_.at(item.gradient->target), results.size() > 1 ? "[" + wrt + "]" : wrt));
  }

  void print_region(const Region& region, const std::vector<ArrayRef>& reads) {
    std::vector<std::string> inputs, results;
    for (ArrayRef read : reads) inputs.push_back(names_.at(read));
    for (ArrayRef output : region.outputs) results.push_back(names_.at(output));
    std::string label = region.label.empty() ? "" : "  # " + region.label;
    line(fmt::format("{} = region({}) {{{}", targets(region.outputs), fmt::join(inputs, ", "), label));
    ++indent_;
    std::vector<Item> items;
    for (ArrayRef array : region.locals) items.push_back({.makes = {array}, .reads = reads_of(array)});
    for (ArrayRef array : region.outputs) items.push_back({.makes = {array}, .reads = reads_of(array)});
    for (const Item& item : in_reading_order(std::move(items))) print_item(item);
    line(fmt::format("return {}", fmt::join(results, ", ")));
    --indent_;
    line("}");
  }

  // One name a result; those that nothing reads are called so.
  std::string scan_targets(const Scan& scan, const std::vector<ArrayRef>& results) {
    std::string text;
    for (std::size_t k = 0; k < scan.yields.size() + scan.next.size(); ++k) {
      auto known = std::ranges::find(results, static_cast<int>(k), &Array::result);
      if (known != results.end()) {
        text += fmt::format("{}{}: {}", k ? ", " : "", names_.at(*known), type_of(*known));
        continue;
      }
      std::string name = "unused";
      for (int n = 2; !used_.insert(name).second; ++n) name = fmt::format("unused_{}", n);
      text += (k ? ", " : "") + name;
    }
    return text;
  }

  void print_scan(const Scan& scan, const std::vector<ArrayRef>& results) {
    std::vector<std::string> bindings;
    for (std::size_t k = 0; k < scan.elements.size(); ++k)
      bindings.push_back(fmt::format("{} in {}", names_.at(scan.element_inputs[k]), names_.at(scan.elements[k])));
    if (scan.elements.empty()) {
      std::string name = "trip";
      for (int n = 2; !used_.insert(name).second; ++n) name = fmt::format("trip_{}", n);
      bindings.push_back(fmt::format("{} in 0..{}", name, scan.length));
    }
    for (std::size_t k = 0; k < scan.starts.size(); ++k)
      bindings.push_back(fmt::format("{} = {}", names_.at(scan.carried_inputs[k]), names_.at(scan.starts[k])));
    line(fmt::format("{} = {}({}) {{", scan_targets(scan, results), scan.reverse ? "reverse_scan" : "scan", fmt::join(bindings, ", ")));
    ++indent_;
    print_scan_body(scan);
    --indent_;
    line("}");
  }

  void print_scan_body(const Scan& scan) {
    std::vector<ArrayRef> inside = arrays_inside(scan), ends = scan.yields;
    ends.insert(ends.end(), scan.next.begin(), scan.next.end());
    auto outer = outside_;
    for (ArrayRef array : in_order(ends))
      if (std::ranges::find(inside, array) == inside.end()) outside_.insert(array);
    std::vector<Region> regions;
    if (auto planned = bodies_.find(&scan); planned != bodies_.end())
      for (const Plan::Step& step : planned->second->body.steps)
        if (const auto* region = std::get_if<Region>(&step)) regions.push_back(*region);
    std::vector<Item> items;
    gather(items, ends, regions);
    items = in_reading_order(std::move(items));
    for (const Item& item : items) name_all(item);
    for (const Item& item : items) print_item(item);
    outside_ = std::move(outer);
    std::vector<std::string> yields, changed, next;
    bool yields_carried = false, next_is_carried = false;
    auto is_carried = [&](ArrayRef array) { return std::ranges::find(scan.carried_inputs, array) != scan.carried_inputs.end(); };
    for (ArrayRef array : scan.yields) {
      yields.push_back(names_.at(array));
      yields_carried |= is_carried(array);
    }
    for (std::size_t k = 0; k < scan.next.size(); ++k) {
      if (scan.next[k] == scan.carried_inputs[k]) continue;
      changed.push_back(names_.at(scan.carried_inputs[k]));
      next.push_back(names_.at(scan.next[k]));
      next_is_carried |= is_carried(scan.next[k]);
    }
    std::string yield = fmt::format("yield {}", fmt::join(yields, ", "));
    if (yields_carried) line(yield);  // before the names mean the values of the next step
    if (next_is_carried && changed.size() > 1)
      line(fmt::format("{} = ({})", fmt::join(changed, ", "), fmt::join(next, ", ")));
    else
      for (std::size_t k = 0; k < changed.size(); ++k) line(fmt::format("{} = {}", changed[k], next[k]));
    if (!yields_carried && !yields.empty()) line(yield);
  }

  const Graph& graph_;
  ScanBodies bodies_;
  std::set<std::string> used_;
  std::unordered_map<ArrayRef, std::string> names_;
  std::unordered_set<ArrayRef> outside_;  // of the scan's body that is being printed
  std::size_t indent_ = 0;
  std::string out_;
};

void gather_scans(const Plan& plan, ScanBodies& bodies) {
  for (const Plan::Step& step : plan.steps)
    if (const auto* planned = std::get_if<std::shared_ptr<PlannedScan>>(&step)) {
      bodies[(*planned)->scan] = planned->get();
      gather_scans((*planned)->body, bodies);
    }
}

}  // namespace

std::string print(const Graph& graph) { return print(graph, {}); }
std::string print(const Graph& graph, std::span<const Region> regions) { return GraphPrinter(graph, ScanBodies{}).print(regions); }

std::string print(const Plan& plan) {
  ScanBodies bodies;
  gather_scans(plan, bodies);
  std::vector<Region> regions;
  for (const Plan::Step& step : plan.steps)
    if (const auto* region = std::get_if<Region>(&step)) regions.push_back(*region);
  return GraphPrinter(plan.graph, bodies).print(regions);
}

}  // namespace heed
