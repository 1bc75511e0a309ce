// Block sizes and costs from shapes and the figures of the nominal machine.
#include "passes/block_sizes.h"

#include <algorithm>
#include <cmath>

#include "ir/algebra.h"
#include "ir/integer.h"
#include "ir/ring_layout.h"
#include "passes/column_passes.h"
#include "passes/kind.h"
#include "passes/register_form.h"
#include "passes/register_wide.h"
#include "passes/work.h"

namespace heed {

namespace {

constexpr std::int64_t fewest_rows = 16;
constexpr double most_scratch = 64 << 20;      // bytes of virtual values in a block
constexpr double live_at_once = 2;             // of them, about
constexpr std::int64_t most_widths = 8;        // different numbers of columns
constexpr std::int64_t most_blocks = 1 << 14;  // of one unit
constexpr std::int64_t most_asked = 256;  // times that needed columns are asked for: of neighbouring blocks together where there are more
constexpr double rows_of_layout = 8;      // a block lays out what its products read, in the time of so many of its rows
constexpr double cached_share = 0.25;     // of the time to memory, for what stays in a cache
constexpr double far_share = 0.5;         // for what the last one holds

bool has(const auto& list, const auto& value) { return std::ranges::find(list, value) != list.end(); }

// Positions of an array on axes that satisfy a condition.
template <class Condition>
double span_where(const BlockAxes& axes, std::size_t array, Condition condition) {
  double count = 1;
  for (AxisRef place : positions(axes.frame.arrays[array]))
    if (auto found = axes.frame.axis_of[array].find(place); found != axes.frame.axis_of[array].end() && condition(found->second))
      count *= static_cast<double>(place->size);
  return count;
}

// Bytes of the largest virtual value for one row of one unit.
double row_bytes(const BlockAxes& axes, const std::unordered_set<ArrayRef>& virtual_arrays) {
  double most = 0;
  for (std::size_t k = 0; k < axes.frame.arrays.size(); ++k) {
    if (!virtual_arrays.contains(axes.frame.arrays[k])) continue;
    double bytes = span_where(axes, k, [&](int axis) { return !axes.is_cut(axis); });
    most = std::max(most, bytes * static_cast<double>(byte_size(axes.frame.arrays[k]->dtype)));
  }
  return most;
}

std::int64_t size_of(const BlockAxes& axes, int axis) { return axes.frame.sizes[static_cast<std::size_t>(axis)]; }

}  // namespace

std::int64_t rows_of_block(const BlockRegion& region, const std::unordered_set<ArrayRef>& virtual_arrays, const Machine& machine) {
  double bytes = live_at_once * row_bytes(region.axes, virtual_arrays);
  if (bytes * fewest_rows > most_scratch) return 0;
  std::int64_t all = size_of(region.axes, region.axes.row);
  auto close = static_cast<std::int64_t>(machine.cache_bytes / bytes) / fewest_rows * fewest_rows;
  // Where rows are long, enough of them for the products is worth more than that they stay close.
  std::int64_t enough = std::min<std::int64_t>(machine.enough_rows, static_cast<std::int64_t>(most_scratch / bytes));
  std::int64_t most = std::min(all, std::clamp(close, enough, std::max(enough, machine.most_rows)));
  if (all > most * most_blocks) return 0;
  for (std::int64_t rows = most; rows * 2 > most; --rows)
    if (all % rows == 0) return rows;
  return most;
}

namespace {

// By array: in how many passes it is made.
std::vector<double> times_made(const BlockRegion& region) {
  std::vector<double> made(region.arrays.size(), region.passes ? 0 : 1);
  for (int pass = 0; region.passes && pass < region.passes->count; ++pass)
    for (std::size_t k : made_in_pass(region, pass)) made[k] += 1;
  return made;
}

// Seconds that whole rows cost for being far from the processor: each value with columns is written once, and read by each that needs it.
double seconds_of_long_rows(const BlockRegion& region, const std::unordered_set<ArrayRef>& virtual_arrays, const Machine& machine) {
  const double bytes = live_at_once * row_bytes(region.axes, virtual_arrays) * static_cast<double>(region.rows);
  const double far = std::max(0.0, 1 - 2 * machine.cache_bytes / bytes) * far_share / machine.bytes_per_second;
  double seconds = 0;
  for (ArrayRef array : region.arrays) {
    if (virtual_arrays.contains(array)) seconds += bytes_of(array) * far;
    for (ArrayRef read : reads_of(array))
      if (virtual_arrays.contains(read)) seconds += bytes_of(read) * far;
  }
  return seconds;
}

// Seconds of what is made in several passes, after the first.
double seconds_made_again(const BlockRegion& region, const std::unordered_set<ArrayRef>& virtual_arrays, const Machine& machine) {
  const std::vector<double> made = times_made(region);
  double seconds = 0;
  for (std::size_t k = 0; k < region.arrays.size(); ++k) {
    ArrayRef array = region.arrays[k];
    if (!virtual_arrays.contains(array) || made[k] <= 1) continue;
    double once = static_cast<double>(element_count(array)) * operations_of(array->body, machine) / machine.map_per_second;
    if (std::optional<ProductForm> form = product_form_of(array)) once += flop(*form) / flop_per_second(array, machine);
    seconds += (made[k] - 1) * once;
  }
  return seconds;
}

// The longest axis of a virtual value that blocks do not cut; -1 if there is none.
int longest_axis(const BlockRegion& region, const std::unordered_set<ArrayRef>& virtual_arrays) {
  const BlockAxes& axes = region.axes;
  int longest = -1;
  for (std::size_t k = 0; k < region.arrays.size(); ++k) {
    if (!virtual_arrays.contains(region.arrays[k])) continue;
    for (AxisRef place : positions(region.arrays[k])) {
      auto found = axes.frame.axis_of[k].find(place);
      if (found == axes.frame.axis_of[k].end() || axes.is_cut(found->second)) continue;
      if (longest < 0 || axes.size_of(found->second) > axes.size_of(longest)) longest = found->second;
    }
  }
  return longest;
}

// Cuts columns into blocks where whole rows do not stay close and that costs no more.
void choose_passes(BlockRegion& region, const std::unordered_set<ArrayRef>& virtual_arrays, const Machine& machine) {
  const double bytes = live_at_once * row_bytes(region.axes, virtual_arrays);
  if (machine.columns_of_passes == 0 || bytes * static_cast<double>(machine.enough_rows) <= machine.cache_bytes) return;
  BlockRegion cut = region;
  BlockAxes& axes = cut.axes;
  if (axes.column < 0) axes.column = longest_axis(region, virtual_arrays);
  if (axes.column < 0) return;
  cut.columns = machine.columns_of_passes;
  if (cut.columns * 2 > axes.size_of(axes.column)) return;
  cut.passes = column_passes(cut);
  if (!cut.passes) return;
  // What blocks add to lies along the columns, and is read and written by each: fewer blocks are better.
  bool adds = false;
  for (std::size_t k = 0; k < cut.arrays.size(); ++k) adds |= !axes.reduced[k].empty() && axes.position_on(k, axes.column) >= 0;
  cut.rows = std::min(axes.size_of(axes.row), machine.most_rows * (adds ? 2 : 1));
  const double of_columns = bytes * static_cast<double>(cut.columns) / static_cast<double>(axes.size_of(axes.column));
  if (of_columns * static_cast<double>(cut.rows) > most_scratch) return;  // another axis is long as well
  const bool must = bytes * static_cast<double>(machine.enough_rows) > most_scratch;
  if (must || seconds_made_again(cut, virtual_arrays, machine) <= seconds_of_long_rows(region, virtual_arrays, machine))
    region = std::move(cut);
}

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

// Values of rows and columns in registers, of as many rows and columns as they hold.
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

}  // namespace

void choose_columns(BlockRegion& region, const std::unordered_set<ArrayRef>& virtual_arrays, const Machine& machine) {
  BlockAxes& axes = region.axes;
  axes.column = -1;
  region.by_data = {};
  region.passes = {};
  std::int64_t rows = region.rows = rows_of_block(region, virtual_arrays, machine);
  if (rows == 0) return;
  // What is stored is stored whole, unless blocks add to it; what is never stored has the columns.
  auto fits = [&](int axis) {
    if (axes.is_cut(axis) || axes.frame.whole[static_cast<std::size_t>(axis)]) return false;
    for (std::size_t k = 0; k < region.arrays.size(); ++k) {
      bool has_columns = axes.position_on(k, axis) >= 0;
      if (has_columns && has(region.outputs, region.arrays[k]) && axes.reduced[k].empty()) return false;
      if (!has_columns && virtual_arrays.contains(region.arrays[k])) return false;
    }
    return true;
  };
  // Rows' worth of columns, of blocks of so many rows.
  auto needed = [&](std::int64_t of_block) {
    double sum = 0;
    for (const BlockPlace& place : block_places(region, of_block))
      sum += static_cast<double>(place.rows * place.columns) / static_cast<double>(size_of(axes, axes.column));
    return sum;
  };
  double least = 0.9 * static_cast<double>(size_of(axes, axes.row));
  int best = -1;
  const int count = static_cast<int>(axes.frame.sizes.size());
  for (int axis = 0; axis < count; ++axis) {
    if (!fits(axis)) continue;
    axes.column = axis;
    if (const double worth = needed(rows); worth < least) least = worth, best = axis;
  }
  axes.column = best;
  // Fewer rows need fewer columns; but operands that do not depend on the rows are laid out for each block.
  auto cost = [](double worth, std::int64_t of_block) { return worth * (1 + rows_of_layout / static_cast<double>(of_block)); };
  for (std::int64_t fewer = rows / 2; best >= 0 && fewer >= machine.enough_rows; fewer /= 2) {
    const double worth = needed(fewer);
    if (cost(worth, fewer) < 0.95 * cost(least, region.rows)) region.rows = fewer, least = worth;
  }
  choose_registers(region, virtual_arrays, machine);
  if (!region.in_registers) choose_passes(region, virtual_arrays, machine);
  if (region.passes) best = axes.column;
  for (int axis = 0; axis < count && !region.by_data; ++axis) {
    if (best >= 0 ? axis != best : !fits(axis)) continue;
    axes.column = axis;
    region.by_data = columns_by_data(region);
    if (region.by_data) best = axis;
  }
  axes.column = best;
}

std::int64_t width_step(std::int64_t widest) { return std::max<std::int64_t>(16, round_up(ceil_divide(widest, most_widths), 16)); }

std::vector<BlockPlace> block_places(const BlockRegion& region, std::int64_t rows) {
  const BlockAxes& axes = region.axes;
  std::int64_t all = size_of(axes, axes.row), columns = axes.column < 0 ? 0 : size_of(axes, axes.column);
  std::vector<BlockPlace> places;
  for (std::int64_t row = 0; row < all; row += rows) places.push_back({row, std::min(rows, all - row), 0, columns});
  if (axes.column < 0) return places;
  auto together = static_cast<std::size_t>(ceil_divide(std::ssize(places), most_asked));
  std::optional<ColumnRange> before, guess;  // most masks move evenly with the rows
  for (std::size_t first = 0; first < places.size(); first += together) {
    std::size_t last = std::min(first + together, places.size()) - 1;
    const ColumnRange needed = needed_columns(region, places[first].row, places[last].row + places[last].rows - 1, guess);
    guess = before ? ColumnRange{2 * needed.begin - before->begin, 2 * needed.end - before->end} : needed;
    before = needed;
    for (std::size_t k = first; k <= last; ++k) {
      places[k].column = needed.begin / 16 * 16;
      places[k].columns = std::max<std::int64_t>(needed.end - places[k].column, 1);
    }
  }
  // Widths of blocks that differ little become one: a multiple of a share of the widest.
  std::int64_t widest = 0;
  for (const BlockPlace& place : places) widest = std::max(widest, place.columns);
  std::int64_t unit = width_step(widest);
  for (BlockPlace& place : places) {
    place.columns = std::min(columns, round_up(place.columns, unit));
    place.column = std::min(place.column, columns - place.columns);
  }
  return places;
}

double saved_by_blocks(const std::vector<const BlockRegion*>& regions, const std::unordered_set<ArrayRef>& virtual_arrays,
                       const Machine& machine) {
  struct Use {
    double times = 0, visited = 0;
  };
  std::unordered_map<ArrayRef, Use> uses;
  double saved = 0;
  for (const BlockRegion* region : regions) {
    const BlockAxes& axes = region->axes;
    std::vector<BlockPlace> places = block_places(*region, region->rows);
    double visited = 1, units = 1;
    if (axes.column >= 0) {
      visited = 0;
      for (const BlockPlace& place : places) visited += static_cast<double>(place.rows * place.columns);
      visited /= static_cast<double>(size_of(axes, axes.row)) * static_cast<double>(size_of(axes, axes.column));
    }
    for (int unit : axes.units) units *= static_cast<double>(size_of(axes, unit));
    double tasks = axes.parallel_rows ? static_cast<double>(places.size()) : 1;
    for (int unit = 0; unit < axes.parallel_units; ++unit)
      tasks *= static_cast<double>(size_of(axes, axes.units[static_cast<std::size_t>(unit)]));
    double blocks = units * static_cast<double>(places.size());
    double seconds = 0;  // of this region's products, by blocks
    // What a block reads of an element: its tiles come as they are, of 16 bits, from the last cache.
    const double laid_out = region->in_registers ? 2 * cached_share : 4;
    const std::vector<double> made = times_made(*region);
    for (std::size_t k = 0; k < region->arrays.size(); ++k) {
      ArrayRef array = region->arrays[k];
      std::optional<ProductForm> form = kind_of(array) == Kind::product ? product_form_of(array) : std::nullopt;
      if (virtual_arrays.contains(array)) {
        uses[array].times += made[k];
        uses[array].visited += visited * made[k];
      }
      saved -= machine.launch_seconds * blocks;
      if (!form) continue;
      double time = flop(*form) / flop_per_second(array, machine);
      seconds += time * visited;
      if (!virtual_arrays.contains(array)) saved += time * (1 - visited);
      // Operands that do not depend on the rows are laid out anew for each block.
      for (const auto& [operand, own] : {std::pair(form->a, &form->m), std::pair(form->b, &form->n)}) {
        bool has_rows = std::ranges::any_of(operand->free, [&](AxisRef axis) {
          auto found = axes.frame.axis_of[k].find(axis);
          return found != axes.frame.axis_of[k].end() && found->second == axes.row;
        });
        if (!has_rows)
          saved -= static_cast<double>(span_of(operand->free)) * static_cast<double>(places.size()) * visited * laid_out /
                   machine.bytes_per_second;
      }
    }
    // One task leaves threads without work.
    if (tasks < 2) saved -= seconds;
  }
  std::unordered_set<ArrayRef> counted;
  for (const BlockRegion* region : regions)
    for (ArrayRef array : region->arrays) {
      if (!virtual_arrays.contains(array) || !counted.insert(array).second) continue;
      double readers = 0;
      for (const BlockRegion* other : regions)
        for (ArrayRef each : other->arrays) readers += has(reads_of(each), array);
      double bytes = bytes_of(array);
      saved += bytes * machine.seconds_per_stored_byte;
      saved += bytes * (1 + readers) / machine.bytes_per_second * (bytes > machine.cache_bytes ? 1 : cached_share);
      const Use& use = uses.at(array);
      double once = 0;
      if (std::optional<ProductForm> form = product_form_of(array)) once = flop(*form) / flop_per_second(array, machine);
      once += static_cast<double>(element_count(array)) * operations_of(array->body, machine) / machine.map_per_second;
      saved -= once * (use.visited - 1);
    }
  return saved;
}

}  // namespace heed
