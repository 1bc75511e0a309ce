// How a product is cut into tiles on a GPU, and what is decided before its code is written. Everything follows from shapes and strides.
#pragma once
#include <vector>

#include "codegen/cuda/target.h"
#include "codegen/tile/access.h"
#include "codegen/tile/product_region.h"

namespace heed {

// In what the factors of a product in f32 are held while they are multiplied; sums are f32 always.
enum class Precision : std::uint8_t { f32, tf32, bf16, f16 };

// Which index of an operand neighbouring threads take neighbours of.
enum class Along : std::uint8_t { depth, line };

struct GpuTile {
  std::int64_t rows, columns;  // of a block
  double efficiency;           // of the multiply-adds, compared with the largest
};

struct GpuProductSchedule {
  std::int64_t batches, m, n, k;
  GpuTile tile;
  std::int64_t depth;  // of a slice
  std::int64_t parts;  // of the depth; more than one: another kernel adds their sums
  Along a_along, b_along;
  Precision precision;

  std::int64_t row_tiles() const { return (m + tile.rows - 1) / tile.rows; }
  std::int64_t column_tiles() const { return (n + tile.columns - 1) / tile.columns; }
  std::int64_t slices() const { return (k + depth - 1) / depth; }
  std::int64_t tasks() const { return row_tiles() * column_tiles() * batches * parts; }
  // Sums go to the maps through shared memory, so many rows of the tile at a time.
  std::int64_t staged_rows() const { return tile.rows > 64 ? tile.rows / 2 : tile.rows; }
  std::int64_t staged_line() const { return tile.columns + 1; }
};

GpuProductSchedule schedule_gpu_product(const FlatProduct& product, Precision precision, bool is_shared);

}  // namespace heed
