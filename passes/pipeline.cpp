// The passes in their order.
#include "passes/pipeline.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <stdexcept>

#include "input_error.h"
#include "passes/align_layouts.h"
#include "passes/chunk_sums.h"
#include "passes/differentiate.h"
#include "passes/erase_stop_gradient.h"
#include "passes/fuse.h"
#include "passes/hoist_invariants.h"
#include "passes/isolate_reductions.h"
#include "passes/lower_precision.h"
#include "passes/merge_sums.h"
#include "passes/name_sums.h"
#include "passes/narrow_reductions.h"
#include "passes/open_cheap.h"
#include "passes/open_shifts.h"
#include "passes/open_single_uses.h"
#include "passes/order_products.h"
#include "passes/place_sums.h"
#include "passes/plan_memory.h"
#include "passes/reuse_stored.h"
#include "passes/rewrite.h"
#include "passes/sharpen_masks.h"
#include "passes/split_positions.h"
#include "passes/stage_operands.h"
#include "passes/sum_in_parts.h"

namespace heed {

namespace {

constexpr Pass pass_list[] = {
    {"open_single_uses", "opens elementwise values where one read alone uses them", open_single_uses},
    {"open_shifts", "takes logarithms out of exponents, and shifts of rows out of maxima", open_shifts},
    {"sharpen_masks", "takes large negative numbers that mask scores as minus infinity", sharpen_masks, false},
    {"name_sums", "gives reductions inside of others, or met twice, an array of their own", name_sums},
    {"chunk_sums", "makes sums over all that lies before by chunks, where that costs half", chunk_sums, false},
    {"order_products", "makes sums of products in the order that costs least", order_products, false},
    {"differentiate", "replaces gradients by reverse mode", differentiate},
    {"erase_stop_gradient", "drops what only gradients look at", erase_stop_gradient},
    {"name_gradient_sums", "names the reductions that came with the gradients", name_sums},
    {"open_gradients", "opens single uses that came with the gradients", open_single_uses},
    {"order_gradients", "makes sums of products that came with the gradients in the order that costs least", order_products, false},
    {"merge_sums", "sums a large sum over more axes at once instead of storing it", merge_sums},
    {"split_positions", "gives flattened positions back the axes they were made of", split_positions},
    {"isolate_reductions", "gives every reduction an array of its own", isolate_reductions},
    {"reuse_stored", "reads a value that is an array instead of making it again", reuse_stored},
    {"stage_operands", "stores what a matrix product would compute again for each block", stage_operands},
    {"open_cheap", "opens elementwise values that cost less to make again than to store", open_cheap},
    {"isolate_opened", "gives reductions that opening changed an array of their own", isolate_reductions},
    {"narrow_reductions", "makes a reduction once where it is the same", narrow_reductions},
    {"align_layouts", "lays reductions out as what follows them reads them", align_layouts},
    {"place_sums", "makes a reduction where its only reader moves it", place_sums},
    {"split_results", "gives flattened positions of results back the axes they were made of", split_results},
    {.name = "lower_to_bf16",
     .purpose = "holds factors of products, and what is stored between regions, in bf16",
     .function = [](const Graph& graph) { return lower_precision(graph, DType::bf16); },
     .precision = DType::bf16},
    {.name = "lower_to_f16",
     .purpose = "the same in f16",
     .function = [](const Graph& graph) { return lower_precision(graph, DType::f16); },
     .precision = DType::f16},
};

const Pass& pass_named(const std::string& name) {
  auto found = std::ranges::find(pass_list, name, &Pass::name);
  if (found == std::end(pass_list)) {
    std::vector<std::string_view> names;
    for (const Pass& pass : pass_list) names.push_back(pass.name);
    throw InputError(fmt::format("there is no pass `{}`; passes are {}", name, fmt::join(names, ", ")));
  }
  return *found;
}

// A fault of heed's own says in which pass it was.
Graph run(const Pass& pass, const Graph& graph) {
  try {
    return pass.function(graph);
  } catch (const std::logic_error& fault) {
    std::string message = fault.what();
    if (message.starts_with("pass ")) throw;
    throw std::logic_error(fmt::format("pass {}: {}", pass.name, message));
  }
}

// Of regions in blocks that could have them in registers but for what `not_in_registers` says.
std::unordered_set<ArrayRef> values_outside_registers(const Plan& plan) {
  std::unordered_set<ArrayRef> values;
  for (const Plan::Step& step : plan.steps) {
    const auto* region = std::get_if<Region>(&step);
    if (region && region->blocks && !region->blocks->not_in_registers.empty()) values.insert(region->locals.begin(), region->locals.end());
  }
  return values;
}

// Sums of blocks are made in parts where more of them run in registers then.
Plan fuse_in_registers(const Graph& graph, const Machine& machine) {
  Plan plan = fuse(graph, machine);
  const std::unordered_set<ArrayRef> values = values_outside_registers(plan);
  if (values.empty()) return plan;
  const Graph parts = sum_in_parts(graph, values);
  if (outputs_of(parts) == outputs_of(graph)) return plan;
  Plan in_parts = fuse(parts, machine);
  return values_outside_registers(in_parts).size() < values.size() ? in_parts : plan;
}

}  // namespace

std::span<const Pass> passes() { return pass_list; }

std::vector<std::pair<std::string_view, std::string_view>> pass_names() {
  std::vector<std::pair<std::string_view, std::string_view>> names;
  for (const Pass& pass : pass_list) names.emplace_back(pass.name, pass.purpose);
  names.emplace_back("fuse", "cuts the graph into regions, each one kernel");
  names.emplace_back("plan_memory", "gives every stored value a place");
  return names;
}

Graph run_passes(const Graph& graph, const PipelineOptions& options) {
  std::vector<const Pass*> chosen;
  for (const std::string& name : options.only) chosen.push_back(&pass_named(name));
  if (options.only.empty())
    for (const Pass& pass : pass_list)
      if ((pass.keeps_exact || !options.exact) && pass.precision.value_or(options.precision) == options.precision) chosen.push_back(&pass);
  if (!options.to.empty()) {
    const Pass* last = &pass_named(options.to);
    auto after = options.only.empty() ? std::ranges::find_if(chosen, [&](const Pass* pass) { return pass > last; })
                                      : std::ranges::find(chosen, last);
    if (!options.only.empty() && after != chosen.end()) ++after;
    chosen.erase(after, chosen.end());
  }
  Graph current = graph;
  int number = 0;
  if (options.watch) options.watch(number, "input", current);
  for (const Pass* pass : chosen) {
    current = run(*pass, current);
    if (options.watch) options.watch(++number, pass->name, current);
  }
  return current;
}

Plan make_plan(const Graph& graph, const PipelineOptions& options) {
  if (options.memory > 0) {
    MemoryFit fit = fit_memory(run_passes(graph, options), options.machine, options.memory);
    if (options.fitted) options.fitted(fit);
    return std::move(fit.plan);
  }
  Plan plan = fuse_in_registers(run_passes(graph, options), options.machine);
  hoist_invariants(plan);
  plan_memory(plan);
  return plan;
}

}  // namespace heed
