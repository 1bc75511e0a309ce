// Sizes and places of boxes, from the program alone.
#include "ir/wide_layout.h"

#include "ir/integer.h"

namespace heed {

WideTile wide_tile(const RegisterProgram& program, int tile) {
  const auto [lines, along] = tile_size(program, program.tiles[static_cast<std::size_t>(tile)]);
  return {lines, ceil_divide(along, wide_line)};
}

namespace {

// Where sums follow, what scores read alone is free before what sums read.
std::vector<WideStream> streams_of(const RegisterProgram::Part& part, const WidePart& layout) {
  std::vector<WideStream> streams;
  if (!sums_follow(part)) return {{layout.columns, !layout.vectors.empty()}};
  WideStream of_scores, of_sums;
  for (int tile : layout.columns) {
    const bool is_of_sums = std::ranges::any_of(
        part.kinds[0].steps, [&](const RegisterStep& step) { return step.kind == RegisterStep::Kind::sum && step.right == tile; });
    (is_of_sums ? of_sums : of_scores).tiles.push_back(tile);
  }
  for (const WideStream& stream : {of_scores, of_sums})
    if (!stream.tiles.empty()) streams.push_back(stream);
  if (!layout.vectors.empty()) streams.push_back({{}, true});
  return streams;
}

}  // namespace

WidePart wide_part(const RegisterProgram& program, const RegisterProgram::Part& part) {
  WidePart all;
  auto add = [&](int tile) {
    if (tile < 0) return;
    std::vector<int>& list = is_of(program.tiles[static_cast<std::size_t>(tile)], program.row) ? all.rows : all.columns;
    if (std::ranges::find(list, tile) == list.end()) list.push_back(tile);
  };
  for (const RegisterStep& step : part.kinds[0].steps) add(step.left), add(step.right);
  auto place = [&](int tile) {
    all.places.push_back(all.bytes);
    all.bytes += wide_tile(program, tile).bytes();
  };
  for (int tile : all.rows) place(tile);
  const std::int64_t of_rows = all.bytes;
  for (int tile : all.columns) place(tile);
  all.tiles_bytes = all.bytes - of_rows;
  all.bytes += (wide_stages - 1) * all.tiles_bytes;
  all.vectors = side_values(program, part, Side::columns);
  for (const SideValue& vector : all.vectors) all.vectors_bytes += vector_bytes(program, vector);
  all.places.push_back(all.bytes);
  all.bytes += wide_stages * all.vectors_bytes;
  all.streams = streams_of(part, all);
  all.places.push_back(all.bytes);
  for (const SideValue& side : side_values(program, part, Side::rows))
    if (side.is_start) all.row_starts.push_back(side);
  all.bytes += static_cast<std::int64_t>(all.row_starts.size()) * row_start_bytes(program);
  return all;
}

bool sums_follow(const RegisterProgram::Part& part) {
  return std::ranges::count(part.kinds[0].steps, RegisterStep::Kind::score, &RegisterStep::kind) <= 1;
}

std::int64_t wide_held(const RegisterProgram& program, const RegisterProgram::Part& part) {
  constexpr std::int64_t of_vector = 8;              // registers of a vector's values on their way
  constexpr std::int64_t selected = 8, another = 8;  // columns a register: of choices; of a further factor that waits
  std::int64_t held = 0;
  for (const SideValue& vector : side_values(program, part, Side::columns)) held += vector.is_start ? 0 : of_vector;
  const std::int64_t sums = std::ranges::count(part.kinds[0].steps, RegisterStep::Kind::sum, &RegisterStep::kind);
  if (sums_follow(part))
    held += wide_words(program) * sums + (sums > 1 ? (sums - 1) * program.columns / another : 0);
  else if (part.kinds.size() > 1)
    held += program.columns / selected;
  return held;
}

std::int64_t wide_tile_bytes(const RegisterProgram& program) {
  std::int64_t bytes = 0;
  for (const auto& part : program.parts)
    if (part.over_columns) bytes = std::max(bytes, wide_part(program, part).bytes);
  return bytes;
}

std::int64_t wide_bytes(const RegisterProgram& program) {
  std::int64_t bytes = wide_tile_bytes(program) + wide_barrier_bytes;
  for (const auto& part : program.parts)
    if (part.over_columns) bytes += wide_barrier_bytes * static_cast<std::int64_t>(wide_part(program, part).barriers());
  return bytes;
}

}  // namespace heed
