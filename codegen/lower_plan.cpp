// Regions to launches, places to buffers, scans to loops.
#include "codegen/lower_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <span>
#include <stdexcept>
#include <utility>

#include "codegen/cuda/block_kernel.h"
#include "codegen/cuda/nest_piece.h"
#include "codegen/cuda/product_piece.h"
#include "codegen/cuda/register_kernel.h"
#include "codegen/lowered_regions.h"
#include "codegen/program_buffers.h"
#include "codegen/region_info.h"
#include "codegen/tile/lower.h"
#include "codegen/tile/product.h"
#include "ir/function.h"

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

std::vector<std::pair<ArrayRef, Plan::Place>> in_order_of_id(const std::unordered_map<ArrayRef, Plan::Place>& places) {
  std::vector<std::pair<ArrayRef, Plan::Place>> all(places.begin(), places.end());
  std::ranges::sort(all, {}, [](const auto& each) { return each.first->id; });
  return all;
}

class Lowering {
 public:
  explicit Lowering(const CompileOptions& options)
      : target_(options.target),
        cuda_(options.cuda),
        precision_(options.precision),
        shape_{.lanes = options.target.lanes(4), .has_fma = options.target.has_fma, .has_bf16 = options.target.has_bf16} {}

  LoweredPlan lower(const Plan& plan) {
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

 private:
  // Where the arrays of a plan and its outputs lie. In a scan's body some move with the steps.
  struct Scope {
    std::unordered_map<ArrayRef, BufferUse> uses;
    std::vector<BufferUse> outputs;
    std::int64_t base = 0;           // of the plan's arena in the whole one
    BlockedWork* blocked = nullptr;  // whose body it is: one thread runs it in memory of its own
    std::int32_t region = -1;        // of Program::regions: the step of that body
    // What is the same each time that the steps are run, and where to put what is made of it alone: before a loop, or into the preparation.
    std::unordered_set<ArrayRef> stays;
    std::vector<ProgramStep>* before = nullptr;
    const Scope* outer = nullptr;  // of a loop's body
  };

  void describe(const Plan& plan) {
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

  static BufferUse use(ArrayRef array, const Scope& scope) {
    auto found = scope.uses.find(array);
    if (found == scope.uses.end()) throw std::logic_error(fmt::format("compile: the plan has no place for {}", array->name));
    return found->second;
  }

  static bool same(BufferUse a, BufferUse b) { return a.buffer == b.buffer && a.stride == b.stride; }
  static void copy(ArrayRef array, BufferUse from, BufferUse to, std::vector<ProgramStep>& out) {
    if (byte_count(array) > 0 && !same(from, to)) out.push_back(Copy{from, to, byte_count(array)});
  }

  // A plan's steps, and copies for outputs that lie elsewhere: inputs, and arrays that are several outputs.
  std::vector<ProgramStep> steps(const Plan& plan, Scope& scope) {
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

  // A use that does not move: a loop moves its buffers by its own steps alone, so what moves with an outer loop is copied aside.
  BufferUse fixed(ArrayRef array, BufferUse moving, std::vector<ProgramStep>& out) {
    if (moving.stride == 0) return moving;
    BufferUse aside = buffers_.kept(array);
    copy(array, moving, aside, out);
    return aside;
  }

  void add_scan(const PlannedScan& planned, Scope& outer, std::vector<ProgramStep>& out) {
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

  void add_blocks(const Region& region, const Scope& outer, std::vector<ProgramStep>& out) {
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
    for (const auto& [array, value] : blocks.initial)
      work->initial.push_back({use(array, outer), byte_count(array), element(value, array)});
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

  void add_register_kernel(const Region& region, const Scope& scope, std::vector<ProgramStep>& out) {
    RegisterKernel kernel = register_kernel(*region.blocks);
    const std::int32_t info = describe(region);
    program_.regions[static_cast<std::size_t>(info)].flop *= region.blocks->visited;
    std::vector<BufferUse> uses;
    for (ArrayRef array : kernel.buffers) uses.push_back(use(array, scope));
    add_device_launch(std::move(kernel.source), {kernel.shared_bytes, kernel.threads}, kernel.tasks, std::move(uses), info, out,
                      std::move(kernel.maps));
  }

  // On a GPU the pieces of all bodies are one kernel.
  void add_block_kernel(const BlockedWork& work, std::vector<ProgramStep>& out) {
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

  void add_fill(const BlockedWork::Initial& initial, BufferUse buffer, std::int64_t parts, std::int32_t region,
                std::vector<ProgramStep>& out) {
    auto elements = parts * initial.bytes / static_cast<std::int64_t>(initial.element.size());
    if (elements > 0) add_device_launch(fill_kernel(initial.element, elements), {}, fill_tasks(elements), {buffer}, region, out);
  }

  void add_device_launch(KernelSource source, BlockLimits limit, std::int64_t tasks, std::vector<BufferUse> buffers, std::int32_t region,
                         std::vector<ProgramStep>& out, std::vector<TensorMap> maps = {}) {
    out.push_back(
        Launch{.tasks = tasks, .buffers = std::move(buffers), .region = region, .kernel = next_source(), .maps = std::move(maps)});
    result_.sources.push_back(std::move(source));
    result_.limits.push_back(limit);
  }

  // The bytes of one element.
  static std::vector<std::byte> element(double value, ArrayRef array) {
    std::vector<std::byte> bytes(static_cast<std::size_t>(byte_size(array->dtype)));
    auto put = [&](auto typed) { std::memcpy(bytes.data(), &typed, sizeof typed); };
    if (array->dtype == DType::f64)
      put(value);
    else
      put(static_cast<float>(value));
    return bytes;
  }

  void add_region(const Region& region, Scope& scope, std::vector<ProgramStep>& out, const Slices* slices = nullptr) {
    if (region.blocks) return add_blocks(region, scope, out);
    static const Slices no_slices;
    const bool is_shared = !scope.blocked;
    const std::int32_t info = is_shared ? describe(region) : scope.region;
    std::int64_t used = 0;
    std::unordered_map<ArrayRef, BufferUse> workspace;
    auto add_workspace = [&](ArrayRef array) {
      if (workspace.contains(array)) return;
      if (is_shared) {
        workspace[array] = buffers_.shared(used, array);
      } else {
        workspace[array] = buffers_.of_thread(array, scope.base + used);
        used += aligned(byte_count(array));
        scope.blocked->local_bytes = std::max(scope.blocked->local_bytes, scope.base + used);
      }
    };
    auto uses_of = [&](const std::vector<ArrayRef>& buffers) {
      std::vector<BufferUse> uses;
      for (ArrayRef array : buffers) {
        ArrayRef original = stand_ins_.original(array);
        auto own = workspace.find(original);
        uses.push_back(own != workspace.end() ? own->second : use(original, scope));
      }
      return uses;
    };
    const Slices& own_slices = slices ? *slices : no_slices;
    if (cuda_) {
      add_pieces(region, own_slices, is_shared, info, add_workspace, uses_of, out);
    } else {
      LoweredRegion made = lowered_.of(region, {own_slices, is_shared, scope.stays});
      for (ArrayRef array : made.workspace) add_workspace(array);
      auto add = [&](RegionLaunch& launch, std::vector<ProgramStep>& to) {
        to.push_back(Launch{.tasks = launch.tasks,
                            .buffers = uses_of(launch.buffers),
                            .scratch_bytes = launch.scratch_bytes,
                            .region = info,
                            .kernel = next_source()});
        result_.sources.push_back(std::move(launch.source));
      };
      if (made.preparation) {
        workspace[made.kept] = buffers_.kept(made.kept);
        add(*made.preparation, before(scope, made.kept_from));
      }
      for (RegionLaunch& launch : made.launches) add(launch, out);
    }
  }

  // On a GPU.
  void add_pieces(const Region& region, const Slices& slices, bool is_shared, std::int32_t info, const auto& add_workspace,
                  const auto& uses_of, std::vector<ProgramStep>& out) {
    auto add_piece = [&](Piece piece) {
      std::vector<BufferUse> uses = uses_of(piece.buffers);
      if (is_shared)
        return add_device_launch(kernel_of(piece), {piece.shared_bytes, piece.threads}, piece.tasks, std::move(uses), info, out,
                                 piece.maps);
      out.push_back(Launch{.tasks = piece.tasks, .buffers = std::move(uses), .region = info});
      body_pieces_.push_back(std::move(piece));
    };
    bool empty = std::ranges::any_of(region.outputs, [](ArrayRef array) { return element_count(array) == 0; });
    auto is_aligned = [&](ArrayRef array) { return uses_of({array})[0].stride % 16 == 0; };
    const ProductPlace place{*cuda_, is_shared, is_aligned};
    if (auto pieces = empty ? std::nullopt : product_pieces(region, slices, precision_, place, faults_)) {
      if (pieces->workspace) add_workspace(pieces->workspace);
      for (Piece& piece : pieces->pieces) add_piece(std::move(piece));
      return;
    }
    VectorShape shape = gpu_shape(is_shared);
    shape.is_shared = is_shared;
    Lowered lowered = lower_region(region, stand_ins_, shape);
    for (ArrayRef array : lowered.workspace) add_workspace(array);
    for (Nest& nest : lowered.nests) add_piece(nest_piece(std::move(nest), faults_, is_shared));
  }

  // Regions from the first on are run so many times as often in one run of the program.
  void multiply_runs(std::size_t first, double factor) {
    for (RegionInfo& region : std::span(program_.regions).subspan(first))
      region.flop *= factor, region.bytes *= factor, region.times *= factor;
  }

  std::int32_t next_source() const { return static_cast<std::int32_t>(result_.sources.size()); }

  // Before the outermost loop in which none of these changes.
  static std::vector<ProgramStep>& before(const Scope& scope, const std::vector<ArrayRef>& arrays) {
    const Scope* found = &scope;
    while (found->outer && std::ranges::all_of(arrays, [&](ArrayRef array) { return found->outer->stays.contains(array); }))
      found = found->outer;
    return *found->before;
  }

  std::int32_t describe(const Region& region) {
    program_.regions.push_back(region_info(region));
    return static_cast<std::int32_t>(program_.regions.size() - 1);
  }

  // The entry of step `index` of a body that is run so many times; bodies of all sizes share it.
  std::int32_t describe_part(const Region& region, std::size_t index, double times, std::int32_t whole, std::vector<std::int32_t>& parts) {
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

  LoweredPlan result_;
  Program& program_ = result_.program;
  ProgramBuffers buffers_{program_.buffers};
  const Target& target_;
  const std::optional<CudaTarget>& cuda_;
  Precision precision_;
  VectorShape shape_;
  std::vector<Piece> body_pieces_;  // of the region in blocks that is being made
  StandIns stand_ins_;
  FaultPlaces faults_;
  LoweredRegions lowered_{target_, shape_, faults_, stand_ins_};
};

}  // namespace

LoweredPlan lower_plan(const Plan& plan, const CompileOptions& options) { return Lowering(options).lower(plan); }

}  // namespace heed
