// The bodies and the order of a region's blocks.
#include <algorithm>
#include <limits>
#include <map>

#include "ir/algebra.h"
#include "passes/block_body.h"
#include "passes/block_sizes.h"
#include "passes/blocks.h"
#include "passes/kind.h"
#include "passes/register_form.h"

namespace heed {

namespace {

void widen(Interval& interval, std::int64_t by) { interval = {std::min(interval.low, by), std::max(interval.high, by)}; }

// One block a row block, with all columns that its rows need.
void make_whole_rows(const BlockRegion& region, const BodyMaker& maker, Blocks& blocks) {
  const BlockAxes& axes = region.axes;
  struct Sort {
    Interval rows, columns;  // first ones
    int body;
  };
  std::map<std::pair<std::int64_t, std::int64_t>, Sort> sorts;  // by rows and columns
  std::vector<BlockPlace> places = block_places(region, region.rows);
  // Threads end together if what takes long comes first. What data decides about is numbered by rows.
  if (axes.parallel_rows && !region.by_data)
    std::ranges::sort(places, {}, [](const BlockPlace& place) { return std::pair(-place.columns, place.row); });
  double visited = 0;
  for (const BlockPlace& place : places) {
    auto [found, is_new] = sorts.try_emplace({place.rows, place.columns}, Sort{{place.row, place.row}, {place.column, place.column}, 0});
    widen(found->second.rows, place.row);
    widen(found->second.columns, place.column);
    visited += static_cast<double>(place.rows * place.columns);
    blocks.columns = std::max(blocks.columns, place.columns);
  }
  if (region.by_data) {
    blocks.by_data = {region.by_data->begin, region.by_data->end, region.by_data->units};
    std::int64_t all = axes.size_of(axes.column), step = width_step(blocks.columns);
    std::map<std::int64_t, Interval> rows;
    for (const auto& [size, sort] : sorts) {
      auto [found, is_new] = rows.try_emplace(size.first, sort.rows);
      found->second = {std::min(found->second.low, sort.rows.low), std::max(found->second.high, sort.rows.high)};
    }
    for (const auto& [count, first] : rows)
      for (std::int64_t width = std::min(step, blocks.columns);; width = std::min(width + step, blocks.columns)) {
        sorts[{count, width}] = {first, {0, all - width}, 0};
        if (width == blocks.columns) break;
      }
  }
  std::map<std::int64_t, int> narrowest;  // by rows
  for (auto& [size, sort] : sorts) {
    sort.body = static_cast<int>(blocks.bodies.size());
    narrowest.try_emplace(size.first, sort.body);
    blocks.sizes.push_back({size.first, axes.column < 0 ? 0 : size.second});
    blocks.bodies.push_back(maker.make({}, {size.first, size.second, sort.rows, sort.columns}, {}));
  }
  for (const BlockPlace& place : places) {
    blocks.of_rows.push_back(std::ssize(blocks.blocks));
    blocks.blocks.push_back({sorts.at({place.rows, place.columns}).body, place.row, place.column, narrowest.at(place.rows)});
  }
  if (axes.column >= 0)
    blocks.visited = visited / static_cast<double>(axes.size_of(axes.row)) / static_cast<double>(axes.size_of(axes.column));
}

// Rows go over their columns in passes.
void make_passes(const BlockRegion& region, const BodyMaker& maker, Blocks& blocks) {
  const BlockAxes& axes = region.axes;
  const std::vector<BodyWork> works = maker.works();
  const std::int64_t rows = axes.size_of(axes.row), columns = axes.size_of(axes.column);
  struct Key {
    std::size_t work;
    std::int64_t rows, columns;
    DecidedConditions decided;
    bool operator<(const Key& other) const {
      return std::tie(work, rows, columns, decided) < std::tie(other.work, other.rows, other.columns, other.decided);
    }
  };
  struct Sort {
    Interval rows, columns;  // first ones
    int body = 0;
  };
  std::map<Key, Sort> sorts;
  std::vector<Sort*> order;
  auto add = [&](Key key, std::int64_t row, std::int64_t column) {
    Sort& sort = sorts.try_emplace(std::move(key), Sort{{row, row}, {column, column}}).first->second;
    widen(sort.rows, row);
    widen(sort.columns, column);
    order.push_back(&sort);
    blocks.blocks.push_back({0, row, column});
  };
  struct Rows {
    std::int64_t row, count, columns = 0;  // columns that they need
    std::vector<ColumnPart> parts;
  };
  std::vector<Rows> all;
  double visited = 0;
  for (std::int64_t row = 0; row < rows; row += region.rows) {
    Rows& next = all.emplace_back(row, std::min(region.rows, rows - row));
    next.parts = column_parts(region, row, row + next.count - 1);
    for (const ColumnPart& part : next.parts) next.columns += part.columns;
    visited += static_cast<double>(next.count * next.columns);
  }
  if (axes.parallel_rows && !region.by_data)
    std::ranges::sort(all, {}, [](const Rows& next) { return std::pair(-next.columns, next.row); });
  for (const auto& [row, count, needed, parts] : all) {
    blocks.of_rows.push_back(std::ssize(blocks.blocks));
    for (std::size_t next = 0; next < works.size(); ++next) {
      const std::int64_t whole = region.in_registers ? region.rows : count;
      if (works[next].kind == BodyWork::Kind::between) add({next, whole, 0, {}}, row, 0);
      if (works[next].kind != BodyWork::Kind::columns) continue;
      const bool advances = next + 1 < works.size() && works[next + 1].kind == BodyWork::Kind::advance;
      for (const ColumnPart& part : parts) {
        add({next, whole, region.in_registers ? region.columns : part.columns, part.decided}, row, part.column);
        if (advances) add({next + 1, whole, 0, {}}, row, 0);
      }
    }
  }
  for (auto& [key, sort] : sorts) {
    sort.body = static_cast<int>(blocks.bodies.size());
    blocks.sizes.push_back({key.rows, key.columns, static_cast<int>(key.work)});
    blocks.bodies.push_back(maker.make(works[key.work], {key.rows, key.columns, sort.rows, sort.columns}, key.decided));
  }
  for (std::size_t k = 0; k < order.size(); ++k) blocks.blocks[k].body = order[k]->body;
  blocks.kept = maker.kept();
  blocks.columns = std::min(region.columns, columns);
  blocks.passes = region.passes->count;
  blocks.visited = visited / static_cast<double>(rows) / static_cast<double>(columns);
  if (region.by_data) blocks.by_data = {region.by_data->begin, region.by_data->end, region.by_data->units, true};
}

}  // namespace

std::shared_ptr<Blocks> make_blocks(const BlockRegion& region, const Graph& graph, const Machine& machine) {
  const BlockAxes& axes = region.axes;
  auto blocks = std::make_shared<Blocks>();
  for (int unit : axes.units) blocks->units.push_back(axes.size_of(unit));
  blocks->parallel_units = axes.parallel_units;
  blocks->parallel_rows = axes.parallel_rows;
  blocks->rows = region.rows;
  blocks->axes = {axes.units, axes.row, axes.column};
  const BodyMaker maker(region, graph, machine);
  if (region.passes)
    make_passes(region, maker, *blocks);
  else
    make_whole_rows(region, maker, *blocks);
  blocks->not_in_registers = region.not_in_registers, blocks->not_wide = region.not_wide;
  if (region.in_registers) {
    auto form = register_form(region, maker, *blocks);
    if (auto* program = std::get_if<RegisterProgram>(&form))
      blocks->registers = std::make_shared<RegisterProgram>(std::move(*program));
    else
      blocks->not_in_registers = std::get<std::string>(form);
  }
  for (std::size_t k = 0; k < region.arrays.size(); ++k)
    if (!axes.reduced[k].empty()) {
      bool sums = root_reduction(region.arrays[k])->reduction == Reduction::sum;
      blocks->initial.emplace_back(region.arrays[k], sums ? 0 : -std::numeric_limits<double>::infinity());
    }
  return blocks;
}

}  // namespace heed
