// The counter-based random words behind `random_uniform`.
#include "ir/function.h"

namespace heed {

std::uint32_t random_word(std::int64_t key, std::int64_t index) {
  constexpr std::uint64_t multiplier = 0xD256D193;
  constexpr std::uint32_t increment = 0x9E3779B9;
  auto low = static_cast<std::uint32_t>(index);
  auto high = static_cast<std::uint32_t>((static_cast<std::uint64_t>(index) ^ static_cast<std::uint64_t>(key)) >> 32);
  auto word = static_cast<std::uint32_t>(key);
  for (int round = 0; round < 10; ++round, word += increment) {
    std::uint64_t wide = multiplier * low;
    low = static_cast<std::uint32_t>(wide >> 32) ^ word ^ high;
    high = static_cast<std::uint32_t>(wide);
  }
  return low;
}

}  // namespace heed
