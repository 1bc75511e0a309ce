// Values as the runtime holds them: element types by name, and tensors in memory of their own.
#include "runtime/tensor.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <stdexcept>

#include "input_error.h"

namespace heed {
namespace {

template <typename T>
T load(const std::byte* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}
template <typename T>
void store(std::byte* to, T value) {
  std::memcpy(to, &value, sizeof value);
}

float from_half(std::uint16_t bits) {
  const int exponent = (bits >> 10) & 31;
  const auto fraction = static_cast<float>(bits & 1023);
  const float sign = (bits & 0x8000) != 0 ? -1.0F : 1.0F;
  if (exponent == 31) return fraction == 0 ? sign * std::numeric_limits<float>::infinity() : std::numeric_limits<float>::quiet_NaN();
  if (exponent == 0) return sign * std::ldexp(fraction, -24);
  return sign * std::ldexp(1024 + fraction, exponent - 25);
}

std::uint16_t to_half(double value) {
  const std::uint16_t sign = std::signbit(value) ? 0x8000 : 0;
  if (std::isnan(value)) return 0x7e00;
  const double magnitude = std::abs(value);
  if (magnitude >= 65520) return sign | 0x7c00;  // Halfway between the largest half and the next power of two rounds up.
  if (magnitude == 0) return sign;
  int exponent = 0;
  std::frexp(magnitude, &exponent);
  const int unit = std::max(exponent - 11, -24);  // magnitude is a multiple of 2^unit after rounding
  const auto steps = static_cast<int>(std::nearbyint(std::ldexp(magnitude, -unit)));
  // Subnormal numbers count units of 2^-24; else the leading bit of `steps` adds one to the exponent, and so does a carry.
  return static_cast<std::uint16_t>(sign | (((unit + 24) << 10) + steps));
}

std::uint16_t to_bfloat(double value) {
  if (std::isnan(value)) return 0x7fc0;
  // Rounding to f32 first would round twice: keep what was lost as a sticky bit.
  auto single = static_cast<float>(value);
  auto bits = std::bit_cast<std::uint32_t>(single);
  if (std::isfinite(single) && static_cast<double>(single) != value) {
    const bool too_large = std::abs(static_cast<double>(single)) > std::abs(value);
    bits = (bits - (too_large ? 1 : 0)) | 1;
  }
  if (std::isinf(single)) return static_cast<std::uint16_t>(bits >> 16);
  return static_cast<std::uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

void store_floating(std::string_view dtype, std::byte* to, double value) {
  if (dtype == "f64") return store(to, value);
  if (dtype == "f32") return store(to, static_cast<float>(value));
  if (dtype == "f16") return store(to, to_half(value));
  store(to, to_bfloat(value));
}

void store_integer(std::string_view dtype, std::byte* to, std::int64_t value) {
  if (dtype == "bool") return store(to, static_cast<std::uint8_t>(value != 0));
  switch (element_type(dtype).bytes) {
    case 8:
      return store(to, value);
    case 4:
      return store(to, static_cast<std::uint32_t>(value));
    default:
      return store(to, static_cast<std::uint8_t>(value));
  }
}

std::int64_t cut(double value) {
  if (std::isnan(value)) return 0;
  if (value >= 0x1p63) return std::numeric_limits<std::int64_t>::max();
  if (value < -0x1p63) return std::numeric_limits<std::int64_t>::min();
  return static_cast<std::int64_t>(value);
}

}  // namespace

const std::vector<ElementType>& element_types() {
  static const std::vector<ElementType> types = {
      {"f64", 8, true, false, 0, 0},
      {"f32", 4, true, false, 0, 0},
      {"f16", 2, true, false, 0, 0},
      {"bf16", 2, true, false, 0, 0},
      {"i64", 8, false, true, std::numeric_limits<std::int64_t>::min(), std::numeric_limits<std::int64_t>::max()},
      {"i32", 4, false, true, std::numeric_limits<std::int32_t>::min(), std::numeric_limits<std::int32_t>::max()},
      {"i8", 1, false, true, -128, 127},
      {"u8", 1, false, true, 0, 255},
      {"bool", 1, false, false, 0, 1},
  };
  return types;
}

const ElementType* find_element_type(std::string_view name) {
  for (const auto& type : element_types()) {
    if (type.name == name) return &type;
  }
  return nullptr;
}

const ElementType& element_type(std::string_view name) {
  if (const auto* type = find_element_type(name)) return *type;
  throw std::logic_error(fmt::format("runtime: no element type is named \"{}\"", name));
}

std::int64_t element_count(const std::vector<std::int64_t>& shape) {
  std::int64_t count = 1;
  for (const std::int64_t size : shape) {
    if (size < 0 || __builtin_mul_overflow(count, size, &count))
      throw InputError(fmt::format("the shape [{}] is too large", fmt::join(shape, ", ")));
  }
  return count;
}

std::int64_t TensorType::bytes() const {
  std::int64_t bytes = 0;
  if (__builtin_mul_overflow(element_count(shape), element_type(dtype).bytes, &bytes)) throw InputError(text_of(*this) + " is too large");
  return bytes;
}

std::string text_of(const TensorType& type) {
  if (type.shape.empty()) return type.dtype;
  return fmt::format("{}[{}]", type.dtype, fmt::join(type.shape, ", "));
}

double floating_at(std::string_view dtype, const std::byte* from) {
  if (dtype == "f64") return load<double>(from);
  if (dtype == "f32") return load<float>(from);
  if (dtype == "f16") return from_half(load<std::uint16_t>(from));
  if (dtype == "bf16") return std::bit_cast<float>(std::uint32_t{load<std::uint16_t>(from)} << 16);
  return static_cast<double>(integer_at(dtype, from));
}

std::int64_t integer_at(std::string_view dtype, const std::byte* from) {
  if (dtype == "i64") return load<std::int64_t>(from);
  if (dtype == "i32") return load<std::int32_t>(from);
  if (dtype == "i8") return load<std::int8_t>(from);
  if (dtype == "bool") return load<std::uint8_t>(from) != 0 ? 1 : 0;
  return load<std::uint8_t>(from);
}

void convert_elements(std::string_view from_type, const std::byte* from, std::string_view to_type, std::byte* to, std::int64_t count) {
  const auto& source = element_type(from_type);
  const auto& target = element_type(to_type);
  if (from_type == to_type) {
    std::memcpy(to, from, static_cast<std::size_t>(count * source.bytes));
    return;
  }
  for (std::int64_t k = 0; k < count; ++k, from += source.bytes, to += target.bytes) {
    if (target.floating) {
      store_floating(to_type, to, floating_at(from_type, from));
    } else if (!source.floating) {
      store_integer(to_type, to, integer_at(from_type, from));
    } else {
      const double value = floating_at(from_type, from);
      store_integer(to_type, to, to_type == "bool" ? static_cast<std::int64_t>(value != 0) : cut(value));
    }
  }
}

HostTensor HostTensor::copy() const {
  HostTensor result(type);
  std::memcpy(result.data(), data(), static_cast<std::size_t>(type.bytes()));
  return result;
}

}  // namespace heed
