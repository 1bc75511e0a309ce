// Arithmetic of whole numbers and intervals of them.
#pragma once
#include <cstdint>
#include <limits>

#include "ir/graph.h"

namespace heed {

// The whole number of times that n > 0 fits into a, rounded down, and what is left.
inline std::int64_t floored(std::int64_t a, std::int64_t n) { return a / n - (a % n < 0 ? 1 : 0); }
inline std::int64_t floored_remainder(std::int64_t a, std::int64_t n) { return a - n * floored(a, n); }

// The number of pieces of n > 0 that a >= 0 takes, and the multiple of n that they come to.
inline std::int64_t ceil_divide(std::int64_t a, std::int64_t n) { return (a + n - 1) / n; }
inline std::int64_t round_up(std::int64_t a, std::int64_t n) { return ceil_divide(a, n) * n; }

// What an element of the type can be; of 64 bits, and of floating types cast to an integer, everything.
inline Interval range_of(DType dtype) {
  switch (dtype) {
    case DType::i32:
      return {std::numeric_limits<std::int32_t>::min(), std::numeric_limits<std::int32_t>::max()};
    case DType::i8:
      return {std::numeric_limits<std::int8_t>::min(), std::numeric_limits<std::int8_t>::max()};
    case DType::u8:
      return {0, std::numeric_limits<std::uint8_t>::max()};
    case DType::boolean:
      return {0, 1};
    default:
      return {std::numeric_limits<std::int64_t>::min(), std::numeric_limits<std::int64_t>::max()};
  }
}

}  // namespace heed
