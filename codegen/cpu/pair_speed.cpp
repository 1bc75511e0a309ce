// Times independent sums in registers: of pairs, and of single factors. In assembly, so that no setting of the compiler decides.
#include "codegen/cpu/pair_speed.h"

#include <algorithm>
#include <chrono>
#include <limits>

namespace heed {

#if defined(__x86_64__)

namespace {

constexpr int rounds = 9;           // the least time counts: whatever else runs makes it longer
constexpr double must_gain = 1.25;  // products do more than multiply

template <class Loop>
double least_seconds(Loop loop) {
  double least = std::numeric_limits<double>::infinity();
  for (int round = 0; round < rounds; ++round) {
    auto begin = std::chrono::steady_clock::now();
    loop(500);
    least = std::min(least, std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
  }
  return least;
}

void multiply_pairs(long trips) {
  __asm__ volatile(
      "vzeroall\n"
      "1:\n"
      ".irp sum, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11\n"
      "vdpbf16ps %%zmm14, %%zmm15, %%zmm\\sum\n"
      ".endr\n"
      "dec %0\n"
      "jnz 1b\n"
      "vzeroupper\n"
      : "+r"(trips)
      :
      : "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm14", "xmm15");
}

void multiply_singles(long trips) {
  __asm__ volatile(
      "vzeroall\n"
      "1:\n"
      ".irp sum, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11\n"
      "vfmadd231ps %%zmm14, %%zmm15, %%zmm\\sum\n"
      ".endr\n"
      "dec %0\n"
      "jnz 1b\n"
      "vzeroupper\n"
      : "+r"(trips)
      :
      : "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm14", "xmm15");
}

}  // namespace

bool pairs_are_faster() { return must_gain * least_seconds(multiply_pairs) < 2 * least_seconds(multiply_singles); }

#else

bool pairs_are_faster() { return false; }

#endif

}  // namespace heed
