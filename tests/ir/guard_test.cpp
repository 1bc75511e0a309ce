// What conditions are seen to say of indices.
#include "ir/guard.h"

#include <gtest/gtest.h>

#include <array>

#include "ir/algebra.h"

namespace heed {
namespace {

// 3 b + a >= 16 says 4 a + 9 b >= 48, whatever the terms are called; it says nothing of 4 a + 9 b >= 49.
TEST(Guard, ProofsDoNotDependOnTheOrderOfTerms) {
  for (bool swapped : {false, true}) {
    Arena arena;
    std::array<Expr, 2> values;
    for (bool second : {swapped, !swapped}) values[second] = value(fresh_axis(arena, second ? 9 : 3));
    const auto [a, b] = values;
    const std::array conditions = {at_least(add(scale(std::int64_t{3}, b), a), integer(arena, 16))};
    Expr index = add(scale(std::int64_t{4}, a), scale(std::int64_t{9}, b));
    EXPECT_TRUE(keeps_inside(conditions, shift(index, -48), 33)) << swapped;
    EXPECT_FALSE(keeps_inside(conditions, shift(index, -49), 33)) << swapped;
    EXPECT_FALSE(keeps_inside(conditions, shift(index, -48), 32)) << swapped;
  }
}

}  // namespace
}  // namespace heed
