// The processor says what it has, the system what it keeps (XCR0), and Linux wants to be asked before the first use. Then a race in
// assembly, so that no setting of the compiler decides: a tile of four registers of sums, with its operands' loads, against vectors.
#include "codegen/cpu/matrix_use.h"

#if defined(__x86_64__) && defined(__linux__)

#include <cpuid.h>
#include <fmt/format.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>

#include "codegen/cpu/instruction_race.h"

namespace heed {
namespace {

constexpr int matrix_data = 18;             // number of the registers' state; 17 is their configuration
constexpr int request_permission = 0x1023;  // ARCH_REQ_XCOMP_PERM

bool has_bit(unsigned word, int bit) { return (word >> bit & 1U) != 0; }

// Why there are no registers; empty: there are.
std::string why_none() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  const bool has_matrices = __get_cpuid_count(7, 0, &a, &b, &c, &d) != 0 && has_bit(d, 24) && has_bit(d, 22);
  if (!has_matrices) return "the processor has none, or a hypervisor hides them";
  const bool tells_saved = __get_cpuid(1, &a, &b, &c, &d) != 0 && has_bit(c, 27);
  unsigned low = 0, high = 0;
  if (tells_saved) __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  if (!has_bit(low, matrix_data - 1) || !has_bit(low, matrix_data)) return "the system does not save their registers";
  if (syscall(SYS_arch_prctl, request_permission, matrix_data) != 0)
    return fmt::format("the system refuses their registers to this process: {}", std::strerror(errno));
  return "";
}

struct alignas(64) Configuration {
  std::uint8_t palette = 1, start_row = 0, reserved[14] = {};
  std::uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  std::uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};
static_assert(sizeof(Configuration) == 64);

// A trip is one step of 2 x 2 registers of sums, each of 16 x 16 x 16 pairs.
void multiply_matrices(long trips) {
  const Configuration configuration;
  alignas(64) static const std::array<std::uint8_t, 1024> operand{};
  __asm__ volatile(
      "ldtilecfg %1\n"
      "1:\n"
      "tileloadd (%2,%3,1), %%tmm4\n"
      "tileloadd (%2,%3,1), %%tmm6\n"
      "tdpbf16ps %%tmm6, %%tmm4, %%tmm0\n"
      "tileloadd (%2,%3,1), %%tmm5\n"
      "tdpbf16ps %%tmm6, %%tmm5, %%tmm1\n"
      "tileloadd (%2,%3,1), %%tmm7\n"
      "tdpbf16ps %%tmm7, %%tmm4, %%tmm2\n"
      "tdpbf16ps %%tmm7, %%tmm5, %%tmm3\n"
      "dec %0\n"
      "jnz 1b\n"
      "tilerelease\n"
      : "+r"(trips)
      : "m"(configuration), "r"(operand.data()), "r"(64L)
      : "cc", "memory");
}

MatrixUse find_use() {
  MatrixUse use{.why_not = why_none()};
  use.is_allowed = use.why_not.empty();
  if (!use.is_allowed) return use;
  // For as much as 16 x 16 x 16 pairs: 2 * 4096 factors.
  const double by_matrices = seconds_of_trip(multiply_matrices) / 4, by_factors = seconds_of_trip(multiply_factors) * 8192 / (12 * 16);
  if (must_gain * by_matrices >= by_factors)
    use.why_not = fmt::format("they are not faster than vectors of f32 ({:.2g} times the speed)", by_factors / by_matrices);
  return use;
}

}  // namespace

const MatrixUse& matrix_use() {
  static const MatrixUse use = find_use();
  return use;
}

}  // namespace heed

#else

namespace heed {

const MatrixUse& matrix_use() {
  static const MatrixUse use{.why_not = "this kind of processor has none"};
  return use;
}

}  // namespace heed

#endif
