// How a product is cut into tiles on a GPU, and what is decided before its code is written. Everything follows from shapes and strides.
#pragma once
#include <functional>
#include <vector>

#include "codegen/cuda/target.h"
#include "codegen/tile/access.h"
#include "codegen/tile/product_region.h"
#include "ir/integer.h"

namespace heed {

// In what the factors of a product in f32 are held while they are multiplied; sums are f32 always.
enum class Precision : std::uint8_t { f32, tf32, bf16, f16 };
// Whether a chip has tensor cores for such factors, or needs none.
bool multiplies(const CudaTarget& target, Precision precision);

// Which index of an operand neighbouring threads take neighbours of.
enum class Along : std::uint8_t { depth, line };

struct GpuTile {
  std::int64_t rows, columns;  // of a block
};

// Where a product is computed.
struct ProductPlace {
  const CudaTarget& target;
  bool is_shared;                               // among all blocks of threads; else by one, with other pieces
  std::function<bool(ArrayRef)> is_aligned_16;  // the start of the array in memory is, whatever step of a loop it is
};

struct GpuProductSchedule {
  std::int64_t batches, m, n, k;
  GpuTile tile;
  std::int64_t depth;  // of a slice
  std::int64_t parts;  // of the depth; more than one: another kernel adds their sums
  Along a_along, b_along;
  Precision precision;
  std::int64_t ring = 0;  // slices in shared memory, copied there while others are multiplied; 0: two, through registers
  // Four warps multiply together what others, `feeders` threads, have copied by boxes; else every thread copies.
  bool is_wide = false;
  std::int64_t warp_rows = 2;  // warps along the rows of a tile, where tensor cores multiply

  std::int64_t row_tiles() const { return ceil_divide(m, tile.rows); }
  std::int64_t column_tiles() const { return ceil_divide(n, tile.columns); }
  std::int64_t slices() const { return ceil_divide(k, depth); }
  std::int64_t feeders() const { return is_wide ? 128 : 0; }
  std::int64_t threads() const { return feeders() + block_threads; }
  // The last part may have fewer, and what lies beyond the depth counts as zero: parts of a ring are whole turns of it.
  std::int64_t slices_of_part() const;
  std::int64_t warp_columns() const { return block_threads / warp_threads / warp_rows; }
  std::int64_t tasks() const { return row_tiles() * column_tiles() * batches * parts; }
  // Sums go to the maps through shared memory, so many rows of the tile at a time.
  std::int64_t staged_rows() const { return tile.rows > 64 ? tile.rows / 2 : tile.rows; }
  std::int64_t staged_line() const { return tile.columns + 1; }
};

struct StoredOperand;
// The operands that are stored as tensor cores take them, both or neither, are put into `stored`: then the schedule has a ring.
GpuProductSchedule schedule_gpu_product(const FlatProduct& product, Precision precision, const ProductPlace& place,
                                        std::vector<StoredOperand>& stored);

}  // namespace heed
