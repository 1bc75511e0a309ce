// A table by chip, from NVIDIA's descriptions of its architectures.
#include "codegen/cuda/peak.h"

namespace heed {
namespace {

// Multiply-adds of a multiprocessor and clock: of f32, and of 16-bit factors on tensor cores.
struct Rate {
  int chip;
  double plain, half;
};
constexpr Rate rates[] = {{75, 64, 512},   {80, 64, 1024},   {86, 128, 512}, {89, 128, 512},
                          {90, 128, 2048}, {100, 128, 4096}, {120, 128, 512}};

}  // namespace

double peak_flop_per_second(int chip, int multiprocessors, double clock_hz, Precision precision) {
  Rate known{};  // of older chips nothing is known
  for (const Rate& rate : rates)
    if (rate.chip <= chip) known = rate;
  const double multiply_adds = precision == Precision::f32 ? known.plain : precision == Precision::tf32 ? known.half / 2 : known.half;
  return 2 * multiply_adds * multiprocessors * clock_hz;
}

double peak_bytes_per_second(double clock_hz, int bits) { return 2 * clock_hz * bits / 8; }

}  // namespace heed
