// Shifts that cancel have no gradient; near misses have.
#include "passes/cancel_shifts.h"

#include <gtest/gtest.h>

#include <cmath>

#include "gradient_check.h"
#include "notation.h"

namespace heed {
namespace {

Expr logarithm(Expr x) { return apply(functions::log, {x}); }
Expr larger(Expr a, Expr b) { return apply(functions::maximum, {a, b}); }
ArrayRef over_last(Reduction reduction, ArrayRef x) {
  return array(*x->arena, {x->shape[0]},
               [&](Indices i) { return reduced(*x->arena, reduction, {x->shape[1]}, [&](Indices k) { return at(x, {i[0], k[0]}); }); });
}
ArrayRef less(ArrayRef x, ArrayRef row) {
  return array(*x->arena, x->shape, [&](Indices i) { return subtract(at(x, i), at(row, {i[0]})); });
}
ArrayRef over(ArrayRef x, ArrayRef row) {
  return array(*x->arena, x->shape, [&](Indices i) { return divide(at(x, i), at(row, {i[0]})); });
}
ArrayRef exponentials(ArrayRef x) {
  return mapped({x}, [](std::vector<Expr> v) { return exponential(v[0]); });
}

// How many times the gradient needs the place of a maximum.
int places_needed(const std::function<ArrayRef(Arena&, ArrayRef)>& build) {
  const CheckedGradient made = check_gradient({{"x", {3, 5}}}, [&](Arena& arena, const Inputs& in) { return build(arena, in.at("x")); });
  return count_reductions(made.finished, Reduction::argmax);
}

TEST(CancelShifts, SoftmaxHoweverWritten) {
  EXPECT_EQ(places_needed([](Arena&, ArrayRef x) {
              ArrayRef e = exponentials(less(x, over_last(Reduction::maximum, x)));
              return over(e, over_last(Reduction::sum, e));
            }),
            0);
  EXPECT_EQ(places_needed([](Arena&, ArrayRef x) { return softmax(x, 1); }), 0);
  EXPECT_EQ(places_needed([](Arena& arena, ArrayRef x) {  // In one expression.
              return array(arena, {3, 5}, [&](Indices i) {
                Expr m = reduced(arena, Reduction::maximum, {5}, [&](Indices k) { return at(x, {i[0], k[0]}); });
                Expr total = summed(arena, {5}, [&](Indices k) { return exponential(subtract(at(x, {i[0], k[0]}), m)); });
                return divide(exponential(subtract(at(x, i), m)), total);
              });
            }),
            0);
}

TEST(CancelShifts, LogSoftmaxAndLogSumOfExponentials) {
  EXPECT_EQ(places_needed([](Arena&, ArrayRef x) {
              ArrayRef shifted = less(x, over_last(Reduction::maximum, x));
              ArrayRef total = over_last(Reduction::sum, exponentials(shifted));
              return less(shifted, mapped({total}, [](std::vector<Expr> v) { return logarithm(v[0]); }));
            }),
            0);
  EXPECT_EQ(places_needed([](Arena&, ArrayRef x) {
              ArrayRef m = over_last(Reduction::maximum, x);
              ArrayRef total = over_last(Reduction::sum, exponentials(less(x, m)));
              return mapped({total, m}, [](std::vector<Expr> v) { return add(logarithm(v[0]), v[1]); });
            }),
            0);
}

TEST(CancelShifts, MaskedAndTwiceNormalised) {
  EXPECT_EQ(places_needed([](Arena& arena, ArrayRef x) {
              return softmax(
                  array(arena, {3, 5}, [&](Indices i) { return select(at_least(i[0], i[1]), at(x, i), number(at(x, i), -INFINITY)); }), 1);
            }),
            0);
  EXPECT_EQ(places_needed([](Arena&, ArrayRef x) {
              ArrayRef p = softmax(x, 1);
              return over(square(p), over_last(Reduction::sum, square(p)));
            }),
            0);
}

TEST(CancelShifts, NearMisses) {
  EXPECT_EQ(places_needed([](Arena&, ArrayRef x) { return exponentials(less(x, over_last(Reduction::maximum, x))); }), 1)
      << "no normaliser";
  EXPECT_EQ(places_needed([](Arena&, ArrayRef x) {
              ArrayRef e = exponentials(less(x, over_last(Reduction::maximum, x)));
              ArrayRef total = over_last(Reduction::sum, e);
              return over(e, mapped({total}, [](std::vector<Expr> v) { return add(v[0], number(v[0], 1)); }));
            }),
            1)
      << "normaliser 1 + sum";
  EXPECT_EQ(places_needed([](Arena&, ArrayRef x) {
              ArrayRef m = over_last(Reduction::maximum, x);
              ArrayRef e = exponentials(less(x, m));
              ArrayRef p = over(e, over_last(Reduction::sum, e));
              return array(*x->arena, {3, 5}, [&](Indices i) { return multiply(at(p, i), at(m, {i[0]})); });
            }),
            1)
      << "the maximum is used besides";
  EXPECT_EQ(places_needed([](Arena&, ArrayRef x) {
              ArrayRef m = over_last(Reduction::maximum, x);
              ArrayRef e = exponentials(less(x, m));
              ArrayRef cut = array(*x->arena, {3, 5}, [&](Indices i) { return larger(at(e, i), number(at(e, i), 0.5)); });
              return over(cut, over_last(Reduction::sum, cut));
            }),
            1)
      << "compared with a constant";
  EXPECT_EQ(places_needed([](Arena& arena, ArrayRef x) {  // Each row is shifted by the maximum of another.
              ArrayRef m = over_last(Reduction::maximum, x);
              ArrayRef e = array(arena, {3, 5}, [&](Indices i) {
                return exponential(subtract(at(x, i), at(m, {shift(scale(std::int64_t{-1}, i[0]), 2)})));
              });
              ArrayRef total = over_last(Reduction::sum, exponentials(less(x, m)));
              return over(e, total);
            }),
            1);
}

}  // namespace
}  // namespace heed
