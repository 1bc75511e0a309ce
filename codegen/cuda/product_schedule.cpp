// Tiles by the time that the nominal machine takes with them.
#include "codegen/cuda/product_schedule.h"

#include <algorithm>
#include <cmath>

namespace heed {
namespace {

constexpr double multiprocessors = 108;                     // of a nominal machine
constexpr std::int64_t most_parts = 64, least_depth = 256;  // of a product whose depth is cut
constexpr GpuTile tiles[] = {{128, 128, 1}, {128, 64, 0.8}, {64, 128, 0.8}, {64, 64, 0.65}, {32, 32, 0.3}};

std::int64_t ceil_divide(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

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

}  // namespace

GpuProductSchedule schedule_gpu_product(const FlatProduct& product, Precision precision, bool is_shared) {
  GpuProductSchedule s{.batches = product.batch->size, .m = product.row->size, .n = product.column->size, .k = product.depth->size};
  s.precision = product.dtype == DType::f32 ? precision : Precision::f32;
  s.depth = product.dtype == DType::f64 ? 8 : s.precision == Precision::bf16 || s.precision == Precision::f16 ? 32 : 16;
  s.a_along = along_of(product.a, product.row, product.depth);
  s.b_along = along_of(product.b, product.column, product.depth);
  s.parts = 1;
  double least = 0;
  for (const GpuTile& tile : tiles) {
    double count = static_cast<double>(ceil_divide(s.m, tile.rows) * ceil_divide(s.n, tile.columns) * s.batches);
    std::int64_t parts = 1;
    if (is_shared && count < multiprocessors)
      parts = std::clamp<std::int64_t>(static_cast<std::int64_t>(2 * multiprocessors / count), 1,
                                       std::clamp<std::int64_t>(s.k / least_depth, 1, most_parts));
    double turns = is_shared ? std::ceil(count * static_cast<double>(parts) / multiprocessors) : count;
    double each = static_cast<double>(tile.rows * tile.columns) / tile.efficiency;
    double cost = turns * each * static_cast<double>(ceil_divide(s.k, parts)) + (parts > 1 ? 2e6 : 0);
    if (least != 0 && cost >= least) continue;
    least = cost, s.tile = tile, s.parts = parts;
  }
  s.parts = std::min(s.parts, s.slices());
  return s;
}

}  // namespace heed
