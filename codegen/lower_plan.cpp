// Plans to programs: places to buffers, steps in order.
#include "codegen/lower_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <span>
#include <stdexcept>
#include <utility>

#include "codegen/plan_lowering.h"
#include "codegen/region_info.h"

namespace heed {
namespace {

ProgramValue::Role role_of(GraphInput::Role role) {
  switch (role) {
    case GraphInput::Role::data:
      return ProgramValue::Role::data;
    case GraphInput::Role::parameter:
      return ProgramValue::Role::parameter;
    case GraphInput::Role::state:
      return ProgramValue::Role::state;
    case GraphInput::Role::seed:
      return ProgramValue::Role::seed;
    case GraphInput::Role::step:
      return ProgramValue::Role::step;
  }
  throw std::logic_error("compile: an unknown role");
}

bool same(BufferUse a, BufferUse b) { return a.buffer == b.buffer && a.stride == b.stride; }

}  // namespace

std::vector<std::pair<ArrayRef, Plan::Place>> in_order_of_id(const std::unordered_map<ArrayRef, Plan::Place>& places) {
  std::vector<std::pair<ArrayRef, Plan::Place>> all(places.begin(), places.end());
  std::ranges::sort(all, {}, [](const auto& each) { return each.first->id; });
  return all;
}

PlanLowering::PlanLowering(const CompileOptions& options)
    : target_(options.target),
      cuda_(options.cuda),
      precision_(options.precision),
      shape_{.lanes = options.target.lanes(4), .has_fma = options.target.has_fma, .has_bf16 = options.target.has_bf16} {}

LoweredPlan PlanLowering::lower(const Plan& plan) {
  result_.made = std::make_shared<Scratch>(*plan.graph.arena);
  describe(plan);
  Scope scope;
  for (const auto& [array, place] : in_order_of_id(plan.places)) scope.uses[array] = buffers_.of_place(array, place);
  for (std::size_t k = 0; k < plan.graph.inputs.size(); ++k)
    scope.uses[plan.graph.inputs[k].array] = buffers_.of(Buffer::Kind::input, static_cast<std::int64_t>(k), plan.graph.inputs[k].array);
  for (std::size_t k = 0; k < plan.graph.outputs.size(); ++k)
    scope.outputs.push_back(buffers_.of(Buffer::Kind::output, static_cast<std::int64_t>(k), plan.graph.outputs[k].array));
  for (auto [output, input] : plan.in_place) {
    program_.outputs[static_cast<std::size_t>(output)].in_place = input;
    scope.outputs[static_cast<std::size_t>(output)] =
        buffers_.of(Buffer::Kind::input, input, plan.graph.outputs[static_cast<std::size_t>(output)].array);
  }
  scope.before = &program_.preparation;
  program_.steps = steps(plan, scope);
  program_.arena_bytes = buffers_.finish(plan.arena_bytes);
  program_.fault_places = faults_.texts();
  return std::move(result_);
}

void PlanLowering::describe(const Plan& plan) {
  auto type = [](ArrayRef array) { return TensorType{dtype_text(array), array->shape}; };
  for (const GraphInput& input : plan.graph.inputs) {
    ProgramValue value{input.array->name, role_of(input.role), type(input.array)};
    if (input.array->range) value.range = IndexRange{input.array->range->low, input.array->range->high};
    program_.inputs.push_back(value);
  }
  for (const GraphOutput& output : plan.graph.outputs) {
    auto role = output.updates ? ProgramValue::Role::update : ProgramValue::Role::result;
    program_.outputs.push_back({output.updates ? output.updates->name : output.name, role, type(output.array)});
  }
}

BufferUse PlanLowering::use(ArrayRef array, const Scope& scope) {
  auto found = scope.uses.find(array);
  if (found == scope.uses.end()) throw std::logic_error(fmt::format("compile: the plan has no place for {}", array->name));
  return found->second;
}

void PlanLowering::copy(ArrayRef array, BufferUse from, BufferUse to, std::vector<ProgramStep>& out) {
  if (byte_count(array) > 0 && !same(from, to)) out.push_back(Copy{from, to, byte_count(array)});
}

std::vector<ProgramStep> PlanLowering::steps(const Plan& plan, Scope& scope) {
  std::vector<ProgramStep> out;
  int done = 0;
  for (const Plan::Step& step : plan.steps) {
    if (done++ == plan.invariant_steps && !plan.invariants.empty()) {
      program_.preparation = std::exchange(out, {});
      multiply_runs(0, 0);
      scope.stays = plan.invariants;
    }
    if (const auto* region = std::get_if<Region>(&step))
      add_region(*region, scope, out);
    else
      add_scan(*std::get<std::shared_ptr<PlannedScan>>(step), scope, out);
  }
  for (std::size_t k = 0; k < plan.graph.outputs.size(); ++k)
    copy(plan.graph.outputs[k].array, use(plan.graph.outputs[k].array, scope), scope.outputs[k], out);
  return out;
}

void PlanLowering::multiply_runs(std::size_t first, double factor) {
  for (RegionInfo& region : std::span(program_.regions).subspan(first))
    region.flop *= factor, region.bytes *= factor, region.times *= factor;
}

std::int32_t PlanLowering::describe(const Region& region) {
  program_.regions.push_back(region_info(region));
  return static_cast<std::int32_t>(program_.regions.size() - 1);
}

LoweredPlan lower_plan(const Plan& plan, const CompileOptions& options) { return PlanLowering(options).lower(plan); }

}  // namespace heed
