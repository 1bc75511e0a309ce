// Tries sizes from the largest on, each against what a thread and a multiprocessor have.
#include "passes/register_sizes.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "ir/ring_layout.h"
#include "passes/block_sizes.h"
#include "passes/column_passes.h"
#include "passes/register_form.h"
#include "passes/register_wide.h"

namespace heed {

namespace {

// A block of threads, and what each warp of it has.
struct RegisterSize {
  int groups, single_warps;
  std::int64_t tall, columns;
};

// Cuts the region into blocks of the size; the program is in the result, or the reason why there is none.
std::shared_ptr<Blocks> cut_for_registers(BlockRegion& cut, const RegisterSize& size, const Machine& machine) {
  cut.groups = size.groups, cut.single_warps = size.single_warps;
  cut.rows = size.tall * 16 * (size.groups > 0 ? 4 * size.groups : size.single_warps), cut.columns = size.columns;
  cut.passes = column_passes(cut);
  auto blocks = std::make_shared<Blocks>();
  blocks->not_in_registers = "its reductions over columns cannot be put together from parts";
  for (bool decides_parts : {true, false}) {
    if (!cut.passes || blocks->registers) break;
    cut.decides_parts = decides_parts;
    blocks = make_blocks(cut, {.arena = {std::shared_ptr<Arena>(), cut.arrays[0]->arena}}, machine);
  }
  return blocks;
}

// Whether a thread of a group has registers for what a program has at once.
bool fits_groups(const RegisterProgram& program) {
  for (std::size_t k = 0; k < program.parts.size(); ++k) {
    const RegisterProgram::Part& part = program.parts[k];
    if (part.over_columns && sums_of_thread(program, k) + wide_held(program, part) > wide_registers(program.groups).held) return false;
  }
  return true;
}

// Warps that multiply in groups, as many as share the registers.
bool choose_groups(BlockRegion& cut, const Machine& machine) {
  struct Size {
    int groups;
    std::int64_t columns;
  };
  constexpr Size sizes[] = {{3, 128}, {2, 128}, {2, 64}};
  if (!machine.has_groups) return false;
  for (const auto& [groups, columns] : sizes) {
    if (groups > 2 && cut.axes.size_of(cut.axes.row) <= 128) continue;  // fewer rows than two groups have
    const std::shared_ptr<Blocks> blocks = cut_for_registers(cut, {groups, 0, 1, columns}, machine);
    if (!blocks->registers) return false;
    if (!fits_groups(*blocks->registers)) continue;
    cut.not_wide = not_wide(*blocks->registers);
    if (!cut.not_wide.empty()) return false;
    if (wide_bytes(*blocks->registers) <= machine.shared_bytes) return true;
  }
  return false;
}

// Each warp by itself: the largest size whose sums registers hold and whose tiles shared memory holds, and of these one with which a
// multiprocessor has all warps that its registers are enough for, in two blocks or in one. Else why not.
std::optional<std::string> choose_single_warps(BlockRegion& cut, const Machine& machine) {
  constexpr int few = 4, many = 8;               // warps of 255 registers a thread: a multiprocessor's 65536 are those of eight
  constexpr std::int64_t reserved_bytes = 1024;  // of each block's shared memory
  struct Size {
    RegisterSize size;
    int warps = 0;  // of a multiprocessor
  };
  std::vector<Size> sizes;
  for (const auto& [tall, columns] : {std::pair{2, 64}, {2, 32}, {1, 64}, {1, 32}})
    for (int warps : {few, many}) sizes.push_back({{0, warps, tall, columns}});
  for (Size& next : sizes) {
    if (next.size.single_warps > few && cut.axes.size_of(cut.axes.row) <= 16 * next.size.tall * few) continue;
    const std::shared_ptr<Blocks> blocks = cut_for_registers(cut, next.size, machine);
    if (!blocks->registers) return blocks->not_in_registers;
    const RegisterProgram& program = *blocks->registers;
    std::int64_t sums = 0;
    for (std::size_t part = 0; part < program.parts.size(); ++part) sums = std::max(sums, sums_of_thread(program, part));
    if (sums > machine.sums_of_thread || sums + values_of_thread(program) > machine.sums_of_thread + machine.values_of_thread) continue;
    const std::int64_t bytes = most_ring_bytes(program);
    if (bytes > machine.shared_bytes) continue;
    const auto side_by_side = static_cast<int>(machine.shared_of_multiprocessor / (bytes + reserved_bytes));
    next.warps = std::min(many, side_by_side * next.size.single_warps);
    if (next.warps == many) return {};
  }
  auto best = std::ranges::max_element(sizes, {}, &Size::warps);
  if (best->warps == 0) return "registers or shared memory do not hold a block";
  cut_for_registers(cut, best->size, machine);
  return {};
}

}  // namespace

void choose_registers(BlockRegion& region, const std::unordered_set<ArrayRef>& virtual_arrays, const Machine& machine) {
  if (machine.sums_of_thread == 0) return;
  BlockRegion cut = region;
  BlockAxes& axes = cut.axes;
  // Tiles are copied for each block, whichever operands have a unit.
  std::erase(axes.could_be_units, axes.column);
  axes.units.insert(axes.units.begin() + axes.parallel_units, axes.could_be_units.begin(), axes.could_be_units.end());
  axes.parallel_units += static_cast<int>(axes.could_be_units.size());
  if (axes.column < 0) axes.column = longest_axis(cut, virtual_arrays);
  cut.in_registers = true;
  std::optional<std::string> why;
  if (axes.column < 0)
    why = "no axis besides the rows is long";
  else if (!choose_groups(cut, machine))
    why = choose_single_warps(cut, machine);
  if (why)
    region.not_in_registers = *why;
  else
    region = std::move(cut);
}

}  // namespace heed
