// Sizes and places of slots, from the program alone.
#include "ir/ring_layout.h"

#include "ir/integer.h"

namespace heed {

namespace {

constexpr std::int64_t tile_step = 1024;  // tiles begin at whole lines of banks

}  // namespace

std::pair<std::int64_t, std::int64_t> tile_size(const RegisterProgram& program, const RegisterTile& tile) {
  auto extent = [&](AxisRef axis) {
    return round_up(axis == program.row ? program.rows : axis == program.column ? program.columns : axis->size, fragment_size);
  };
  return {extent(tile.line), extent(tile.along)};
}

RingLayout ring_layout(const RegisterProgram& program, const RegisterProgram::Part& part) {
  RingLayout ring;
  std::vector<int> order;  // of the tiles of columns, by use
  auto add = [&](int tile) {
    if (tile < 0) return;
    const bool is_rows = is_of(program.tiles[static_cast<std::size_t>(tile)], program.row);
    std::vector<int>& list = is_rows ? ring.rows : ring.columns;
    if (std::ranges::find(list, tile) == list.end()) list.push_back(tile);
    if (!is_rows) order.push_back(tile);
  };
  for (const RegisterStep& step : part.kinds[0].steps) add(step.left), add(step.right);
  for (std::size_t k = 1; k < order.size(); ++k)  // a tile that is used again after another was
    for (std::size_t before = 0; before + 1 < k; ++before) ring.together |= order[before] == order[k] && order[k - 1] != order[k];
  auto bytes_of = [&](int tile) {
    const auto [lines, along] = tile_size(program, program.tiles[static_cast<std::size_t>(tile)]);
    return round_up(lines * along * half_bytes, tile_step);
  };
  for (int tile : ring.rows) {
    ring.places.push_back(ring.rows_bytes);
    ring.rows_bytes += bytes_of(tile);
  }
  for (int tile : ring.columns) {
    ring.places.push_back(ring.together ? ring.slot_bytes : 0);
    ring.slot_bytes = ring.together ? ring.slot_bytes + bytes_of(tile) : std::max(ring.slot_bytes, bytes_of(tile));
  }
  if (!ring.columns.empty()) ring.vectors = side_values(program, part, Side::columns);
  for (const SideValue& vector : ring.vectors) ring.stage_bytes += vector_bytes(program, vector);
  return ring;
}

std::int64_t vector_bytes(const RegisterProgram& program, const SideValue& vector) {
  constexpr std::int64_t value_bytes = 4;
  return program.columns * value_bytes * (vector.is_start ? 2 : 1);
}

std::int64_t values_of_thread(const RegisterProgram& program) {
  constexpr std::int64_t threads_of_row = 4, rows_of_fragment = 2;
  std::int64_t most = 0;
  for (const auto& part : program.parts) {
    if (!part.over_columns) continue;
    const RingLayout ring = ring_layout(program, part);
    const auto count = std::ranges::count(ring.vectors, false, &SideValue::is_start);
    most = std::max(most, (program.tall - 1) * count * program.columns / threads_of_row);
  }
  const auto of_rows = std::ranges::count(program.kept, std::size_t{1}, [](ArrayRef kept) { return kept->shape.size(); });
  return most + of_rows * program.tall * rows_of_fragment;
}

std::int64_t most_ring_bytes(const RegisterProgram& program) {
  std::int64_t bytes = 0;
  for (const auto& part : program.parts)
    if (part.over_columns) bytes = std::max(bytes, ring_layout(program, part).bytes());
  return bytes;
}

}  // namespace heed
