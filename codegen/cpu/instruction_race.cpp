// Rounds of trips, and the vectors of f32 that other instructions have to beat.
#include "codegen/cpu/instruction_race.h"

#include <algorithm>
#include <chrono>
#include <limits>

namespace heed {

double seconds_of_trip(void (*loop)(long trips)) {
  constexpr int rounds = 9, trips = 500;
  double least = std::numeric_limits<double>::infinity();
  for (int round = 0; round < rounds; ++round) {
    auto begin = std::chrono::steady_clock::now();
    loop(trips);
    least = std::min(least, std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
  }
  return least / trips;
}

#if defined(__x86_64__)

void multiply_factors(long trips) {
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

#endif

}  // namespace heed
