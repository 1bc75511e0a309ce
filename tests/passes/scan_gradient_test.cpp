// Gradients of scans, and of their gradients.
#include <gtest/gtest.h>

#include <algorithm>

#include "gradient_check.h"
#include "ir/algebra.h"
#include "notation.h"
#include "passes/rewrite.h"

namespace heed {
namespace {

ArrayRef hyperbolic_tangent(ArrayRef x) {
  return mapped({x}, [](std::vector<Expr> v) { return apply(*find_function("tanh"), {v[0]}); });
}

ArrayRef sum_of(ArrayRef a, ArrayRef b) {
  return mapped({a, b}, [](std::vector<Expr> v) { return add(v[0], v[1]); });
}

// h = tanh(x w + h u + b), from the last step if `reverse`. Results: every h, the last h.
std::vector<ArrayRef> recurrence(Arena& arena, const Inputs& in, bool reverse) {
  ArrayRef xs = in.at("x");
  ArrayRef x = input(arena, "x_t", {xs->shape[1], xs->shape[2]}, DType::f64);
  ArrayRef h = input(arena, "h", in.at("h0")->shape, DType::f64);
  ArrayRef next = hyperbolic_tangent(sum_of(linear_layer(x, in.at("w"), in.at("b")), linear_layer(h, in.at("u"))));
  return scan(arena, {.length = xs->shape[0],
                      .reverse = reverse,
                      .elements = {xs},
                      .element_inputs = {x},
                      .starts = {in.at("h0")},
                      .carried_inputs = {h},
                      .yields = {next},
                      .next = {next}});
}

const std::vector<TestInput> recurrent_inputs{{"x", {5, 2, 3}}, {"h0", {2, 4}}, {"w", {3, 4}}, {"u", {4, 4}}, {"b", {4}}};

TEST(Scan, EveryStepAndTheLast) {
  for (bool reverse : {false, true})
    check_gradient(recurrent_inputs, [&](Arena& arena, const Inputs& in) {
      std::vector<ArrayRef> results = recurrence(arena, in, reverse);
      return array(arena, {5, 2, 4}, [&](Indices i) { return add(at(results[0], i), power(at(results[1], {i[1], i[2]}), 2)); });
    });
}

TEST(Scan, OnlyTheLastValueIsUsed) {
  check_gradient(recurrent_inputs, [](Arena& arena, const Inputs& in) { return square(recurrence(arena, in, false)[1]); });
}

TEST(Scan, WeightsAreSummedOutsideAndScansRunOnce) {
  const CheckedGradient made =
      check_gradient(recurrent_inputs, [](Arena& arena, const Inputs& in) { return square(recurrence(arena, in, false)[0]); });
  std::vector<const Scan*> scans;
  for (ArrayRef array : all_arrays(outputs_of(made.finished)))
    if (array->scan && std::ranges::find(scans, array->scan) == scans.end()) scans.push_back(array->scan);
  ASSERT_EQ(scans.size(), 2U) << "one forward, one backward";
  const Scan& back = *(scans[0]->reverse ? scans[0] : scans[1]);
  EXPECT_EQ(back.next.size(), 1U) << "the derivative by h alone is carried";
}

TEST(Scan, CapturedElementwiseAndTwoCarriedValues) {
  check_gradient({{"x", {4, 3}}, {"a", {3}}, {"h0", {3}}, {"c0", {3}}}, [](Arena& arena, const Inputs& in) {
    ArrayRef x = input(arena, "x_t", {3}, DType::f64), h = input(arena, "h", {3}, DType::f64), c = input(arena, "c", {3}, DType::f64);
    ArrayRef next_c = mapped({c, h, x, in.at("a")}, [](std::vector<Expr> v) { return add(multiply(v[0], v[3]), multiply(v[1], v[2])); });
    ArrayRef next_h = mapped({next_c, x}, [](std::vector<Expr> v) { return multiply(apply(*find_function("tanh"), {v[0]}), v[1]); });
    std::vector<ArrayRef> results = scan(arena, {.length = 4,
                                                 .elements = {in.at("x")},
                                                 .element_inputs = {x},
                                                 .starts = {in.at("h0"), in.at("c0")},
                                                 .carried_inputs = {h, c},
                                                 .yields = {next_h},
                                                 .next = {next_h, next_c}});
    return array(arena, {4, 3}, [&](Indices i) { return add(at(results[0], i), at(results[2], {i[1]})); });
  });
}

TEST(Scan, CarriedCounterAndGather) {
  check_gradient({{"table", {6, 3}}, {"ids", {4}, 6}, {"h0", {3}}}, [](Arena& arena, const Inputs& in) {
    ArrayRef id = input(arena, "id", {}, DType::i64, Interval{0, 5}), h = input(arena, "h", {3}, DType::f64),
             n = input(arena, "n", {}, DType::i64);
    ArrayRef next = array(arena, {3}, [&](Indices i) {
      Expr weight = cast(DType::f64, at(n, {}));
      return add(multiply(at(in.at("table"), {at(id, {}), i[0]}), weight), multiply(at(h, i), at(h, i)));
    });
    ArrayRef count = array(arena, {}, [&](Indices) { return shift(at(n, {}), 1); });
    ArrayRef zero = array(arena, {}, [&](Indices) { return integer(arena, 1); });
    return scan(arena, {.length = 4,
                        .elements = {in.at("ids")},
                        .element_inputs = {id},
                        .starts = {in.at("h0"), zero},
                        .carried_inputs = {h, n},
                        .yields = {},
                        .next = {next, count}})[0];
  });
}

TEST(Scan, ScanInAScan) {
  check_gradient({{"x", {3, 4, 2}}, {"h0", {2}}, {"a", {2}}}, [](Arena& arena, const Inputs& in) {
    ArrayRef row = input(arena, "row", {4, 2}, DType::f64), h = input(arena, "h", {2}, DType::f64);
    ArrayRef x = input(arena, "x_t", {2}, DType::f64), g = input(arena, "g", {2}, DType::f64);
    ArrayRef next = mapped({g, x, in.at("a"), h}, [](std::vector<Expr> v) {
      return add(apply(*find_function("tanh"), {multiply(v[0], v[2])}), multiply(v[1], v[3]));
    });
    std::vector<ArrayRef> inner = scan(
        arena,
        {.length = 4, .elements = {row}, .element_inputs = {x}, .starts = {h}, .carried_inputs = {g}, .yields = {next}, .next = {next}});
    ArrayRef after = array(arena, {2}, [&](Indices i) {
      return add(at(inner[1], i), scale(0.1, summed(arena, {4}, [&](Indices t) { return power(at(inner[0], {t[0], i[0]}), 2); })));
    });
    return scan(arena, {.length = 3,
                        .elements = {in.at("x")},
                        .element_inputs = {row},
                        .starts = {in.at("h0")},
                        .carried_inputs = {h},
                        .yields = {after},
                        .next = {after}})[0];
  });
}

TEST(Scan, GradientOfGradient) {
  check_gradient({{"x", {3, 2, 2}}, {"h0", {2, 2}}, {"w", {2, 2}}, {"u", {2, 2}}, {"b", {2}}}, [](Arena& arena, const Inputs& in) {
    ArrayRef h = recurrence(arena, in, false)[0];
    ArrayRef target = array(arena, {}, [&](Indices) { return summed(arena, h->shape, [&](Indices k) { return power(at(h, k), 2); }); });
    return gradient(target, {in.at("u")})[0];
  });
}

TEST(Scan, GradientInsideABody) {
  check_gradient({{"x", {4, 3}}, {"w0", {3}}}, [](Arena& arena, const Inputs& in) {
    ArrayRef x = input(arena, "x_t", {3}, DType::f64), w = input(arena, "w", {3}, DType::f64);
    ArrayRef loss =
        array(arena, {}, [&](Indices) { return power(summed(arena, {3}, [&](Indices k) { return multiply(at(x, k), at(w, k)); }), 2); });
    ArrayRef slope = gradient(loss, {w})[0];
    ArrayRef next = mapped({w, slope}, [](std::vector<Expr> v) { return subtract(v[0], scale(0.1, v[1])); });
    return scan(arena, {.length = 4,
                        .elements = {in.at("x")},
                        .element_inputs = {x},
                        .starts = {in.at("w0")},
                        .carried_inputs = {w},
                        .yields = {},
                        .next = {next}})[0];
  });
}

}  // namespace
}  // namespace heed
