// Element types: names, sizes, and rounding to what each of them holds.
#include "ir/dtype.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

namespace heed {
namespace {

struct Record {
  DType dtype;
  std::string_view name;
  std::int64_t bytes;
  DType compute;
};
constexpr std::array<Record, 9> records{{
    {DType::f64, "f64", 8, DType::f64},
    {DType::f32, "f32", 4, DType::f32},
    {DType::f16, "f16", 2, DType::f32},
    {DType::bf16, "bf16", 2, DType::f32},
    {DType::i64, "i64", 8, DType::i64},
    {DType::i32, "i32", 4, DType::i64},
    {DType::i8, "i8", 1, DType::i64},
    {DType::u8, "u8", 1, DType::i64},
    {DType::boolean, "bool", 1, DType::boolean},
}};
const Record& record(DType dtype) { return records[static_cast<std::size_t>(dtype)]; }

// The nearest number of `bits` significant bits whose exponent is at least `least`; beyond `largest` it is infinite.
double round_binary(double value, int bits, int least, double largest) {
  if (value == 0 || !std::isfinite(value)) return value;
  double quantum = std::ldexp(1.0, std::max(std::ilogb(value), least) - (bits - 1));
  double rounded = std::nearbyint(value / quantum) * quantum;
  return std::abs(rounded) > largest ? std::copysign(std::numeric_limits<double>::infinity(), value) : std::copysign(rounded, value);
}

}  // namespace

std::string_view name_of(DType dtype) { return record(dtype).name; }

std::optional<DType> dtype_named(std::string_view name) {
  for (const Record& each : records)
    if (each.name == name) return each.dtype;
  return {};
}

std::int64_t byte_size(DType dtype) { return record(dtype).bytes; }
DType compute_type(DType dtype) { return record(dtype).compute; }
bool is_floating(DType dtype) { return dtype <= DType::bf16; }
bool is_half(DType dtype) { return dtype == DType::f16 || dtype == DType::bf16; }
bool is_integer(DType dtype) { return !is_floating(dtype) && dtype != DType::boolean; }

double round_to(DType dtype, double value) {
  switch (dtype) {
    case DType::f64:
      return value;
    case DType::f32:
      return static_cast<float>(value);
    case DType::f16:
      return round_binary(value, 11, -14, 65504);
    case DType::bf16:
      return round_binary(value, 8, -126, 0x1.fep127);
    case DType::boolean:
      return value != 0;
    default:
      return static_cast<double>(wrap_to(dtype, truncated(value)));
  }
}

std::int64_t truncated(double value) {
  if (std::isnan(value)) return 0;
  if (value >= 0x1p63) return std::numeric_limits<std::int64_t>::max();
  if (value < -0x1p63) return std::numeric_limits<std::int64_t>::min();
  return static_cast<std::int64_t>(value);
}

std::int64_t wrap_to(DType dtype, std::int64_t value) {
  switch (dtype) {
    case DType::i32:
      return static_cast<std::int32_t>(value);
    case DType::i8:
      return static_cast<std::int8_t>(value);
    case DType::u8:
      return static_cast<std::uint8_t>(value);
    case DType::boolean:
      return value != 0;
    default:
      return value;
  }
}

}  // namespace heed
