// Times independent sums in registers: of pairs, and of single factors. In assembly, so that no setting of the compiler decides.
#include "codegen/cpu/pair_speed.h"

#include "codegen/cpu/instruction_race.h"

namespace heed {

#if defined(__x86_64__)

namespace {

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

}  // namespace

bool pairs_are_faster() { return must_gain * seconds_of_trip(multiply_pairs) < 2 * seconds_of_trip(multiply_factors); }

#else

bool pairs_are_faster() { return false; }

#endif

}  // namespace heed
