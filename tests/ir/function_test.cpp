// Every record of a scalar function: its derivative against differences, its range, its values of integers.
#include "ir/function.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>

#include "ir/algebra.h"
#include "ir/evaluate.h"

namespace heed {
namespace {

constexpr std::int64_t points = 64;

// Arguments over the record's own interval, none at a kink or a step.
double argument(const ScalarFunction& function, int which, std::int64_t k) {
  double share = (static_cast<double>(k) + 0.37) / static_cast<double>(points);
  if (which == 1) share = std::fmod(share * 7 + 0.211, 1.0);
  return function.test_low + share * (function.test_high - function.test_low);
}

class Functions : public testing::TestWithParam<const ScalarFunction*> {};
std::vector<const ScalarFunction*> floating_functions() {
  std::vector<const ScalarFunction*> result;
  for (const ScalarFunction& function : scalar_functions())
    if (function.evaluate) result.push_back(&function);
  return result;
}
INSTANTIATE_TEST_SUITE_P(Records, Functions, testing::ValuesIn(floating_functions()),
                         [](const auto& info) { return std::string(info.param->name); });

TEST_P(Functions, DerivativesAreThoseOfDifferences) {
  const ScalarFunction& function = *GetParam();
  if (!function.derivative || &function == &functions::straight_through) return;
  Graph graph{.arena = std::make_shared<Arena>()};
  std::vector<Expr> arguments;
  std::map<std::string, Tensor> inputs;
  AxisRef i = fresh_axis(*graph.arena, points);
  for (int k = 0; k < function.arity; ++k) {
    std::string name = "x" + std::to_string(k);
    ArrayRef array = input(*graph.arena, name, {points}, DType::f64);
    graph.inputs.push_back({GraphInput::Role::data, array});
    arguments.push_back(read(array, std::array{value(i)}));
    Tensor& tensor = inputs[name] = Tensor(DType::f64, {points});
    for (std::int64_t n = 0; n < points; ++n) tensor.set(n, argument(function, k, n));
  }
  Expr result = heed::apply(function, std::span<const Expr>(arguments));
  for (int k = 0; k < function.arity; ++k)
    if (Expr slope = function.derivative(arguments, result, k))
      graph.outputs.push_back({"d" + std::to_string(k), define(std::array{i}, slope, DType::f64)});
  std::vector<Tensor> slopes = evaluate(graph, inputs);
  for (int k = 0; k < function.arity; ++k)
    for (std::int64_t n = 0; n < points; ++n) {
      auto moved = [&](double by) {
        std::vector<double> at;
        for (int m = 0; m < function.arity; ++m) at.push_back(argument(function, m, n) + (m == k ? by : 0));
        return function.evaluate(at);
      };
      double difference = (moved(1e-6) - moved(-1e-6)) / 2e-6;
      EXPECT_NEAR(slopes[static_cast<std::size_t>(k)].real(n), difference, 1e-5 * (1 + std::abs(difference)))
          << "argument " << k << ", point " << n;
    }
}

TEST_P(Functions, StayInTheirRange) {
  const ScalarFunction& function = *GetParam();
  for (std::int64_t n = 0; n < points; ++n) {
    std::vector<double> at;
    for (int k = 0; k < function.arity; ++k) at.push_back(argument(function, k, n));
    double result = function.evaluate(at);
    EXPECT_GE(result, function.low);
    EXPECT_LE(result, function.high);
  }
}

TEST(IntegerFunctions, RoundDownAsNumPyDoes) {
  auto value_of = [](const ScalarFunction& function, std::int64_t a, std::int64_t b) {
    return function.evaluate_integer(std::array{a, b});
  };
  constexpr std::int64_t lowest = std::numeric_limits<std::int64_t>::min();
  for (std::int64_t a : {-7, -6, -1, 0, 1, 6, 7})
    for (std::int64_t b : {-3, -2, -1, 1, 2, 3}) {
      auto expected = static_cast<std::int64_t>(std::floor(static_cast<double>(a) / static_cast<double>(b)));
      EXPECT_EQ(value_of(functions::floor_divide, a, b), expected) << a << " // " << b;
      EXPECT_EQ(value_of(functions::remainder, a, b), a - b * expected) << a << " % " << b;
      double quotient = functions::floor_divide.evaluate(std::array{double(a), double(b)});
      EXPECT_EQ(quotient, static_cast<double>(expected));
      EXPECT_EQ(functions::remainder.evaluate(std::array{double(a), double(b)}), static_cast<double>(a - b * expected));
    }
  EXPECT_EQ(value_of(functions::floor_divide, 5, 0), 0);
  EXPECT_EQ(value_of(functions::remainder, 5, 0), 0);
  EXPECT_EQ(value_of(functions::floor_divide, lowest, -1), lowest);
  EXPECT_EQ(value_of(functions::pow, 3, 4), 81);
  EXPECT_EQ(value_of(functions::pow, -1, -3), -1);
  EXPECT_EQ(value_of(functions::maximum, -4, 3), 3);
}

TEST(FloatingFunctions, HandleWhatIsNoNumber) {
  EXPECT_TRUE(std::isnan(functions::maximum.evaluate(std::array<double, 2>{NAN, 1})));
  EXPECT_TRUE(std::isnan(functions::maximum.evaluate(std::array{1.0, double(NAN)})));
  EXPECT_EQ(functions::reciprocal_or_zero.evaluate(std::array{0.0}), 0);
  EXPECT_EQ(find_function("round")->evaluate(std::array{2.5}), 2);
  EXPECT_EQ(find_function("no such function"), nullptr);
}

TEST(RandomUniform, LiesInItsRangeAndDependsOnBothArguments) {
  double total = 0;
  for (std::int64_t k = 0; k < 10000; ++k) {
    double number = functions::random_uniform.evaluate_integer_to_real(std::array<std::int64_t, 2>{7, k});
    ASSERT_GE(number, 0);
    ASSERT_LT(number, 1);
    total += number;
  }
  EXPECT_NEAR(total / 10000, 0.5, 0.02);
  EXPECT_NE(random_word(1, 0), random_word(2, 0));
  EXPECT_NE(random_word(std::int64_t{1} << 40, 0), random_word(0, 0));
}

}  // namespace
}  // namespace heed
