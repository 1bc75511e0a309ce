// Looks at how tiles lie in memory and at who meets the sums.
#include "passes/register_wide.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <tuple>

namespace heed {

namespace {

constexpr std::int64_t most_lines = 256;  // of a box
constexpr std::int64_t far = std::int64_t{1} << 31;

TileGrid grid_of(const RegisterTile& tile) {
  TileGrid grid{.offset = tile.address.constant};
  std::int64_t last = 0;
  bool is_plain = true;
  for (const IntegerTerm& term : tile.address.terms) {
    const Interval range = bounds(term.x);
    is_plain &= term.weight > 0 && range.low == 0 && range.high < far;
    grid.stride = std::gcd(grid.stride, term.weight);
    last += term.weight * range.high;
  }
  if (grid.stride > 0) grid.count = last / grid.stride + 1;
  if (!is_plain || grid.count >= far) return {.count = 0};
  for (const IntegerTerm& term : tile.address.terms) grid.number.terms.push_back({term.weight / grid.stride, term.x});
  return grid;
}

// The step that keeps a sum, if that is all that it does.
const RegisterStep* keeper_of(const RegisterStep& sum, const RegisterSteps& steps) {
  for (const RegisterStep& step : steps)
    if (step.kind == RegisterStep::Kind::keep && is_read_of(step.value, sum.into)) return &step;
  return nullptr;
}

bool is_left_alone(const RegisterStep& sum, const RegisterProgram::Part& part, const RegisterSteps& steps) {
  const RegisterStep* keeper = keeper_of(sum, steps);
  if (!keeper) return false;
  for (const RegisterStep& step : steps) {
    if (&step != keeper && (reads(step.value, sum.into) || reads(step.factor, sum.into))) return false;
    if (reads(step.factor, keeper->into) || (&step != &sum && reads(step.value, keeper->into))) return false;
  }
  return std::ranges::none_of(part.advance, [&](const RegisterStep& step) { return reads(step.value, keeper->into); });
}

// In their products, one by one.
bool are_alike(const RegisterSteps& one, const RegisterSteps& other) {
  auto products = [](const RegisterSteps& steps) {
    std::vector<std::tuple<RegisterStep::Kind, int, int>> found;
    for (const RegisterStep& step : steps)
      if (step.kind == RegisterStep::Kind::score || step.kind == RegisterStep::Kind::sum)
        found.emplace_back(step.kind, step.left, step.right);
    return found;
  };
  return products(one) == products(other);
}

}  // namespace

void set_grids(RegisterProgram& program) {
  for (const RegisterTile& tile : program.tiles) program.grids.push_back(grid_of(tile));
}

std::string not_wide(const RegisterProgram& program) {
  for (std::size_t k = 0; k < program.tiles.size(); ++k) {
    const RegisterTile& tile = program.tiles[k];
    if (program.grids[k].count == 0) return fmt::format("`{}` has no one stride for all its parts", tile.array->name);
    if (const std::int64_t lines = wide_tile(program, static_cast<int>(k)).lines; lines > most_lines)
      return fmt::format("a tile of `{}` has {} lines, boxes have {}", tile.array->name, lines, most_lines);
  }
  for (const auto& part : program.parts) {
    for (const auto& kind : part.kinds) {
      if (!are_alike(kind.steps, part.kinds[0].steps)) return "blocks differ in their products";
      for (const RegisterStep& step : kind.steps)
        if (step.kind == RegisterStep::Kind::sum && (!part.over_columns || !is_left_alone(step, part, kind.steps)))
          return "a sum over columns is met before the last column";
    }
  }
  return {};
}

}  // namespace heed
