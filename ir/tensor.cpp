// Elements of tensors, type by type.
#include "ir/tensor.h"

#include <bit>
#include <cmath>
#include <cstring>

namespace heed {
namespace {

template <class T>
T load(const std::byte* from) {
  T value;
  std::memcpy(&value, from, sizeof(T));
  return value;
}
template <class T>
void store(std::byte* to, T value) {
  std::memcpy(to, &value, sizeof(T));
}

double from_half(std::uint16_t bits) {
  int exponent = bits >> 10 & 31, fraction = bits & 1023;
  double size = exponent == 31  ? (fraction ? NAN : INFINITY)
                : exponent == 0 ? std::ldexp(fraction, -24)
                                : std::ldexp(1024 + fraction, exponent - 25);
  return bits >> 15 ? -size : size;
}

std::uint16_t to_half(double value) {
  std::uint16_t sign = std::signbit(value) ? 0x8000 : 0;
  if (std::isnan(value)) return sign | 0x7e00;
  double size = std::abs(round_to(DType::f16, value));
  if (std::isinf(size)) return sign | 0x7c00;
  if (size < 0x1p-14) return sign | static_cast<std::uint16_t>(std::ldexp(size, 24));
  int exponent = std::ilogb(size);
  return sign | static_cast<std::uint16_t>((exponent + 15) << 10 | (static_cast<int>(std::ldexp(size, 10 - exponent)) & 1023));
}

double from_brain(std::uint16_t bits) { return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16); }
std::uint16_t to_brain(double value) {
  if (std::isnan(value)) return 0x7fc0;
  return static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(static_cast<float>(round_to(DType::bf16, value))) >> 16);
}

}  // namespace

Tensor::Tensor(DType dtype, std::vector<std::int64_t> shape) : dtype(dtype), shape(std::move(shape)) {
  std::int64_t count = 1;
  for (std::int64_t size : this->shape) count *= size;
  bytes.resize(static_cast<std::size_t>(count * byte_size(dtype)));
}

double Tensor::real(std::int64_t index) const {
  const std::byte* at = bytes.data() + index * byte_size(dtype);
  switch (dtype) {
    case DType::f64:
      return load<double>(at);
    case DType::f32:
      return load<float>(at);
    case DType::f16:
      return from_half(load<std::uint16_t>(at));
    case DType::bf16:
      return from_brain(load<std::uint16_t>(at));
    default:
      return static_cast<double>(integer(index));
  }
}

std::int64_t Tensor::integer(std::int64_t index) const {
  const std::byte* at = bytes.data() + index * byte_size(dtype);
  switch (dtype) {
    case DType::i64:
      return load<std::int64_t>(at);
    case DType::i32:
      return load<std::int32_t>(at);
    case DType::i8:
      return load<std::int8_t>(at);
    case DType::u8:
      return load<std::uint8_t>(at);
    case DType::boolean:
      return load<std::uint8_t>(at) != 0;
    default:
      return truncated(real(index));
  }
}

void Tensor::set(std::int64_t index, double value) {
  std::byte* at = bytes.data() + index * byte_size(dtype);
  switch (dtype) {
    case DType::f64:
      return store(at, value);
    case DType::f32:
      return store(at, static_cast<float>(value));
    case DType::f16:
      return store(at, to_half(value));
    case DType::bf16:
      return store(at, to_brain(value));
    case DType::boolean:
      return store(at, static_cast<std::uint8_t>(value != 0));
    default:
      return set(index, truncated(value));
  }
}

void Tensor::set(std::int64_t index, std::int64_t value) {
  std::byte* at = bytes.data() + index * byte_size(dtype);
  switch (dtype) {
    case DType::i64:
      return store(at, value);
    case DType::i32:
      return store(at, static_cast<std::int32_t>(value));
    case DType::i8:
      return store(at, static_cast<std::int8_t>(value));
    case DType::u8:
      return store(at, static_cast<std::uint8_t>(value));
    case DType::boolean:
      return store(at, static_cast<std::uint8_t>(value != 0));
    default:
      return set(index, static_cast<double>(value));
  }
}

}  // namespace heed
