// The reference evaluator against plain loops, and its rules: laziness, indices out of range, NaN, rounding, scans.
#include "ir/evaluate.h"

#include <gtest/gtest.h>

#include <array>
#include <chrono>
#include <cmath>
#include <limits>
#include <stdexcept>

#include "input_error.h"
#include "ir/algebra.h"
#include "ir/function.h"

namespace heed {
namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

class Evaluate : public testing::Test {
 protected:
  Expr at(ArrayRef array, std::initializer_list<Expr> indices) { return read(array, std::span(indices.begin(), indices.size())); }
  AxisRef axis(std::int64_t size) { return fresh_axis(*graph.arena, size); }
  ArrayRef given(std::string name, std::vector<std::int64_t> shape, DType dtype = DType::f32, std::optional<Interval> range = {}) {
    ArrayRef array = input(*graph.arena, name, shape, dtype, range);
    graph.inputs.push_back({GraphInput::Role::data, array});
    Tensor tensor(dtype, shape);
    for (std::int64_t k = 0; k < tensor.count(); ++k)
      if (is_floating(dtype))
        tensor.set(k, std::sin(1.7 * static_cast<double>(k) + static_cast<double>(name[0])));
      else
        tensor.set(k, k);
    inputs[name] = tensor;
    return array;
  }
  Tensor value_of(ArrayRef array, EvaluateOptions options = {}) {
    graph.outputs = {{"out", array}};
    return evaluate(graph, inputs, options).at(0);
  }
  void fill(const std::string& name, const std::vector<double>& values) {
    for (std::size_t k = 0; k < values.size(); ++k) inputs[name].set(static_cast<std::int64_t>(k), values[k]);
  }

  Graph graph{.arena = std::make_shared<Arena>()};
  Arena& arena = *graph.arena;
  std::map<std::string, Tensor> inputs;
};

TEST_F(Evaluate, ProductOfMatrices) {
  ArrayRef a = given("a", {5, 300}), b = given("b", {300, 7});
  AxisRef i = axis(5), j = axis(7), k = axis(300);
  Tensor c = value_of(
      define(std::array{i, j}, sum(std::array{k}, multiply(at(a, {value(i), value(k)}), at(b, {value(k), value(j)}))), DType::f32));
  for (int row = 0; row < 5; ++row)
    for (int column = 0; column < 7; ++column) {
      double expected = 0;
      for (int m = 0; m < 300; ++m) expected += inputs["a"].real(row * 300 + m) * inputs["b"].real(m * 7 + column);
      EXPECT_FLOAT_EQ(static_cast<float>(c.real(row * 7 + column)), static_cast<float>(expected));
    }
}

TEST_F(Evaluate, CausalSoftmaxInOneBody) {
  constexpr int n = 9;
  ArrayRef s = given("s", {n, n});
  AxisRef i = axis(n), j = axis(n), k = axis(n), l = axis(n);
  auto score = [&](AxisRef column) {
    return select(at_least(value(i), value(column)), at(s, {value(i), value(column)}), real(arena, -infinity));
  };
  Expr highest = reduce(Reduction::maximum, std::array{k}, score(k));
  auto weight = [&](AxisRef column) { return apply(functions::exp, {subtract(score(column), highest)}); };
  Tensor p = value_of(define(std::array{i, j}, divide(weight(j), sum(std::array{l}, weight(l))), DType::f32));
  for (int row = 0; row < n; ++row) {
    double total = 0;
    for (int column = 0; column <= row; ++column) total += std::exp(inputs["s"].real(row * n + column));
    for (int column = 0; column < n; ++column)
      EXPECT_NEAR(p.real(row * n + column), column <= row ? std::exp(inputs["s"].real(row * n + column)) / total : 0, 1e-7);
  }
}

TEST_F(Evaluate, SelectionIsLazy) {
  ArrayRef x = given("x", {4}), ids = given("ids", {6}, DType::i32);
  AxisRef n = axis(6);
  Expr before = shift(value(n), -1);
  Expr padded = select(inside(before, 4), at(x, {before}), real(arena, 0.5));
  Expr looked_up = select(inside(at(ids, {value(n)}), 4), at(x, {at(ids, {value(n)})}), real(arena, -1));
  Tensor y = value_of(define(std::array{n}, padded, DType::f32)), z = value_of(define(std::array{n}, looked_up, DType::f32));
  EXPECT_EQ(y.real(0), 0.5);
  EXPECT_EQ(y.real(4), inputs["x"].real(3));
  EXPECT_EQ(y.real(5), 0.5);
  EXPECT_EQ(z.real(3), inputs["x"].real(3));
  EXPECT_EQ(z.real(4), -1);
}

TEST_F(Evaluate, ReductionUnderAGuardReadsOnlyWhereItIsWanted) {
  ArrayRef x = given("x", {4, 3});
  AxisRef n = axis(6), k = axis(3);
  Expr row_sum = sum(std::array{k}, power(at(x, {shift(value(n), -1), value(k)}), 2));
  Tensor y = value_of(define(std::array{n}, select(inside(shift(value(n), -1), 4), row_sum, real(arena, 7)), DType::f32));
  EXPECT_EQ(y.real(0), 7);
  EXPECT_EQ(y.real(5), 7);
  EXPECT_NE(y.real(1), 7);
}

TEST_F(Evaluate, IndexFoundInDataOutOfRangeIsNamed) {
  arena.set_origin({.file = "model.heed", .line = 12});
  ArrayRef x = given("table", {4}), ids = given("ids", {6}, DType::i32);
  AxisRef n = axis(6);
  ArrayRef y = define(std::array{n}, at(x, {at(ids, {value(n)})}), DType::f32);
  try {
    value_of(y);
    FAIL();
  } catch (const InputError& error) {
    EXPECT_STREQ(error.what(), "index 4 is outside of dimension 0 of table, which has size 4 (model.heed:12)");
  }
}

TEST_F(Evaluate, LostGuardIsAFault) {
  ArrayRef x = given("x", {4});
  AxisRef n = axis(6);
  EXPECT_THROW(value_of(define(std::array{n}, at(x, {value(n)}), DType::f32)), std::logic_error);
}

TEST_F(Evaluate, WrongInputsAreNamed) {
  ArrayRef x = given("x", {2, 3}), ids = given("ids", {3}, DType::i32, Interval{0, 1});
  AxisRef n = axis(3);
  ArrayRef y = define(std::array{n}, at(x, {at(ids, {value(n)}), value(n)}), DType::f32);
  EXPECT_THROW(value_of(y), InputError);  // ids holds 2
  inputs.erase("x");
  EXPECT_THROW(value_of(y), InputError);
  inputs["x"] = Tensor(DType::f32, {3, 2});
  EXPECT_THROW(value_of(y), InputError);
}

TEST_F(Evaluate, MaximumNaNAndFirstIndex) {
  ArrayRef x = given("x", {3, 4});
  fill("x", {1, 3, 3, 2, 1, NAN, 5, NAN, -infinity, -infinity, -infinity, -infinity});
  AxisRef i = axis(3), j = axis(4);
  Tensor highest = value_of(define(std::array{i}, reduce(Reduction::maximum, std::array{j}, at(x, {value(i), value(j)})), DType::f32));
  Tensor index = value_of(define(std::array{i}, reduce(Reduction::argmax, std::array{j}, at(x, {value(i), value(j)})), DType::i64));
  EXPECT_EQ(highest.real(0), 3);
  EXPECT_TRUE(std::isnan(highest.real(1)));
  EXPECT_EQ(highest.real(2), -infinity);
  EXPECT_EQ(index.integer(0), 1);
  EXPECT_EQ(index.integer(1), 1);
  EXPECT_EQ(index.integer(2), 0);
}

TEST_F(Evaluate, OddSizesScalarsAndEmptyArrays) {
  for (std::int64_t size : {0, 1, 127, 128, 129, 300}) {
    ArrayRef x = given("x" + std::to_string(size), {2, size});
    AxisRef i = axis(2), j = axis(size), k = axis(size);
    Expr row = at(x, {value(i), value(j)});
    Tensor y = value_of(
        define(std::array{i, j}, subtract(row, reduce(Reduction::maximum, std::array{k}, at(x, {value(i), value(k)}))), DType::f32));
    ASSERT_EQ(y.count(), 2 * size);
    double highest = -infinity;
    for (std::int64_t n = 0; n < size; ++n) highest = std::max(highest, inputs[x->name].real(size + n));
    for (std::int64_t n = 0; n < size; ++n) EXPECT_EQ(y.real(size + n), static_cast<float>(inputs[x->name].real(size + n) - highest));
    Tensor total = value_of(define({}, sum(std::array{i, j}, row), DType::f32));
    double expected = 0;
    for (std::int64_t n = 0; n < 2 * size; ++n) expected += inputs[x->name].real(n);
    EXPECT_NEAR(total.real(0), expected, 1e-5);
  }
}

TEST_F(Evaluate, RoundsWhereStoredAndCast) {
  ArrayRef x = given("x", {1}, DType::f64);
  fill("x", {1.0 / 3});
  ArrayRef half = define({}, cast(DType::f16, at(x, {integer(arena, 0)})), DType::f16);
  EXPECT_EQ(value_of(half).real(0), round_to(DType::f16, 1.0 / 3));
  EXPECT_EQ(value_of(half, {EvaluateOptions::Precision::f64}).real(0), 1.0 / 3);
  ArrayRef byte = define({}, cast(DType::u8, scale(1000.0, at(x, {integer(arena, 0)}))), DType::u8);
  EXPECT_EQ(value_of(byte).integer(0), 333 - 256);
}

TEST_F(Evaluate, ScanFromBothEnds) {
  ArrayRef xs = given("xs", {5, 2}), start = given("start", {2});
  for (bool reverse : {false, true}) {
    ArrayRef element = input(arena, "x", {2}, DType::f32), carried = input(arena, "h", {2}, DType::f32);
    AxisRef n = axis(2), m = axis(2);
    // A captured array, and an inner one that is made anew at each step.
    ArrayRef doubled = define(std::array{m}, add(power(at(start, {value(m)}), 2), real(arena, 1)), DType::f32);
    ArrayRef squared = define(std::array{m}, power(at(element, {value(m)}), 2), DType::f32);
    ArrayRef next =
        define(std::array{n}, add(multiply(at(carried, {value(n)}), at(doubled, {value(n)})), at(squared, {value(n)})), DType::f32);
    auto results = scan(arena, {.length = 5,
                                .reverse = reverse,
                                .elements = {xs},
                                .element_inputs = {element},
                                .starts = {start},
                                .carried_inputs = {carried},
                                .yields = {next},
                                .next = {next}});
    Tensor all = value_of(results[0], {EvaluateOptions::Precision::f64}), last = value_of(results[1], {EvaluateOptions::Precision::f64});
    for (int k = 0; k < 2; ++k) {
      double first = inputs["start"].real(k), h = first;
      for (int trip = 0; trip < 5; ++trip) {
        int t = reverse ? 4 - trip : trip;
        h = h * (first * first + 1) + std::pow(inputs["xs"].real(t * 2 + k), 2);
        EXPECT_NEAR(all.real(t * 2 + k), h, 1e-12);
      }
      EXPECT_NEAR(last.real(k), h, 1e-12);
    }
  }
}

TEST_F(Evaluate, GradientsAreAFaultBeforeTheyAreExpanded) {
  ArrayRef x = given("x", {});
  EXPECT_THROW(value_of(gradient(x, {x})[0]), std::logic_error);
}

TEST_F(Evaluate, SumsOfProductsCostFewNanoseconds) {
  constexpr int n = 128;
  ArrayRef a = given("a", {n, n}), b = given("b", {n, n});
  AxisRef i = axis(n), j = axis(n), k = axis(n);
  ArrayRef c = define(std::array{i, j}, sum(std::array{k}, multiply(at(a, {value(i), value(k)}), at(b, {value(k), value(j)}))), DType::f32);
  auto begin = std::chrono::steady_clock::now();
  value_of(c);
  double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  RecordProperty("nanoseconds_an_element", std::to_string(seconds * 1e9 / (double{n} * n * n)));
  EXPECT_LT(seconds, 2) << "an unoptimised build on a busy machine stays far below this";
}

TEST(Random, WordsAreThoseOfPhilox) {
  // Known answers of Random123 for philox2x32-10: counter and key of zeros, and of ones.
  EXPECT_EQ(random_word(0, 0), 0xff1dae59u);
  // Counter words low(index), high(index) ^ high(key): all ones with the key 0xffffffff.
  EXPECT_EQ(random_word(0xffffffff, -1), 0x2c3f628bu);
}

TEST(Halves, EveryPatternSurvives) {
  for (DType dtype : {DType::f16, DType::bf16}) {
    Tensor all(dtype, {65536}), copy(dtype, {65536});
    for (int k = 0; k < 65536; ++k) all.bytes[2 * k] = std::byte(k & 255), all.bytes[2 * k + 1] = std::byte(k >> 8);
    for (int k = 0; k < 65536; ++k) {
      copy.set(k, all.real(k));
      if (std::isnan(all.real(k))) continue;
      ASSERT_EQ(copy.bytes[2 * k], all.bytes[2 * k]) << k;
      ASSERT_EQ(copy.bytes[2 * k + 1], all.bytes[2 * k + 1]) << k;
      ASSERT_EQ(round_to(dtype, all.real(k)), all.real(k));
    }
  }
  EXPECT_EQ(round_to(DType::f16, 65520), infinity);
  EXPECT_EQ(round_to(DType::f16, 65519), 65504);
  EXPECT_EQ(round_to(DType::f16, 2049), 2048);
}

}  // namespace
}  // namespace heed
