// Tiles by the time that the nominal machine takes with them.
#include "codegen/cuda/product_schedule.h"

#include <algorithm>
#include <cmath>

#include "codegen/cuda/stored_operand.h"
#include "ir/integer.h"

namespace heed {
namespace {

constexpr std::int64_t most_parts = 64, least_depth = 256;  // of a product whose depth is cut
constexpr double cost_of_parts = 2e6;                       // multiply-adds in the time of another kernel

struct Candidate {
  GpuTile tile;
  bool is_wide;
  double cost;  // of a slice, in the time that the machine takes for so many multiply-adds
};

// Through registers: what was measured, compared with the largest tile.
constexpr struct {
  GpuTile tile;
  double efficiency;
} buffered_tiles[] = {{{128, 128}, 1}, {{128, 64}, 0.8}, {{64, 128}, 0.8}, {{64, 64}, 0.65}, {{32, 32}, 0.3}};
constexpr GpuTile ring_tiles[] = {{128, 256}, {256, 128}, {128, 128}, {128, 64}, {64, 128}, {64, 64}};
// Of a multiprocessor, a cycle: multiply-adds of 16-bit factors, bytes from shared memory, and from the second cache.
constexpr double multiply_adds = 1024, shared_speed = 128, cache_speed = 48;
constexpr std::int64_t ring_slices = 3, wide_ring_slices = 4;
constexpr GpuTile wide_tiles[] = {{128, 256}, {128, 128}};  // 64 rows of each of two warpgroups
constexpr double wide_multiply_adds = 2048;
constexpr int first_with_copies = 80;  // that go on while threads do

// The elements of an operand lie side by side along this index in most of what it reads.
Along along_of(Expr operand, AxisRef line, AxisRef depth) {
  auto has = [](Expr x, AxisRef axis) { return std::ranges::find(x->free, axis) != x->free.end(); };
  std::int64_t best = 0;
  Along along = Along::line;
  for (Expr x : nodes_of(operand)) {
    if (x->op != Op::read || element_count(x->array) <= best || !has(x, line) || !has(x, depth)) continue;
    best = element_count(x->array);
    std::int64_t of_line = 0, of_depth = 0;
    for (const IntegerTerm& term : affine_address(x).terms) {
      std::int64_t weight = std::abs(term.weight);
      if (has(term.x, line) && (of_line == 0 || weight < of_line)) of_line = weight;
      if (has(term.x, depth) && (of_depth == 0 || weight < of_depth)) of_depth = weight;
    }
    along = of_depth != 0 && (of_line == 0 || of_depth < of_line) ? Along::depth : Along::line;
  }
  return along;
}

// Warps along the rows such that they read least from shared memory, each 16 rows and 16 columns or a multiple.
std::int64_t best_warp_rows(const GpuTile& tile) {
  constexpr std::int64_t warps = block_threads / warp_threads;
  std::int64_t best = 0, least = 0;
  for (std::int64_t rows = 1; rows <= warps; rows *= 2) {
    if (tile.rows / rows < 16 || tile.columns / (warps / rows) < 16) continue;
    const std::int64_t lines = tile.rows * (warps / rows) + tile.columns * rows;
    if (best == 0 || lines < least) best = rows, least = lines;
  }
  return best;
}

// A slice takes as long as the slowest of the tensor cores, shared memory and the second cache.
double ring_cost(const GpuTile& tile, std::int64_t depth) {
  const std::int64_t rows = best_warp_rows(tile), columns = block_threads / warp_threads / rows;
  const double line = static_cast<double>(depth * 2), copied = static_cast<double>(tile.rows + tile.columns) * line;
  const double read = static_cast<double>(tile.rows * columns + tile.columns * rows) * line;
  const double multiplied = static_cast<double>(tile.rows * tile.columns * depth) / multiply_adds;
  return std::max({multiplied, (read + copied) / shared_speed, copied / cache_speed}) * multiply_adds;
}

double wide_cost(const GpuTile& tile, std::int64_t depth) {
  const double copied = static_cast<double>((tile.rows + tile.columns) * depth * 2);
  return std::max(static_cast<double>(tile.rows * tile.columns * depth) / wide_multiply_adds, copied / cache_speed) * multiply_adds;
}

std::vector<Candidate> candidates_of(const GpuProductSchedule& s, const CudaTarget& target, bool can_be_wide) {
  std::vector<Candidate> all;
  if (s.ring == 0)
    for (const auto& each : buffered_tiles)
      all.push_back({each.tile, false, static_cast<double>(each.tile.rows * each.tile.columns * s.depth) / each.efficiency});
  else
    for (const GpuTile& tile : ring_tiles)
      if (s.ring * (tile.rows + tile.columns) * s.depth * 2 <= target.shared_bytes) all.push_back({tile, false, ring_cost(tile, s.depth)});
  if (can_be_wide)
    for (const GpuTile& tile : wide_tiles) all.push_back({tile, true, wide_cost(tile, s.depth)});
  return all;
}

// The 16 bits that all values of an operand are held in, as they are read or 0.
std::optional<DType> held_in(Expr operand) {
  if (operand->op == Op::read) return is_floating(operand->array->dtype) ? std::optional(operand->array->dtype) : std::nullopt;
  if (operand->op != Op::select) return {};
  Expr yes = operand->operands[1], no = operand->operands[2];
  if (is_constant(no, 0)) return held_in(yes);
  return is_constant(yes, 0) ? held_in(no) : held_in(yes) == held_in(no) ? held_in(yes) : std::nullopt;
}

// What is asked for; of factors that are held in 16 bits anyway, those.
Precision precision_of(const FlatProduct& product, Precision asked, const CudaTarget& target) {
  if (product.dtype != DType::f32) return Precision::f32;
  std::optional<DType> a = held_in(product.a), b = held_in(product.b);
  if (a != b) return asked;
  const Precision held = a == DType::bf16 ? Precision::bf16 : a == DType::f16 ? Precision::f16 : asked;
  return multiplies(target, held) ? held : asked;
}

// Slices of 64 places, or of 32 where they serve better or the others do not fit what is stored.
void look_for_stored(GpuProductSchedule& s, const FlatProduct& product, const ProductPlace& place, std::vector<StoredOperand>& stored) {
  if (!place.is_shared || place.target.chip < first_with_copies || product.dtype != DType::f32) return;
  for (std::int64_t depth : {64, 32}) {
    if (depth == 64 && s.k <= 32) continue;
    auto a = stored_operand(product.a, product.row, product.depth, depth),
         b = stored_operand(product.b, product.column, product.depth, depth);
    if (!a || !b) continue;
    if (a->read->array->dtype != b->read->array->dtype || !place.is_aligned_16(a->read->array) || !place.is_aligned_16(b->read->array))
      return;
    s.ring = ring_slices, s.depth = depth, s.a_along = a->along, s.b_along = b->along;
    stored = {std::move(*a), std::move(*b)};
    return;
  }
}

}  // namespace

bool multiplies(const CudaTarget& target, Precision precision) {
  constexpr int first_with_all = 80;
  return precision == Precision::f32 || precision == Precision::f16 || target.chip >= first_with_all;
}

std::int64_t GpuProductSchedule::slices_of_part() const {
  if (parts == 1) return slices();
  return ceil_divide(slices(), parts * ring) * ring;
}

GpuProductSchedule schedule_gpu_product(const FlatProduct& product, Precision precision, const ProductPlace& place,
                                        std::vector<StoredOperand>& stored) {
  GpuProductSchedule s{.batches = product.batch->size, .m = product.row->size, .n = product.column->size, .k = product.depth->size};
  s.precision = precision_of(product, precision, place.target);
  s.depth = product.dtype == DType::f64 ? 8 : s.precision == Precision::bf16 || s.precision == Precision::f16 ? 32 : 16;
  s.a_along = along_of(product.a, product.row, product.depth);
  s.b_along = along_of(product.b, product.column, product.depth);
  s.parts = 1;
  look_for_stored(s, product, place, stored);
  const double multiprocessors = place.target.multiprocessors;
  const bool can_be_wide =
      place.target.has_wide_products() && s.depth == 64 && stored.size() == 2 &&
      std::ranges::all_of(stored, [&](const StoredOperand& each) { return grid_of(each, product.batch, s.depth).has_value(); });
  double least = 0;
  for (const Candidate& each : candidates_of(s, place.target, can_be_wide)) {
    double count = static_cast<double>(ceil_divide(s.m, each.tile.rows) * ceil_divide(s.n, each.tile.columns) * s.batches);
    std::int64_t parts = 1;
    if (place.is_shared && count < multiprocessors)
      parts = std::clamp<std::int64_t>(static_cast<std::int64_t>(2 * multiprocessors / count), 1,
                                       std::clamp<std::int64_t>(s.k / least_depth, 1, most_parts));
    double turns = place.is_shared ? std::ceil(count * static_cast<double>(parts) / multiprocessors) : count;
    double slices = static_cast<double>(ceil_divide(s.k, parts)) / static_cast<double>(s.depth);
    double cost = turns * each.cost * slices + (parts > 1 ? cost_of_parts : 0);
    if (least != 0 && cost >= least) continue;
    least = cost, s.tile = each.tile, s.parts = parts, s.is_wide = each.is_wide;
  }
  s.parts = std::min(s.parts, s.slices());
  if (s.ring > 0) s.warp_rows = s.is_wide ? block_threads / warp_threads : best_warp_rows(s.tile);
  if (s.is_wide) s.ring = wide_ring_slices;
  if (s.ring > 0 && s.parts > 1) s.parts = ceil_divide(s.slices(), s.slices_of_part());
  return s;
}

}  // namespace heed
