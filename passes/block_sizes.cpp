// Block sizes and costs from shapes and the figures of the nominal machine.
#include "passes/block_sizes.h"

#include <algorithm>
#include <cmath>

#include "ir/algebra.h"
#include "ir/integer.h"
#include "passes/column_passes.h"
#include "passes/kind.h"
#include "passes/register_sizes.h"
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
