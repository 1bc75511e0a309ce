// Element types of arrays, and the types in which expressions are computed.
#pragma once
#include <cstdint>
#include <optional>
#include <string_view>

namespace heed {

enum class DType : std::uint8_t { f64, f32, f16, bf16, i64, i32, i8, u8, boolean };

std::string_view name_of(DType dtype);  // "f32"; boolean is "bool"
std::optional<DType> dtype_named(std::string_view name);
std::int64_t byte_size(DType dtype);
bool is_floating(DType dtype);
bool is_half(DType dtype);     // f16 or bf16
bool is_integer(DType dtype);  // not boolean

// Expressions are computed in f64, f32, i64 or boolean; other types exist where values are stored or explicitly cast.
// Integers are computed in 64 bits and wrap to their type where they are stored; f16 and bf16 are computed in f32.
DType compute_type(DType dtype);

// The value nearest to `value` that `dtype` holds (integers wrap, floating values round to even).
double round_to(DType dtype, double value);
std::int64_t wrap_to(DType dtype, std::int64_t value);
// A floating value cast to an integer: towards zero; beyond i64 its nearest limit, NaN is 0. Then it wraps to the type it is cast to.
std::int64_t truncated(double value);

}  // namespace heed
