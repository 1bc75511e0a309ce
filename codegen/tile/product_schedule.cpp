// Estimates what each way of packing costs, then cuts the product into blocks and tasks.
#include "codegen/tile/product_schedule.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "codegen/tile/interval.h"
#include "codegen/tile/matrix_registers.h"
#include "codegen/tile/operand_cost.h"
#include "codegen/tile/vectors.h"
#include "ir/algebra.h"
#include "ir/integer.h"

namespace heed {
namespace {

std::int64_t between(std::int64_t low, double x, std::int64_t high) {
  return x <= static_cast<double>(low) ? low : x >= static_cast<double>(high) ? high : static_cast<std::int64_t>(x);
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
  constexpr std::string_view of[] = {"", " of halves", " of pairs", " of matrices"};
  return fmt::format(
      "tile{} {}x{}x{} of {}x{}x{}x{}; tiles {} {} {}; panels {} {}; depth {} {}; tasks {} {} {} {}; strip {}; pack {} {} {} {}{}",
      of[static_cast<std::size_t>(multiplier)], tile.rows, tile.vectors, tile.lanes, batches, m, n, k, row_tiles, high_tiles, height,
      panels, last_vectors, depth_block, depth_blocks, row_tasks, column_tasks, parts, batches_a_task, tiles_a_strip,
      static_cast<int>(a_packing), a_run, static_cast<int>(b_packing), b_run, keeps_b ? " kept" : "");
}

bool stores_contiguously(const FlatProduct& product, int lanes) {
  VectorAxis columns = cut_into_vectors(product.column, lanes);
  return std::ranges::all_of(product.outputs, [&](const FlatProduct::Output& output) {
    return lane_stride(linear_form(in_whole_vector(columns, output.address)), columns.lane) == 1;
  });
}

namespace {

bool fit_32_bits(const FlatProduct& product) {
  Intervals intervals;
  return fits_32_bits(intervals.of(product.a)) && fits_32_bits(intervals.of(product.b));
}

// Chooses step by step: tiles, blocks of the depth, how b and a are brought in, tasks.
class Scheduler {
 public:
  Scheduler(const FlatProduct& product, const Target& target, const ScheduleOptions& options)
      : product_(product), target_(target), options_(options), bytes_(byte_size(product.dtype)) {}

  ProductSchedule schedule() {
    cut_into_tiles();
    cut_depth();
    bring_in_b();
    share_depth();
    bring_in_a();
    s.batches_a_task = 1;
    const double small = flop_a_task() / 2;
    if (s.row_tasks * s.column_tasks == 1 && flop() < small)
      s.batches_a_task =
          std::max<std::int64_t>(1, std::min<std::int64_t>(s.batches / wanted_, static_cast<std::int64_t>(small / std::max(flop(), 1.0))));
    s.cost = batch_cost() * static_cast<double>(s.batches);
    return s;
  }

 private:
  double flop() const { return 2.0 * static_cast<double>(s.m) * static_cast<double>(s.n) * static_cast<double>(s.k); }

  double flop_a_task() const { return uses_matrices() ? 16e6 : 2e6; }
  bool uses_matrices() const { return s.multiplier == Multiplier::matrices; }

  void cut_into_tiles() {
    if (product_.is_paired) s.multiplier = target_.multiplies_matrices ? Multiplier::matrices : Multiplier::pairs;
    if (product_.dtype == DType::i64 && fit_32_bits(product_)) s.multiplier = Multiplier::halves;
    s.batches = product_.batch->size, s.m = product_.row->size, s.n = product_.column->size, s.k = product_.depth->size;
    s.tile = uses_matrices() ? choose_matrix_tile(s.m, s.n) : choose_tile(target_, bytes_, s.m, s.n);
    s.row_tiles = ceil_divide(s.m, s.tile.rows);
    s.height = s.m / s.row_tiles;
    s.high_tiles = s.m % s.row_tiles;
    s.panels = ceil_divide(s.n, s.tile.columns());
    s.last_vectors = ceil_divide(s.n - (s.panels - 1) * s.tile.columns(), s.tile.lanes);
    wanted_ = options_.is_shared ? between(1, flop() * static_cast<double>(s.batches) / flop_a_task(), 32) : 1;
    if (uses_matrices()) {
      arithmetic_ = static_cast<double>(s.row_tiles * s.panels * ceil_divide(s.k, matrix_side)) *
                    matrix_cycles({static_cast<int>(ceil_divide(s.m, s.row_tiles)), s.tile.vectors, s.tile.lanes});
      return;
    }
    double vectors = static_cast<double>((s.panels - 1) * s.tile.vectors + s.last_vectors);
    double loads = static_cast<double>(s.tile.rows + s.tile.vectors) / (s.tile.rows * s.tile.vectors);
    arithmetic_ = static_cast<double>(s.m) * vectors * static_cast<double>(s.k) * 0.5 *
                  std::max({1.0, 2 * loads, 10.0 / (s.tile.rows * s.tile.vectors)});
  }

  // Of vectors of an operand along an axis; of pairs, of both halves.
  VectorCost with_odd(VectorCost cost, Expr odd, AxisRef axis) const {
    if (odd) cost.cycles += vector_cost(odd, axis, s.tile.lanes, cost.run).cycles + 3;
    return cost;
  }
  VectorCost best_cost(Expr operand, Expr odd, AxisRef axis) const {
    return with_odd(best_vector_cost(operand, axis, s.tile.lanes), odd, axis);
  }
  VectorCost cost_at(Expr operand, Expr odd, AxisRef axis, std::int64_t run) const {
    return with_odd(vector_cost(operand, axis, s.tile.lanes, run), odd, axis);
  }

  // Whole where it is short, else in blocks of a size at which addresses are plain, if there is one. Blocks hold whole runs.
  void cut_depth() {
    const int lanes = s.tile.lanes;
    a_along_ = best_cost(product_.a, product_.a_odd, product_.depth), b_along_ = best_cost(product_.b, product_.b_odd, product_.depth);
    a_across_ = best_cost(product_.a, product_.a_odd, product_.row);
    if (uses_matrices()) a_across_.cycles += transposing_cycles;
    std::int64_t longest = 4096 / bytes_;
    if (a_across_.cycles < a_along_.cycles && !uses_matrices()) {  // a panel of b stays in the first cache while tiles of a pass by
      const std::int64_t bytes_of_vectors = s.tile.columns() * bytes_ * lanes;
      longest = lanes * between(1, share_of_panel * static_cast<double>(target_.level1_bytes) / static_cast<double>(bytes_of_vectors),
                                longest / lanes);
    }
    if (uses_matrices()) {
      const double whole_steps = left_share * static_cast<double>(target_.level1_bytes) / static_cast<double>(s.tile.rows * bytes_ * lanes);
      longest = lanes * between(4, whole_steps, longest / lanes);
    }
    s.depth_block = round_up(std::max<std::int64_t>(s.k, 1), lanes);
    if (s.k <= longest) return;
    std::int64_t unit = lanes;
    for (VectorCost* along : {&a_along_, &b_along_})
      if (along->run > 0) unit = std::lcm(unit, along->run);
    if (unit > longest) {
      unit = lanes;
      a_along_ = cost_at(product_.a, product_.a_odd, product_.depth, 0);
      b_along_ = cost_at(product_.b, product_.b_odd, product_.depth, 0);
    }
    std::int64_t natural = natural_block(product_, 2 * longest, unit);
    std::int64_t blocks = ceil_divide(s.k, longest * 3 / 4);
    s.depth_block = natural > 0 ? natural : round_up(ceil_divide(s.k, blocks), unit);
  }

  std::optional<PlainOperand> plain_at(Expr operand, AxisRef line, std::int64_t block) const {
    Arena& arena = *operand->arena;
    return plain_operand(operand, product_.dtype, line, product_.depth, fresh_axis(arena, ceil_divide(s.k, block)),
                         fresh_axis(arena, block));
  }

  // Of an operand that is packed, for an element: its instructions, and its way from memory.
  double packing_cost(const VectorCost& cost) const { return cost.cycles / s.tile.lanes + cycles_per_byte * static_cast<double>(bytes_); }

  bool has_few_rows() const { return s.m <= 32; }

  // How b is read where it lies: by blocks of the depth, for so many cycles more than the arithmetic takes. Few rows, which do not repay
  // packing it, have short blocks, so that its rows stay in the cache; else panels have to be whole lines. Nothing where it cannot be.
  struct InPlace {
    std::int64_t block;
    double cost;
  };
  std::optional<InPlace> b_in_place() const {
    const std::int64_t panel_bytes = s.tile.columns() * bytes_;
    const bool has_whole_lines = s.n % s.tile.columns() == 0 && panel_bytes % line_bytes == 0;
    if ((!has_few_rows() && !has_whole_lines) || s.n < s.tile.lanes || s.fills_depth()) return {};
    const std::int64_t block = has_few_rows() ? std::min<std::int64_t>(s.depth_block, 32) : s.depth_block;
    auto plain = plain_at(product_.b, product_.column, block);
    if (!plain || plain->line_stride != 1 || plain->depth_stride < 0) return {};
    const double cost = arithmetic_ * in_place_penalty(panel_bytes, plain->depth_stride * bytes_, block, target_);
    return InPlace{block, has_few_rows() && s.m > 1 ? std::max(cost, few_rows_loss * arithmetic_) : cost};
  }

  // In place where rows are few, or that costs no more than packing. What is the same in many runs is packed once where either would be
  // felt.
  void bring_in_b() {
    VectorCost across = best_cost(product_.b, product_.b_odd, product_.column);
    const auto elements = static_cast<double>(s.n * s.k);
    const std::optional<InPlace> in_place = b_in_place();
    const bool is_in_place = in_place && (has_few_rows() || in_place->cost <= packing_cost(across) * elements);
    if (across.run > 0) across.cycles += 3;  // a line is put together first
    b_along_.cycles += transposing_cycles;
    const bool along = b_along_.cycles < across.cycles;
    s.b_packing = along ? Packing::along_depth : Packing::across_depth;
    s.b_run = along ? b_along_.run : across.run;
    b_cost_ = packing_cost(along ? b_along_ : across);
    s.keeps_b = options_.b_stays && (is_in_place ? in_place->cost : b_cost_ * elements) > least_gain * arithmetic_;
    if (s.keeps_b) {
      b_cost_ = 0;
    } else if (is_in_place) {
      s.b_packing = Packing::in_place, s.b_run = across.run, b_cost_ = 0;
      s.depth_block = in_place->block;
    }
    if (a_along_.run > 0 && s.depth_block < s.k && s.depth_block % a_along_.run != 0)
      a_along_ = cost_at(product_.a, product_.a_odd, product_.depth, 0);
    s.depth_blocks = std::max<std::int64_t>(1, ceil_divide(s.k, s.depth_block));
  }

  // The order of a sum depends on the parts of its depth, so they follow from shapes alone: where rows and columns do not make tasks
  // enough.
  void share_depth() {
    s.parts = 1;
    std::int64_t tasks = std::min(s.batches, wanted_) * std::min(s.panels, wanted_) * most_row_tasks();
    if (s.depth_blocks == 1 || tasks * 2 >= wanted_) return;
    s.parts = std::min(s.depth_blocks, ceil_divide(wanted_, tasks));
    s.parts = ceil_divide(s.depth_blocks, ceil_divide(s.depth_blocks, s.parts));
  }

  // Rows of a where they lie: whole steps along the depth, and a tile of them stays in the first cache, whose sets are those of a page.
  bool can_load_matrices(const PlainOperand& a) const {
    if (a.depth_stride != 1 || s.fills_depth()) return false;
    const std::int64_t lines = ceil_divide(s.depth_block * bytes_, line_bytes), apart = std::abs(a.line_stride) * bytes_ / line_bytes;
    return apart <= lines || s.tile.rows * lines <= lines_held(target_.level1_bytes, level1_sets, apart, lines);
  }

  // Of the arithmetic, where a is read in place across the depth: each step takes another line, which serves the next panel, too, if it
  // is still in the first cache.
  double across_penalty(const PlainOperand& a) const {
    const std::int64_t stride_bytes = std::abs(a.depth_stride) * bytes_;
    const std::int64_t held = lines_held(target_.level1_bytes, level1_sets, ceil_divide(stride_bytes, line_bytes), 1);
    const double near = s.depth_block <= held / 2 ? 0 : cycles_of_line / (0.5 * s.tile.rows * s.tile.vectors);
    return std::max(near, in_place_penalty(line_bytes, stride_bytes, s.depth_block, target_));
  }

  std::int64_t most_row_tasks() const { return std::clamp<std::int64_t>(s.m / 64, 1, s.row_tiles); }

  // Read in place where neighbours in memory serve one row's next steps, or the next tile's rows and packing would cost more.
  void bring_in_a() {
    ProductSchedule packed = s;
    const bool is_across = a_across_.cycles < a_along_.cycles;
    packed.a_packing = is_across ? Packing::across_depth : Packing::along_depth;
    packed.a_run = (is_across ? a_across_ : a_along_).run;
    double element_cost = packing_cost(is_across ? a_across_ : a_along_);
    if (packed.has_tile_panels())
      element_cost +=
          cycles_of_share * static_cast<double>(ceil_divide(s.most_height(), s.tile.lanes)) / static_cast<double>(s.most_height());
    double packed_cost = cut_into_tasks(packed, element_cost, 0);
    auto plain = plain_at(product_.a, product_.row, s.depth_block);
    if (plain && uses_matrices() && !can_load_matrices(*plain)) plain.reset();
    const bool follows_depth = plain && (std::abs(plain->depth_stride) <= 2 || s.panels == 1);
    if (follows_depth || (plain && std::abs(plain->line_stride) <= 2)) {
      const double penalty = follows_depth ? 0 : across_penalty(*plain);
      s.a_packing = Packing::in_place;
      task_cost_ = cut_into_tasks(s, cycles_per_byte / 2 * static_cast<double>(bytes_), penalty);  // what it reads comes ahead of it
      if (follows_depth || task_cost_ <= packed_cost) return;
    }
    s = packed;
    task_cost_ = packed_cost;
  }

  // Chooses tasks, each with a block of b in half of the second cache (or, where a has it, in the third): the more there are, the more
  // often operands are packed, the fewer, the longer cores wait for the last one. Returns what a batch costs besides its arithmetic.
  double cut_into_tasks(ProductSchedule& out, double a_cost, double penalty) const {
    std::int64_t block_bytes = out.depth_block * out.tile.columns() * bytes_;
    std::int64_t near = target_.level2_bytes / 2;
    if (out.has_tile_panels()) near = std::max(near, std::min(target_.level3_bytes / (4 * target_.cores), most_far_bytes));
    std::int64_t most_panels = out.b_packing == Packing::in_place ? 2048 / out.tile.columns() : near / block_bytes;
    std::int64_t fewest_columns = ceil_divide(out.panels, std::max<std::int64_t>(1, most_panels));
    const double elements_a = static_cast<double>(out.m * out.k), elements_b = static_cast<double>(out.n * out.k);
    const auto cores = static_cast<double>(target_.cores);
    double best = 0;
    ProductSchedule tried = out;
    for (std::int64_t columns = fewest_columns; columns <= std::max(fewest_columns, std::min(out.panels, most_tasks)); ++columns) {
      tried.column_tasks = columns;
      if (ceil_divide(out.panels, tried.most_panels()) < columns) continue;  // some would have nothing to do
      std::int64_t fewest_rows = 1;
      if (out.depth_blocks > 1)  // The sums of a task stay in the cache, too.
        fewest_rows = ceil_divide(out.m, std::max<std::int64_t>(64, (1 << 20) / (tried.most_panels() * out.tile.columns() * bytes_)));
      fewest_rows = std::min(fewest_rows, out.row_tiles);
      for (std::int64_t rows = fewest_rows; rows <= std::max(fewest_rows, std::min(most_row_tasks(), most_tasks / columns)); ++rows) {
        tried.row_tasks = rows;
        if (rows > fewest_rows && ceil_divide(out.row_tiles, tried.most_tiles()) < rows) continue;
        double cost = b_cost_ * elements_b * static_cast<double>(rows) + a_cost * elements_a * static_cast<double>(columns);
        if (options_.is_shared) {
          auto tasks = static_cast<double>(out.batches * out.parts * columns * rows);
          double longest = static_cast<double>(tried.most_tiles() * tried.most_panels()) /
                           static_cast<double>(out.row_tiles * out.panels * out.batches * out.parts);
          double idle = std::max(0.0, cores * std::ceil(tasks / cores) * longest - 1) + (cores - 1) / 2 / tasks;
          cost += idle * arithmetic_ + cycles_per_task * static_cast<double>(columns * rows);
        }
        if (best > 0 && cost >= best) continue;
        best = cost;
        out.row_tasks = ceil_divide(out.row_tiles, tried.most_tiles()), out.column_tasks = columns;
      }
    }
    out.tiles_a_strip = out.most_tiles();
    if (out.a_packing != Packing::in_place) {
      const std::int64_t share = out.has_tile_panels() ? 2 : 4, most_rows = out.has_tile_panels() ? 256 : 128;
      std::int64_t rows = between(16, static_cast<double>(target_.level2_bytes / share / (out.depth_block * bytes_)), most_rows);
      out.tiles_a_strip = std::min(out.tiles_a_strip, std::max<std::int64_t>(1, rows / (out.height + 1)));
    }
    return best + penalty * arithmetic_;
  }

  double batch_cost() const {
    const int lanes = s.tile.lanes;
    double row_count = static_cast<double>(s.m), columns = static_cast<double>(s.n), cost = arithmetic_ + task_cost_;
    for (const auto& output : product_.outputs)
      cost += row_count * columns / lanes * vector_cost(output.value, product_.column, lanes, 0).cycles;
    return cost +
           row_count * columns * (stores_contiguously(product_, lanes) ? 1.0 / lanes : 1.5) * static_cast<double>(product_.outputs.size());
  }

  static constexpr double cycles_per_byte = 0.1;   // from the third cache or memory, into the second one
  static constexpr double cycles_per_task = 2000;  // to hand it out, and to begin
  static constexpr std::int64_t most_tasks = 64;
  static constexpr double transposing_cycles = 8;          // of a vector
  static constexpr double cycles_of_line = 1.7;            // from the second cache
  static constexpr double cycles_of_share = 3;             // of a vector that a tile takes of a line of all rows
  static constexpr double share_of_panel = 0.8;            // of the first cache, for a panel of b
  static constexpr std::int64_t most_far_bytes = 2 << 20;  // of a block of b in the third cache
  static constexpr double left_share = 0.7;                // of the first cache, for a tile's rows of a
  static constexpr double few_rows_loss = 0.4;             // of the arithmetic, where few rows read b where it lies: 0.2 to 0.9 for 2 to 32
  static constexpr double least_gain = 0.05;               // of the arithmetic, for which memory is spent on b once more

  const FlatProduct& product_;
  const Target& target_;
  const ScheduleOptions& options_;
  const std::int64_t bytes_;
  ProductSchedule s{};
  VectorCost a_along_{}, a_across_{}, b_along_{};
  std::int64_t wanted_ = 1;                             // tasks for any number of cores
  double arithmetic_ = 0, b_cost_ = 0, task_cost_ = 0;  // cycles: of a batch, of packing an element, of a batch besides arithmetic
};

}  // namespace

ProductSchedule schedule_product(const FlatProduct& product, const Target& target, const ScheduleOptions& options) {
  return Scheduler(product, target, options).schedule();
}

}  // namespace heed
