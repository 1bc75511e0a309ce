// Regions in blocks: on a processor work that threads take block by block, on a GPU one kernel.
#include <algorithm>
#include <cstring>
#include <map>
#include <stdexcept>

#include "codegen/cuda/block_kernel.h"
#include "codegen/cuda/register_kernel.h"
#include "codegen/plan_lowering.h"
#include "codegen/region_info.h"

namespace heed {
namespace {

// The bytes of one element.
std::vector<std::byte> element(double value, ArrayRef array) {
  std::vector<std::byte> bytes(static_cast<std::size_t>(byte_size(array->dtype)));
  auto put = [&](auto typed) { std::memcpy(bytes.data(), &typed, sizeof typed); };
  if (array->dtype == DType::f64)
    put(value);
  else
    put(static_cast<float>(value));
  return bytes;
}

}  // namespace

void PlanLowering::add_blocks(const Region& region, const Scope& outer, std::vector<ProgramStep>& out) {
  const Blocks& blocks = *region.blocks;
  if (cuda_ && blocks.registers) return add_register_kernel(region, outer, out);
  auto work = std::make_shared<BlockedWork>();
  work->units = blocks.units, work->parallel_units = blocks.parallel_units, work->parallel_rows = blocks.parallel_rows;
  for (const auto& [body, row, column, narrowest] : blocks.blocks) work->blocks.push_back({body, row, column, narrowest});
  work->of_rows = blocks.of_rows;
  for (const Blocks::Size& size : blocks.sizes) work->widths.push_back(size.columns);
  if (blocks.by_data)
    work->by_data = {use(blocks.by_data->begin, outer),
                     use(blocks.by_data->end, outer),
                     {blocks.by_data->units.begin(), blocks.by_data->units.end()},
                     blocks.by_data->leaves_out};
  for (const auto& [array, value] : blocks.initial) work->initial.push_back({use(array, outer), byte_count(array), element(value, array)});
  for (ArrayRef array : region.outputs) work->results.push_back(use(array, outer));
  work->region = describe(region);
  const std::size_t offsets = blocks.units.size() + 2;
  std::int64_t start = aligned(static_cast<std::int64_t>(offsets) * 8);
  if (cuda_ && !blocks.kept.empty()) throw std::logic_error("compile: passes over columns are not made for a GPU");
  std::unordered_map<ArrayRef, BufferUse> kept;
  for (ArrayRef array : blocks.kept) {
    kept[array] = buffers_.of_thread(array, start);
    start += aligned(byte_count(array));
  }
  work->local_bytes = start;
  double all_units = 1;
  for (std::int64_t unit : blocks.units) all_units *= static_cast<double>(unit);
  std::map<int, std::vector<std::int32_t>> parts;  // regions of the steps of each part's bodies
  for (std::size_t index = 0; index < blocks.bodies.size(); ++index) {
    const Plan& body = blocks.bodies[index];
    const auto times = all_units * static_cast<double>(std::ranges::count(blocks.blocks, static_cast<int>(index), &Blocks::Block::body));
    Scope scope;
    scope.base = start;
    scope.blocked = work.get();
    for (const auto& [array, place] : in_order_of_id(body.places))
      if (place.kind == Plan::Place::Kind::arena) scope.uses[array] = buffers_.of_thread(array, start + place.offset);
    for (std::size_t k = 0; k < body.graph.inputs.size(); ++k) {
      ArrayRef array = body.graph.inputs[k].array;
      if (kept.contains(array)) continue;
      scope.uses[array] = k < offsets ? buffers_.of_thread(array, static_cast<std::int64_t>(k) * 8) : use(array, outer);
    }
    for (ArrayRef array : region.outputs) scope.uses[array] = use(array, outer);
    scope.uses.insert(kept.begin(), kept.end());
    work->local_bytes = std::max(work->local_bytes, start + aligned(body.arena_bytes));
    scope.base = start + aligned(body.arena_bytes);  // what kernels need besides begins here
    stand_ins_.set_slices(&body.slices);
    std::vector<ProgramStep> launches;
    for (std::size_t k = 0; k < body.steps.size(); ++k) {
      const auto& step = std::get<Region>(body.steps[k]);
      scope.region = describe_part(step, k, times, work->region, parts[blocks.sizes[index].part]);
      add_region(step, scope, launches, &body.slices);
    }
    std::vector<Launch>& list = work->bodies.emplace_back();
    for (ProgramStep& launch : launches) list.push_back(std::move(std::get<Launch>(launch)));
    stand_ins_.set_slices(nullptr);
  }
  RegionInfo& whole = program_.regions[static_cast<std::size_t>(work->region)];
  whole.flop = 0;  // what blocks leave out is not done
  for (const auto& [part, regions] : parts)
    for (std::int32_t each : regions) whole.flop += program_.regions[static_cast<std::size_t>(each)].flop;
  if (cuda_)
    add_block_kernel(*work, out);
  else
    out.push_back(std::move(work));
}

void PlanLowering::add_register_kernel(const Region& region, const Scope& scope, std::vector<ProgramStep>& out) {
  RegisterKernel kernel = register_kernel(*region.blocks);
  const std::int32_t info = describe(region);
  program_.regions[static_cast<std::size_t>(info)].flop *= region.blocks->visited;
  std::vector<BufferUse> uses;
  for (ArrayRef array : kernel.buffers) uses.push_back(use(array, scope));
  add_device_launch(std::move(kernel.source), {kernel.shared_bytes, kernel.threads}, kernel.tasks, std::move(uses), info, out,
                    std::move(kernel.maps));
}

void PlanLowering::add_block_kernel(const BlockedWork& work, std::vector<ProgramStep>& out) {
  std::vector<std::vector<Piece>> bodies;
  std::size_t next = 0;
  for (const auto& body : work.bodies) {
    auto& pieces = bodies.emplace_back();
    for (std::size_t k = 0; k < body.size(); ++k) pieces.push_back(std::move(body_pieces_[next++]));
  }
  body_pieces_.clear();
  if (work.tasks() == 0) {
    for (const auto& initial : work.initial) add_fill(initial, initial.buffer, 1, work.region, out);
    return;
  }
  const std::int64_t parts = block_parts(work);
  std::int64_t used = 0;
  std::vector<BufferUse> sums;  // where the parts of each accumulated buffer lie
  for (const auto& initial : work.initial) {
    sums.push_back(parts > 1 ? buffers_.shared(used, initial.bytes * parts) : initial.buffer);
    add_fill(initial, sums.back(), parts, work.region, out);
  }
  BlockKernel kernel = block_kernel(work, parts, bodies, program_.buffers, *cuda_);
  if (parts > 1) kernel.buffers.insert(kernel.buffers.end(), sums.begin(), sums.end());
  if (kernel.scratch_bytes > 0) kernel.buffers.push_back(buffers_.shared(used, kernel.scratch_bytes));
  add_device_launch(std::move(kernel.source), {kernel.shared_bytes}, kernel.tasks, kernel.buffers, work.region, out);
  if (parts > 1)
    for (std::size_t k = 0; k < sums.size(); ++k) {
      const auto& initial = work.initial[k];
      if (initial.bytes == 0) continue;
      add_device_launch(combine_kernel(initial, parts), {}, combine_tasks(initial), {sums[k], initial.buffer}, work.region, out);
    }
}

void PlanLowering::add_fill(const BlockedWork::Initial& initial, BufferUse buffer, std::int64_t parts, std::int32_t region,
                            std::vector<ProgramStep>& out) {
  auto elements = parts * initial.bytes / static_cast<std::int64_t>(initial.element.size());
  if (elements > 0) add_device_launch(fill_kernel(initial.element, elements), {}, fill_tasks(elements), {buffer}, region, out);
}

std::int32_t PlanLowering::describe_part(const Region& region, std::size_t index, double times, std::int32_t whole,
                                         std::vector<std::int32_t>& parts) {
  RegionInfo info = region_info(region);
  info.flop *= times, info.bytes *= times, info.whole = whole;
  if (index == parts.size()) {
    parts.push_back(static_cast<std::int32_t>(program_.regions.size()));
    program_.regions.push_back(std::move(info));
    return parts.back();
  }
  RegionInfo& known = program_.regions[static_cast<std::size_t>(parts[index])];
  known.flop += info.flop, known.bytes += info.bytes;
  known.label = std::move(info.label);
  return parts[index];
}

}  // namespace heed
