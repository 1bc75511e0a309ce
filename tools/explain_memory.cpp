// What a run takes in memory, by what it is for.
#include "tools/explain_memory.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "codegen/compile.h"
#include "passes/axis_names.h"
#include "passes/describe.h"
#include "passes/explain.h"
#include "passes/plan_memory.h"
#include "runtime/cores.h"
#include "runtime/execute.h"
#include "tools/command.h"

namespace heed {

namespace {

// Of a whole run: what its values, its kernels and its inputs and outputs take, and who holds the arena when most of it is in use.
struct MemoryUse {
  std::int64_t arena = 0, lower_bound = 0, workspace = 0, scratch = 0;  // scratch of one thread
  std::int64_t data = 0, parameters = 0, states = 0, outputs = 0;
  int threads = 0, step = 0;
  std::vector<Holder> holders;
  std::int64_t total() const { return arena + workspace + scratch * threads + data + parameters + states + outputs; }
};

MemoryUse memory_use(const Plan& plan, int threads) {
  const Program program = program_without_code(plan);
  MemoryUse use{.arena = plan.arena_bytes, .lower_bound = memory_figures(plan).lower_bound};
  use.threads = threads > 0 ? threads : usable_threads();
  use.workspace = program.arena_bytes - plan.arena_bytes;
  use.scratch = working_memory(program, 1) - program.arena_bytes;
  for (const ProgramValue& input : program.inputs) {
    bool is_parameter = input.role == ProgramValue::Role::parameter, is_state = input.role == ProgramValue::Role::state;
    (is_parameter ? use.parameters : is_state ? use.states : use.data) += input.type.bytes();
  }
  for (const ProgramValue& output : program.outputs)
    if (output.in_place < 0) use.outputs += output.type.bytes();
  std::vector<std::int64_t> live = live_bytes(plan);
  use.step = static_cast<int>(std::ranges::max_element(live) - live.begin());
  use.holders = holders(plan, use.step);
  return use;
}

std::string step_text(const Plan& plan, int step) {
  if (step >= static_cast<int>(plan.steps.size())) return "the end";
  const Region* region = std::get_if<Region>(&plan.steps[static_cast<std::size_t>(step)]);
  if (!region) return fmt::format("region {}, a scan", step);
  std::string source = source_of(*region);
  return fmt::format("region {}, `{}`{}", step, region->label, source.empty() ? "" : " at " + source);
}

std::string holder_text(const Holder& holder, const AxisNames& names) {
  if (!holder.life.array) return "what the scan works in";
  return words_of(holder.life.array) + " " + names.shape(holder.life.array);
}

void print_memory(const Plan& plan, const MemoryUse& use) {
  constexpr std::size_t shown = 20;
  auto bytes = [](std::int64_t count) { return amount(static_cast<double>(count), "B"); };
  const AxisNames names(plan.graph);
  fmt::print("{:>9}  at most, of which\n", bytes(use.total()));
  double above = use.lower_bound > 0 ? 100.0 * static_cast<double>(use.arena - use.lower_bound) / static_cast<double>(use.lower_bound) : 0;
  fmt::print("{:>9}  values between regions ({:.1f} % above what is live at once)\n", bytes(use.arena), above);
  fmt::print("{:>9}  workspace of kernels\n", bytes(use.workspace));
  fmt::print("{:>9}  scratch of {} thread{}, {} each\n", bytes(use.scratch * use.threads), use.threads, use.threads == 1 ? "" : "s",
             bytes(use.scratch));
  fmt::print("{:>9}  data\n{:>9}  parameters\n{:>9}  states\n", bytes(use.data), bytes(use.parameters), bytes(use.states));
  fmt::print("{:>9}  outputs that are not written over inputs\n", bytes(use.outputs));
  if (use.holders.empty()) return;
  fmt::print("\nmost is live in {}:\n", step_text(plan, use.step));
  for (std::size_t k = 0; k < use.holders.size() && k < shown; ++k) {
    const Holder& holder = use.holders[k];
    std::string source = holder.life.array ? source_of(holder.life.array) : "";
    fmt::print("{:>9}  {}{}, from region {} to {}\n", bytes(holder.bytes), holder_text(holder, names), source.empty() ? "" : ", " + source,
               holder.life.made,
               holder.life.last_read < static_cast<int>(plan.steps.size()) ? fmt::format("{}", holder.life.last_read) : "the end");
  }
  if (use.holders.size() <= shown) return;
  std::int64_t rest = 0;
  for (std::size_t k = shown; k < use.holders.size(); ++k) rest += use.holders[k].bytes;
  fmt::print("{:>9}  in {} smaller ones\n", bytes(rest), use.holders.size() - shown);
}

nlohmann::ordered_json as_json(const Plan& plan, const MemoryUse& use) {
  const AxisNames names(plan.graph);
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const Holder& holder : use.holders)
    list.push_back({{"what", holder_text(holder, names)},
                    {"source", holder.life.array ? source_of(holder.life.array) : ""},
                    {"bytes", holder.bytes},
                    {"from_region", holder.life.made},
                    {"to_region", holder.life.last_read}});
  return {{"total_bytes", use.total()},       {"arena_bytes", use.arena},          {"lower_bound_bytes", use.lower_bound},
          {"workspace_bytes", use.workspace}, {"scratch_bytes", use.scratch},      {"threads", use.threads},
          {"data_bytes", use.data},           {"parameter_bytes", use.parameters}, {"state_bytes", use.states},
          {"output_bytes", use.outputs},      {"peak_region", use.step},           {"holders", list}};
}

}  // namespace

int explain_memory(const Plan& plan, int threads, bool json) {
  MemoryUse use = memory_use(plan, threads);
  if (json)
    fmt::print("{}\n", as_json(plan, use).dump());
  else
    print_memory(plan, use);
  return success;
}

}  // namespace heed
