// Element types: every value of the small ones there and back, rounding to even, shapes that are too large.
#include "runtime/tensor.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "input_error.h"

namespace heed {
namespace {

template <typename From, typename To>
To converted(const char* from, From value, const char* to) {
  To result{};
  convert_elements(from, reinterpret_cast<const std::byte*>(&value), to, reinterpret_cast<std::byte*>(&result), 1);
  return result;
}

TEST(Tensor, HalvesThereAndBack) {
  for (const char* type : {"f16", "bf16"}) {
    for (int bits = 0; bits < 65536; ++bits) {
      const auto value = converted<std::uint16_t, double>(type, static_cast<std::uint16_t>(bits), "f64");
      const auto back = converted<double, std::uint16_t>("f64", value, type);
      if (std::isnan(value)) {
        EXPECT_TRUE(std::isnan(floating_at(type, reinterpret_cast<const std::byte*>(&back))));
      } else {
        ASSERT_EQ(back, bits) << type << " " << value;
      }
    }
  }
}

TEST(Tensor, RoundsToEven) {
  const auto half = [](double value) { return converted<double, std::uint16_t>("f64", value, "f16"); };
  EXPECT_EQ(half(1.0 + 0x1p-11), 0x3c00);            // halfway: down to even
  EXPECT_EQ(half(1.0 + 3 * 0x1p-11), 0x3c02);        // halfway: up to even
  EXPECT_EQ(half(1.0 + 0x1p-11 + 0x1p-40), 0x3c01);  // just above
  EXPECT_EQ(half(65519.9), 0x7bff);
  EXPECT_EQ(half(65520), 0x7c00);
  EXPECT_EQ(half(0x1p-25), 0);
  EXPECT_EQ(half(0x1.8p-25), 1);
  EXPECT_EQ(half(-INFINITY), 0xfc00);
  const auto bfloat = [](double value) { return converted<double, std::uint16_t>("f64", value, "bf16"); };
  EXPECT_EQ(bfloat(1.0 + 0x1p-8), 0x3f80);
  EXPECT_EQ(bfloat(1.0 + 3 * 0x1p-8), 0x3f82);
  EXPECT_EQ(bfloat(1.0 + 0x1p-8 + 0x1p-50), 0x3f81);  // f32 in between must not round twice
  EXPECT_EQ(bfloat(-1.0 - 0x1p-8 - 0x1p-50), 0xbf81);
}

TEST(Tensor, IntegersWrapAndFloatsAreCut) {
  EXPECT_EQ((converted<std::int32_t, std::int8_t>("i32", 300, "i8")), 44);
  EXPECT_EQ((converted<double, std::int32_t>("f64", -2.9, "i32")), -2);
  EXPECT_EQ((converted<double, std::uint8_t>("f64", 0.5, "bool")), 1);
  EXPECT_EQ((converted<std::uint8_t, float>("u8", 255, "f32")), 255.0F);
  EXPECT_EQ((converted<std::int64_t, std::uint8_t>("i64", -7, "bool")), 1);
}

TEST(Tensor, ShapesThatAreTooLarge) {
  EXPECT_THROW((TensorType{"f32", {std::int64_t{1} << 40, std::int64_t{1} << 40}}.bytes()), InputError);
  EXPECT_THROW((TensorType{"f32", {std::int64_t{1} << 61}}.bytes()), InputError);
  EXPECT_EQ((TensorType{"f32", {3, 0}}.bytes()), 0);
  EXPECT_EQ((TensorType{"f64", {}}.bytes()), 8);
}

}  // namespace
}  // namespace heed
