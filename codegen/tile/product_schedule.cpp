// Estimates what each way of packing costs, then cuts the product into blocks and tasks.
#include "codegen/tile/product_schedule.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "codegen/tile/access.h"
#include "codegen/tile/vectors.h"
#include "ir/algebra.h"

namespace heed {
namespace {

constexpr std::int64_t line_bytes = 64;  // of a cache

std::int64_t ceil_divide(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }
std::int64_t round_up(std::int64_t a, std::int64_t b) { return ceil_divide(a, b) * b; }
std::int64_t between(std::int64_t low, double x, std::int64_t high) {
  return x <= static_cast<double>(low) ? low : x >= static_cast<double>(high) ? high : static_cast<std::int64_t>(x);
}

// How the address moves from lane to lane of vectors along `axis`: nothing if not by a constant.
std::optional<std::int64_t> lane_stride(const LinearForm& address, AxisRef lane) {
  std::int64_t stride = 0;
  for (const IntegerTerm& term : address.terms) {
    if (std::find(term.x->free.begin(), term.x->free.end(), lane) == term.x->free.end()) continue;
    if (term.x != value(lane)) return {};
    stride += term.weight;
  }
  return stride;
}

struct VectorCost {
  double cycles;     // for a vector of useful values
  std::int64_t run;  // of cut_into_vectors
  bool is_scattered;
};

// The cost of values of x whose lanes lie along `axis`, cut into runs.
VectorCost vector_cost(Expr x, AxisRef axis, int lanes, std::int64_t run) {
  if (axis->size == 1) return {4.0 * lanes, 0, false};
  double waste = static_cast<double>(round_up(run > 0 ? run : axis->size, lanes)) / static_cast<double>(run > 0 ? run : axis->size);
  if (x->op == Op::read && std::ranges::all_of(x->operands, is_affine))  // the most common case, without cutting the axis
    if (auto stride = lane_stride(affine_address(x), axis))
      return {(*stride == 0 || *stride == 1 ? 2.0 : 1 + 1.5 * lanes) * waste, run, false};
  VectorAxis vectors = cut_into_vectors(axis, lanes, run);
  VectorCost out{1, run, false};
  bool has_whole = vectors.whole() > 0;
  AxisRef lane = has_whole ? vectors.lane : vectors.rest_lane;
  for (Expr node : nodes_of(has_whole ? in_whole_vector(vectors, x) : in_last_vector(vectors, x))) {
    bool varies = std::find(node->free.begin(), node->free.end(), lane) != node->free.end();
    if (node->op == Op::function)
      out.cycles += 12;
    else if (node->op == Op::select && varies)
      out.cycles += 2;
    else if (node->op == Op::product || node->op == Op::cast || (node->op == Op::linear && is_floating(node->dtype)))
      out.cycles += 1;
    if (node->op != Op::read || !varies) continue;
    std::optional<std::int64_t> moves = lane_stride(affine_address(node), lane);
    for (Expr index : node->operands)  // by data: not in the address
      if (!is_affine(index) && std::find(index->free.begin(), index->free.end(), lane) != index->free.end()) moves = {};
    out.is_scattered |= !moves;
    out.cycles += moves == 1 ? 1.0 : 1.5 * lanes;
  }
  // Part of a vector costs as much as the whole.
  out.cycles *= waste;
  return out;
}

// The best of cutting the axis into no runs, or into those at whose ends its digits change.
VectorCost best_vector_cost(Expr x, AxisRef axis, int lanes) {
  VectorCost best = vector_cost(x, axis, lanes, 0);
  if (!best.is_scattered) return best;
  std::vector<std::int64_t> lengths;
  for (Expr node : nodes_of(x))
    if ((node->op == Op::quotient || node->op == Op::remainder) && node->operands[0] == value(axis) && node->integer >= 4 &&
        node->integer <= 1024 && node->integer < axis->size && axis->size % node->integer == 0)
      lengths.push_back(node->integer);
  std::ranges::sort(lengths);
  lengths.erase(std::unique(lengths.begin(), lengths.end()), lengths.end());
  for (std::int64_t length : lengths) {
    VectorCost cost = vector_cost(x, axis, lanes, length);
    if (cost.cycles < best.cycles) best = cost;
  }
  return best;
}

// A length of blocks of the depth, a multiple of the unit, within which flat addresses of the operands may become plain: what the
// quotients divide by that are left in them.
std::int64_t natural_block(const FlatProduct& product, std::int64_t longest, std::int64_t unit) {
  std::int64_t best = 0;
  auto consider = [&](std::int64_t whole) {
    for (std::int64_t pieces = 1; pieces <= whole / 128; ++pieces) {
      std::int64_t length = whole / pieces;
      if (whole % pieces != 0 || length > longest || length % unit != 0 || product.depth->size % length != 0) continue;
      best = std::max(best, length);
      break;
    }
  };
  for (Expr operand : {product.a, product.b})
    for (Expr node : nodes_of(operand)) {
      if (node->op != Op::read) continue;
      for (const IntegerTerm& term : affine_address(node).terms)
        for (Expr part : nodes_of(term.x))
          if (part->op == Op::quotient && part->operands[0] == value(product.depth)) consider(part->integer);
    }
  return best;
}

}  // namespace

std::optional<PlainOperand> plain_operand(Expr operand, DType dtype, AxisRef line, AxisRef depth, AxisRef block, AxisRef inside) {
  if (operand->op != Op::read || operand->array->dtype != dtype || !std::ranges::all_of(operand->operands, is_affine)) return {};
  Arena& arena = *operand->arena;
  LinearForm flat = affine_address(operand);
  Expr address = linear(flat.terms, flat.constant, arena);
  const IntegerTerm places[] = {{inside->size, value(block)}, {1, value(inside)}};
  LinearForm form = linear_form(substitute(address, {{depth, linear(places, 0, arena)}}));
  PlainOperand plain{operand->array, {{}, form.constant}, 0, 0};
  for (const IntegerTerm& term : form.terms) {
    if (term.x == value(line))
      plain.line_stride = term.weight;
    else if (term.x == value(inside))
      plain.depth_stride = term.weight;
    else if (std::ranges::any_of(term.x->free, [&](AxisRef axis) { return axis == line || axis == inside; }))
      return {};
    else
      plain.origin.terms.push_back(term);
  }
  return plain;
}

std::string ProductSchedule::text() const {
  return fmt::format(
      "tile {}x{}x{} of {}x{}x{}x{}; tiles {} {} {}; panels {} {}; depth {} {}; tasks {} {} {} {}; strip {}; pack {} {} {} {}", tile.rows,
      tile.vectors, tile.lanes, batches, m, n, k, row_tiles, high_tiles, height, panels, last_vectors, depth_block, depth_blocks, row_tasks,
      column_tasks, parts, batches_a_task, tiles_a_strip, static_cast<int>(a_packing), a_run, static_cast<int>(b_packing), b_run);
}

bool stores_contiguously(const FlatProduct& product, int lanes) {
  VectorAxis columns = cut_into_vectors(product.column, lanes);
  return std::ranges::all_of(product.outputs, [&](const FlatProduct::Output& output) {
    return lane_stride(linear_form(in_whole_vector(columns, output.address)), columns.lane) == 1;
  });
}

ProductSchedule schedule_product(const FlatProduct& product, const Target& target, bool is_shared) {
  std::int64_t bytes = byte_size(product.dtype);
  ProductSchedule s{};
  s.batches = product.batch->size, s.m = product.row->size, s.n = product.column->size, s.k = product.depth->size;
  s.tile = choose_tile(target, bytes, s.m, s.n);
  int lanes = s.tile.lanes;
  s.row_tiles = ceil_divide(s.m, s.tile.rows);
  s.height = s.m / s.row_tiles;
  s.high_tiles = s.m % s.row_tiles;
  s.panels = ceil_divide(s.n, s.tile.columns());
  s.last_vectors = ceil_divide(s.n - (s.panels - 1) * s.tile.columns(), lanes);

  // The depth: whole where it is short, else in blocks of a size at which addresses are plain, if there is one. Blocks hold whole runs.
  VectorCost a_along = best_vector_cost(product.a, product.depth, lanes), b_along = best_vector_cost(product.b, product.depth, lanes);
  std::int64_t longest = 4096 / bytes;
  s.depth_block = round_up(std::max<std::int64_t>(s.k, 1), lanes);
  if (s.k > longest) {
    std::int64_t unit = lanes;
    for (VectorCost* along : {&a_along, &b_along})
      if (along->run > 0) unit = std::lcm(unit, along->run);
    if (unit > longest) {
      unit = lanes;
      a_along = vector_cost(product.a, product.depth, lanes, 0);
      b_along = vector_cost(product.b, product.depth, lanes, 0);
    }
    std::int64_t natural = natural_block(product, 2 * longest, unit);
    std::int64_t blocks = ceil_divide(s.k, longest * 3 / 4);
    s.depth_block = natural > 0 ? natural : round_up(ceil_divide(s.k, blocks), unit);
  }
  auto plain_at = [&](Expr operand, AxisRef line, std::int64_t block) {
    Arena& arena = *operand->arena;
    return plain_operand(operand, product.dtype, line, product.depth, fresh_axis(arena, ceil_divide(s.k, block)), fresh_axis(arena, block));
  };

  // Few rows do not repay packing b: its rows are read where they are, in short blocks so that they stay in the cache. Neither does one
  // panel of whole lines: it lies in memory as it would be packed.
  double a_cost = 0, b_cost = 0;
  s.b_packing = Packing::across_depth;
  bool is_one_panel = s.n == s.tile.columns() && s.n * bytes % line_bytes == 0;
  if (s.m <= 32 || is_one_panel)
    if (auto plain = plain_at(product.b, product.column, s.m <= 32 ? 32 : s.depth_block);
        plain && plain->line_stride == 1 && plain->depth_stride >= 0 && s.n >= lanes) {
      s.b_packing = Packing::in_place;
      if (s.m <= 32) s.depth_block = std::min<std::int64_t>(s.depth_block, 32);
    }
  if (a_along.run > 0 && s.depth_block < s.k && s.depth_block % a_along.run != 0) a_along = vector_cost(product.a, product.depth, lanes, 0);
  if (s.b_packing != Packing::in_place) {
    VectorCost across = best_vector_cost(product.b, product.column, lanes);
    if (across.run > 0) across.cycles += 3;  // a line is put together first
    b_along.cycles += 8;
    bool along = b_along.cycles < across.cycles;
    if (along) s.b_packing = Packing::along_depth;
    s.b_run = along ? b_along.run : across.run;
    b_cost = (along ? b_along : across).cycles / lanes;
  } else {
    s.b_run = best_vector_cost(product.b, product.column, lanes).run;
  }
  s.depth_blocks = std::max<std::int64_t>(1, ceil_divide(s.k, s.depth_block));

  auto plain = plain_at(product.a, product.row, s.depth_block);
  // Neighbours in memory serve one row's next steps, or the next tile's rows: either way lines are not fetched in vain.
  if (plain && (std::abs(plain->depth_stride) <= 2 || std::abs(plain->line_stride) <= 2 || s.panels == 1)) {
    s.a_packing = Packing::in_place;
  } else {
    VectorCost across = best_vector_cost(product.a, product.row, lanes);
    bool is_across = across.cycles < a_along.cycles;
    s.a_packing = is_across ? Packing::across_depth : Packing::along_depth;
    s.a_run = (is_across ? across : a_along).run;
    a_cost = (is_across ? across : a_along).cycles / lanes;
  }

  // Tasks: a block of b in half of the second cache, and enough of them to share out.
  double flop = 2.0 * static_cast<double>(s.m) * static_cast<double>(s.n) * static_cast<double>(s.k);
  double all = flop * static_cast<double>(s.batches);
  std::int64_t wanted = is_shared ? between(1, all / 2e6, 32) : 1;
  std::int64_t block_bytes = s.depth_block * s.tile.columns() * bytes;
  std::int64_t most_panels = s.b_packing == Packing::in_place ? std::max<std::int64_t>(1, 2048 / s.tile.columns())
                                                              : std::max<std::int64_t>(1, target.level2_bytes / 2 / block_bytes);
  s.column_tasks = ceil_divide(s.panels, most_panels);
  auto tasks = [&] { return s.batches * s.row_tasks * s.column_tasks; };
  auto split_rows = [&](std::int64_t fewest) {
    s.row_tasks = between(1, static_cast<double>(ceil_divide(wanted, s.batches * s.column_tasks)), std::max<std::int64_t>(1, s.m / fewest));
  };
  s.row_tasks = 1;
  split_rows(256);
  if (tasks() < wanted) s.column_tasks = std::max(s.column_tasks, std::min(s.panels, ceil_divide(wanted, s.batches * s.row_tasks)));
  if (tasks() * 2 < wanted) split_rows(64);
  if (s.depth_blocks > 1) {  // The sums of a task stay in the cache, too.
    std::int64_t rows = std::max<std::int64_t>(64, (1 << 20) / (s.most_panels() * s.tile.columns() * bytes));
    s.row_tasks = std::max(s.row_tasks, ceil_divide(s.m, rows));
  }
  s.row_tasks = std::min(s.row_tasks, s.row_tiles);
  // Every task has something to do.
  s.row_tasks = ceil_divide(s.row_tiles, s.most_tiles());
  s.column_tasks = ceil_divide(s.panels, s.most_panels());
  s.parts = 1;
  if (s.depth_blocks > 1 && tasks() * 2 < wanted) {
    s.parts = std::min(s.depth_blocks, ceil_divide(wanted, tasks()));
    s.parts = ceil_divide(s.depth_blocks, ceil_divide(s.depth_blocks, s.parts));
  }
  s.batches_a_task = 1;
  if (s.row_tasks * s.column_tasks == 1 && flop < 1e6)
    s.batches_a_task =
        std::max<std::int64_t>(1, std::min<std::int64_t>(s.batches / wanted, static_cast<std::int64_t>(1e6 / std::max(flop, 1.0))));

  s.tiles_a_strip = s.most_tiles();
  if (s.a_packing != Packing::in_place) {
    std::int64_t rows = between(16, static_cast<double>(target.level2_bytes / 4 / (s.depth_block * bytes)), 128);
    s.tiles_a_strip = std::min(s.tiles_a_strip, std::max<std::int64_t>(1, rows / (s.height + 1)));
  }

  double row_count = static_cast<double>(s.m), depth = static_cast<double>(s.k), columns = static_cast<double>(s.n);
  double vectors = static_cast<double>((s.panels - 1) * s.tile.vectors + s.last_vectors);
  double loads = static_cast<double>(s.tile.rows + s.tile.vectors) / (s.tile.rows * s.tile.vectors);
  s.cost = row_count * vectors * depth * 0.5 * std::max({1.0, 2 * loads, 10.0 / (s.tile.rows * s.tile.vectors)});
  s.cost += columns * depth * b_cost * static_cast<double>(s.row_tasks) + row_count * depth * a_cost * static_cast<double>(s.column_tasks);
  for (const auto& output : product.outputs)
    s.cost += row_count * columns / lanes * vector_cost(output.value, product.column, lanes, 0).cycles;
  s.cost += row_count * columns * (stores_contiguously(product, lanes) ? 1.0 / lanes : 1.5) * static_cast<double>(product.outputs.size());
  s.cost *= static_cast<double>(s.batches);
  return s;
}

}  // namespace heed
