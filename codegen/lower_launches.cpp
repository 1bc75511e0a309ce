// One region, of a plan or of a block's body, to launches: their kernels, workspace and what is kept for them.
#include <algorithm>

#include "codegen/cuda/nest_piece.h"
#include "codegen/cuda/product_piece.h"
#include "codegen/plan_lowering.h"
#include "codegen/tile/lower.h"
#include "codegen/tile/product.h"

namespace heed {

void PlanLowering::add_region(const Region& region, Scope& scope, std::vector<ProgramStep>& out, const Slices* slices) {
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

void PlanLowering::add_pieces(const Region& region, const Slices& slices, bool is_shared, std::int32_t info,
                              const std::function<void(ArrayRef)>& add_workspace, const UsesOf& uses_of, std::vector<ProgramStep>& out) {
  auto add_piece = [&](Piece piece) {
    std::vector<BufferUse> uses = uses_of(piece.buffers);
    if (is_shared)
      return add_device_launch(kernel_of(piece), {piece.shared_bytes, piece.threads}, piece.tasks, std::move(uses), info, out, piece.maps);
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

void PlanLowering::add_device_launch(KernelSource source, BlockLimits limit, std::int64_t tasks, std::vector<BufferUse> buffers,
                                     std::int32_t region, std::vector<ProgramStep>& out, std::vector<TensorMap> maps) {
  out.push_back(Launch{.tasks = tasks, .buffers = std::move(buffers), .region = region, .kernel = next_source(), .maps = std::move(maps)});
  result_.sources.push_back(std::move(source));
  result_.limits.push_back(limit);
}

std::vector<ProgramStep>& PlanLowering::before(const Scope& scope, const std::vector<ArrayRef>& arrays) {
  const Scope* found = &scope;
  while (found->outer && std::ranges::all_of(arrays, [&](ArrayRef array) { return found->outer->stays.contains(array); }))
    found = found->outer;
  return *found->before;
}

}  // namespace heed
