// Figures by the width of vectors: one core of a Sapphire Rapids class Xeon, with each level's instructions.
#include "tools/machines.h"

#include <algorithm>
#include <iterator>

namespace heed {
namespace {

struct Speed {
  int vector_bytes;
  bool has_fma;
  double flop_per_second, map_per_second, function_operations;
};
// Products of 1024^3; elementwise bodies and functions inside of blocks, which reach about a third of what they reach alone in the first
// cache.
constexpr Speed speeds[] = {
    {64, true, 150e9, 40e9, 12},
    {32, true, 78e9, 30e9, 14},
    {16, true, 50e9, 20e9, 14},  // not measured: half of the width, as far as the one above goes
    {16, false, 26e9, 11e9, 20},
};

}  // namespace

Machine machine_of(const Target& target) {
  const Speed* found = std::ranges::find_if(
      speeds, [&](const Speed& speed) { return target.vector_bytes >= speed.vector_bytes && target.has_fma == speed.has_fma; });
  const Speed& speed = found == std::end(speeds) ? *std::prev(found) : *found;
  Machine machine;
  machine.flop_per_second = speed.flop_per_second;
  machine.map_per_second = speed.map_per_second;
  machine.function_operations = speed.function_operations;
  machine.cache_bytes = static_cast<double>(target.level2_bytes) / 2;  // the other half for what streams through
  return machine;
}

Machine machine_of(const CudaTarget& target) {
  return gpu_machine({target.chip, target.shared_bytes, target.shared_of_multiprocessor, target.has_wide_products()});
}

}  // namespace heed
