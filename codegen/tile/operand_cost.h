// What it costs to bring the operands of a product to its inner loop, in cycles of one core.
#pragma once
#include <cstdint>
#include <optional>

#include "codegen/cpu/target.h"
#include "codegen/tile/access.h"

namespace heed {

constexpr std::int64_t line_bytes = 64;  // of a cache

struct VectorCost {
  double cycles;     // of instructions, for a vector of useful values
  std::int64_t run;  // of cut_into_vectors
  bool is_scattered;
};

// The cost of values of x whose lanes lie along `axis`, cut into runs; 0: into none.
VectorCost vector_cost(Expr x, AxisRef axis, int lanes, std::int64_t run);

// The best of cutting the axis into no runs, or into those at whose ends its digits change.
VectorCost best_vector_cost(Expr x, AxisRef axis, int lanes);

// Lines that a cache of so many sets holds of runs of `lines` lines that begin `apart` lines from each other: they may share few sets.
std::int64_t lines_held(std::int64_t cache_bytes, std::int64_t sets, std::int64_t apart, std::int64_t lines);
constexpr std::int64_t level1_sets = 64;  // of every processor whose pages are 4 kB

// What an inner loop loses that reads an operand where it lies, as a part of its arithmetic: `steps` of them, `stride_bytes` apart, of
// which it uses `span_bytes` each; again for each tile.
double in_place_penalty(std::int64_t span_bytes, std::int64_t stride_bytes, std::int64_t steps, const Target& target);

}  // namespace heed
