// How a product is computed: the tile of registers, the blocks that fit the caches, the tasks, and how each operand is brought
// into the order the inner loop reads. Everything follows from shapes, strides and the target, never from
// the threads of a run.
#pragma once
#include <cstdint>
#include <optional>
#include <string>

#include "codegen/tile/micro_kernel.h"
#include "codegen/tile/product_region.h"
#include "ir/algebra.h"
#include "ir/integer.h"

namespace heed {

// Where the elements of an operand lie for the inner loop.
enum class Packing : std::uint8_t {
  in_place,      // read where they are
  along_depth,   // copied; neighbours in memory are those of the depth
  across_depth,  // copied; neighbours in memory are those of the row or column
};

// An operand that is one unguarded read: element (line, depth) at origin + line_stride * line + depth_stride * depth.
struct PlainOperand {
  ArrayRef array;
  LinearForm origin;  // over batch, block of depth, and whatever else is no line and no place in the block
  std::int64_t line_stride, depth_stride;
};

struct ProductSchedule {
  Multiplier multiplier = Multiplier::factors;
  Tile tile;
  std::int64_t batches, m, n, k;
  std::int64_t row_tiles, high_tiles, height;  // the first `high_tiles` have height + 1 rows
  std::int64_t panels;                         // of tile.columns() columns
  std::int64_t last_vectors;                   // in the last panel
  std::int64_t depth_block, depth_blocks;
  std::int64_t row_tasks, column_tasks;  // tiles and panels are divided evenly among them
  std::int64_t parts;                    // of the depth blocks; more than one: sums of parts are added by a second launch
  std::int64_t batches_a_task;
  std::int64_t tiles_a_strip;  // rows of a that are packed at a time
  Packing a_packing, b_packing;
  bool keeps_b;               // packed by a launch of its own, whole: b is the same in many runs
  std::int64_t a_run, b_run;  // lengths within which addresses along the packed vectors are plain; 0: everywhere
  double cost;                // in cycles; to compare one schedule of a product with another

  // Whether operands are zero past the end of the depth, up to a whole step of the multiplier.
  bool fills_depth() const { return multiplier == Multiplier::matrices && k % tile.lanes != 0; }
  // Whether a is packed in a panel for each tile.
  bool has_tile_panels() const { return a_packing == Packing::across_depth && multiplier != Multiplier::matrices; }
  std::int64_t most_height() const { return high_tiles > 0 ? height + 1 : height; }
  std::int64_t most_tiles() const { return ceil_divide(row_tiles, row_tasks); }
  std::int64_t most_panels() const { return ceil_divide(panels, column_tasks); }
  // Elements of a panel of b that is kept: what is packed along runs of the depth ends in a part of a vector.
  std::int64_t kept_panel() const { return (depth_block + (b_run > 0 ? tile.lanes : 0)) * tile.columns(); }
  std::string text() const;
};

struct ScheduleOptions {
  bool is_shared = true;  // cut into tasks for all threads; else only as the caches ask for
  bool b_stays = false;   // b is the same in many runs
};
ProductSchedule schedule_product(const FlatProduct& product, const Target& target, const ScheduleOptions& options);

// Whether all outputs are written by whole vectors along the columns.
bool stores_contiguously(const FlatProduct& product, int lanes);

// `operand` as a plain read along `line`, with the depth cut into blocks: axis `block` counts them, `inside` runs in one.
// Nothing if it is no such read.
std::optional<PlainOperand> plain_operand(Expr operand, DType dtype, AxisRef line, AxisRef depth, AxisRef block, AxisRef inside);

}  // namespace heed
