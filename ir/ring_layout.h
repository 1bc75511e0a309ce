// Where the tiles of a part over columns lie in shared memory where each warp multiplies by itself: those of rows stay, those of columns
// come through a ring of slots.
#pragma once
#include "ir/side_values.h"

namespace heed {

inline constexpr std::int64_t half_bytes = 2;      // of an element of a tile
inline constexpr std::int64_t fragment_size = 16;  // rows, columns and depth of a product's fragments, two of 8 columns together
inline constexpr int vector_stages = 2;            // values of columns alone, of this block and of the next one

struct RingLayout {
  std::vector<int> rows;             // tiles of rows
  std::vector<int> columns;          // tiles of columns, in the order of their first use
  bool together = false;             // all of a block's tiles are in use at once: a slot has them all, else one
  std::vector<std::int64_t> places;  // of `rows`, in bytes; then of `columns`, from their slot's
  std::vector<SideValue> vectors;    // values of columns
  std::int64_t rows_bytes = 0, slot_bytes = 0, stage_bytes = 0;
  int slots() const { return together ? 2 : static_cast<int>(columns.size()) + 1; }
  std::int64_t slot(int k) const { return rows_bytes + k * slot_bytes; }
  std::int64_t stage(int k) const { return slot(slots()) + k * stage_bytes; }
  std::int64_t bytes() const { return stage(vectors.empty() ? 0 : vector_stages); }
  std::size_t number_of(int tile) const { return static_cast<std::size_t>(std::ranges::find(columns, tile) - columns.begin()); }
  std::int64_t place_of(int tile) const {
    const auto row = std::ranges::find(rows, tile);
    return places[row != rows.end() ? static_cast<std::size_t>(row - rows.begin()) : rows.size() + number_of(tile)];
  }
};
RingLayout ring_layout(const RegisterProgram& program, const RegisterProgram::Part& part);

inline bool is_of(const RegisterTile& tile, AxisRef axis) { return tile.line == axis || tile.along == axis; }

// Lines of a tile, and elements of each, in whole fragments.
std::pair<std::int64_t, std::int64_t> tile_size(const RegisterProgram& program, const RegisterTile& tile);

// Of a value of columns, for a block of them: four bytes each, twice where scores start from it, of which a thread has two rows.
std::int64_t vector_bytes(const RegisterProgram& program, const SideValue& vector);

// What a thread's registers hold besides sums: kept values of rows, and values of columns alone from one of its fragments of rows to the
// next.
std::int64_t values_of_thread(const RegisterProgram& program);

// Of a program's parts.
std::int64_t most_ring_bytes(const RegisterProgram& program);

}  // namespace heed
