// Scans to loops: what moves with the steps, what is carried from one to the next, and what is the same for all.
#include "codegen/plan_lowering.h"

namespace heed {

BufferUse PlanLowering::fixed(ArrayRef array, BufferUse moving, std::vector<ProgramStep>& out) {
  if (moving.stride == 0) return moving;
  BufferUse aside = buffers_.kept(array);
  copy(array, moving, aside, out);
  return aside;
}

void PlanLowering::add_scan(const PlannedScan& planned, Scope& outer, std::vector<ProgramStep>& out) {
  const Scan& scan = *planned.scan;
  Scope scope;
  scope.base = outer.base + planned.arena_offset;
  const auto places = in_order_of_id(planned.body.places);
  for (const auto& [array, place] : places)
    if (place.kind == Plan::Place::Kind::arena) scope.uses[array] = buffers_.of_arena(array, scope.base + place.offset);
  std::vector<std::pair<ArrayRef, BufferUse>> back;  // results that move with a loop outside
  std::vector<BufferUse> results(scan.yields.size() + scan.next.size(), BufferUse{-1});
  for (ArrayRef result : planned.results) {
    BufferUse there = use(result, outer);
    if (there.stride != 0) {
      back.emplace_back(result, there);
      there = buffers_.kept(result);
    }
    results[static_cast<std::size_t>(result->result)] = there;
  }
  for (std::size_t k = 0; k < scan.elements.size(); ++k) {
    BufferUse whole = fixed(scan.elements[k], use(scan.elements[k], outer), out);
    scope.uses[scan.element_inputs[k]] = {whole.buffer, byte_count(scan.element_inputs[k])};
  }
  std::vector<BufferUse> carried;
  for (std::size_t k = 0; k < scan.carried_inputs.size(); ++k) {
    carried.push_back(buffers_.of_arena(scan.carried_inputs[k], outer.base + planned.carried_offsets[k]));
    scope.uses[scan.carried_inputs[k]] = carried[k];
    copy(scan.starts[k], use(scan.starts[k], outer), carried[k], out);
  }
  for (ArrayRef array : planned.captured) scope.uses[array] = fixed(array, use(array, outer), out);
  scope.stays.insert(planned.captured.begin(), planned.captured.end());
  scope.before = &out, scope.outer = &outer;
  for (std::size_t k = 0; k < scan.yields.size(); ++k) {
    if (results[k].buffer >= 0)
      scope.outputs.push_back({results[k].buffer, byte_count(scan.yields[k])});
    else
      scope.outputs.push_back(buffers_.of_arena(scan.yields[k], outer.base + planned.yield_offsets[k]));
  }
  for (std::size_t k = 0; k < scan.next.size(); ++k)
    scope.outputs.push_back(buffers_.of_arena(scan.next[k], outer.base + planned.next_offsets[k]));
  for (const auto& [array, place] : places)
    if (place.kind == Plan::Place::Kind::output) scope.uses[array] = scope.outputs.at(static_cast<std::size_t>(place.offset));

  auto loop = std::make_shared<Loop>();
  loop->trips = scan.length, loop->reverse = scan.reverse;
  const std::size_t first_region = program_.regions.size();
  loop->steps = steps(planned.body, scope);
  multiply_runs(first_region, static_cast<double>(scan.length));
  for (std::size_t k = 0; k < scan.next.size(); ++k) copy(scan.next[k], scope.outputs[scan.yields.size() + k], carried[k], loop->steps);
  out.push_back(loop);
  for (ArrayRef result : planned.results) {
    auto k = static_cast<std::size_t>(result->result);
    if (k >= scan.yields.size()) copy(result, carried[k - scan.yields.size()], results[k], out);
  }
  for (const auto& [result, there] : back) copy(result, results[static_cast<std::size_t>(result->result)], there, out);
}

}  // namespace heed
