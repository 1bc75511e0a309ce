// What the parts of lowering a plan share: where arrays lie, the program so far, its kernels' sources.
#pragma once
#include <functional>
#include <optional>
#include <span>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "codegen/cuda/piece.h"
#include "codegen/lower_plan.h"
#include "codegen/lowered_regions.h"
#include "codegen/program_buffers.h"

namespace heed {

class PlanLowering {
 public:
  explicit PlanLowering(const CompileOptions& options);
  LoweredPlan lower(const Plan& plan);

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

  // --- lower_plan.cpp
  void describe(const Plan& plan);
  static BufferUse use(ArrayRef array, const Scope& scope);
  static void copy(ArrayRef array, BufferUse from, BufferUse to, std::vector<ProgramStep>& out);
  // A plan's steps, and copies for outputs that lie elsewhere: inputs, and arrays that are several outputs.
  std::vector<ProgramStep> steps(const Plan& plan, Scope& scope);
  // Regions from the first on are run so many times as often in one run of the program.
  void multiply_runs(std::size_t first, double factor);
  std::int32_t describe(const Region& region);

  // --- lower_scan.cpp
  void add_scan(const PlannedScan& planned, Scope& outer, std::vector<ProgramStep>& out);
  // A use that does not move: a loop moves its buffers by its own steps alone, so what moves with an outer loop is copied aside.
  BufferUse fixed(ArrayRef array, BufferUse moving, std::vector<ProgramStep>& out);

  // --- lower_launches.cpp
  using UsesOf = std::function<std::vector<BufferUse>(const std::vector<ArrayRef>&)>;
  void add_region(const Region& region, Scope& scope, std::vector<ProgramStep>& out, const Slices* slices = nullptr);
  // On a GPU.
  void add_pieces(const Region& region, const Slices& slices, bool is_shared, std::int32_t info,
                  const std::function<void(ArrayRef)>& add_workspace, const UsesOf& uses_of, std::vector<ProgramStep>& out);
  void add_device_launch(KernelSource source, BlockLimits limit, std::int64_t tasks, std::vector<BufferUse> buffers, std::int32_t region,
                         std::vector<ProgramStep>& out, std::vector<TensorMap> maps = {});
  // Before the outermost loop in which none of these changes.
  static std::vector<ProgramStep>& before(const Scope& scope, const std::vector<ArrayRef>& arrays);
  std::int32_t next_source() const { return static_cast<std::int32_t>(result_.sources.size()); }

  // --- lower_blocks.cpp
  void add_blocks(const Region& region, const Scope& outer, std::vector<ProgramStep>& out);
  void add_register_kernel(const Region& region, const Scope& scope, std::vector<ProgramStep>& out);
  // On a GPU the pieces of all bodies are one kernel.
  void add_block_kernel(const BlockedWork& work, std::vector<ProgramStep>& out);
  void add_fill(const BlockedWork::Initial& initial, BufferUse buffer, std::int64_t parts, std::int32_t region,
                std::vector<ProgramStep>& out);
  // The entry of step `index` of a body that is run so many times; bodies of all sizes share it.
  std::int32_t describe_part(const Region& region, std::size_t index, double times, std::int32_t whole, std::vector<std::int32_t>& parts);

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

std::vector<std::pair<ArrayRef, Plan::Place>> in_order_of_id(const std::unordered_map<ArrayRef, Plan::Place>& places);

}  // namespace heed
