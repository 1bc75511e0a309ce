// The constructors' canonical form: what must become one node, and near misses that must not.
#include "ir/algebra.h"

#include <gtest/gtest.h>

#include <array>

#include "ir/function.h"

namespace heed {
namespace {

class Algebra : public testing::Test {
 protected:
  Expr at(ArrayRef array, std::initializer_list<Expr> indices) { return read(array, std::span(indices.begin(), indices.size())); }
  ArrayRef matrix(std::string name, std::int64_t rows, std::int64_t columns) {
    return input(arena, std::move(name), {rows, columns}, DType::f32);
  }
  Arena arena;
};

TEST_F(Algebra, QuotientAndRemainderJoin) {
  AxisRef i = fresh_axis(arena, 24);
  Expr x = value(i);
  EXPECT_EQ(add(scale(std::int64_t{4}, floor_divide(x, 4)), remainder(x, 4)), x);
  EXPECT_NE(add(scale(std::int64_t{3}, floor_divide(x, 4)), remainder(x, 4)), x);
  Expr y = add(scale(std::int64_t{12}, x), integer(arena, 5));
  EXPECT_EQ(floor_divide(y, 12), x);
  EXPECT_EQ(remainder(y, 12), integer(arena, 5));
}

TEST_F(Algebra, BoundsDecideConditions) {
  Expr x = value(fresh_axis(arena, 8));
  EXPECT_EQ(at_least(x, integer(arena, 0)), boolean(arena, true));
  EXPECT_EQ(greater(x, integer(arena, 7)), boolean(arena, false));
  EXPECT_EQ(greater(x, integer(arena, 6))->op, Op::at_least_zero);
  EXPECT_EQ(both(at_least(x, integer(arena, 5)), at_least(integer(arena, 3), x)), boolean(arena, false));
}

TEST_F(Algebra, RangeGuardOfASplitAxisGuardsItsUpperPart) {
  AxisRef high = fresh_axis(arena, 4), low = fresh_axis(arena, 8);
  Expr x = add(scale(std::int64_t{8}, value(high)), value(low));
  EXPECT_EQ(greater(integer(arena, 16), x), greater(integer(arena, 2), value(high)));
}

TEST_F(Algebra, ArraysAreEqualWhateverTheirAxesWereCalled) {
  ArrayRef a = matrix("a", 5, 7), b = matrix("b", 7, 3);
  auto product_of = [&](bool other_order) {
    AxisRef unused = fresh_axis(arena, 9);
    (void)unused;
    AxisRef i = fresh_axis(arena, 5), k = fresh_axis(arena, 7), j = fresh_axis(arena, 3);
    Expr x = at(a, {value(i), value(k)}), y = at(b, {value(k), value(j)});
    Expr body = other_order ? multiply(y, x) : multiply(x, y);
    return define(std::array{i, j}, sum(std::array{k}, body), DType::f32);
  };
  EXPECT_EQ(product_of(false), product_of(true));
}

TEST_F(Algebra, FactorsAndConstantsLeaveASum) {
  ArrayRef a = matrix("a", 5, 7);
  AxisRef i = fresh_axis(arena, 5), k = fresh_axis(arena, 7);
  Expr x = at(a, {value(i), value(k)});
  Expr row = at(a, {value(i), integer(arena, 0)});
  Expr inside = sum(std::array{k}, scale(0.5, multiply(row, x)));
  Expr outside = scale(0.5, multiply(row, sum(std::array{k}, x)));
  EXPECT_EQ(inside, outside);
}

TEST_F(Algebra, OneHotUnderASumIsALookUp) {
  ArrayRef ids = input(arena, "ids", {5}, DType::i32, Interval{0, 6}), table = matrix("table", 7, 4);
  AxisRef b = fresh_axis(arena, 5), v = fresh_axis(arena, 7), n = fresh_axis(arena, 4);
  Expr id = at(ids, {value(b)});
  Expr hot = select(equal(value(v), id), real(arena, 1), real(arena, 0));
  Expr product = sum(std::array{v}, multiply(hot, at(table, {value(v), value(n)})));
  EXPECT_EQ(product, at(table, {id, value(n)}));
}

TEST_F(Algebra, MovementOpensAndArithmeticDoesNot) {
  ArrayRef a = matrix("a", 5, 7);
  AxisRef i = fresh_axis(arena, 7), j = fresh_axis(arena, 5);
  ArrayRef transposed = define(std::array{i, j}, at(a, {value(j), value(i)}), DType::f32);
  AxisRef p = fresh_axis(arena, 5), q = fresh_axis(arena, 7);
  EXPECT_EQ(at(transposed, {value(q), value(p)}), at(a, {value(p), value(q)}));
  EXPECT_EQ(define(std::array{p, q}, at(transposed, {value(q), value(p)}), DType::f32), a);
  ArrayRef doubled = define(std::array{i, j}, scale(2.0, at(a, {value(j), value(i)})), DType::f32);
  EXPECT_EQ(at(doubled, {value(q), value(p)})->array, doubled);
}

TEST_F(Algebra, SubstitutionCapturesNothing) {
  ArrayRef a = matrix("a", 6, 6);
  AxisRef i = fresh_axis(arena, 6), k = fresh_axis(arena, 6);
  Expr row = reduce(Reduction::maximum, std::array{k}, at(a, {value(i), value(k)}));
  Expr outer = sum(std::array{i}, multiply(row, row));
  ASSERT_EQ(outer->op, Op::reduction);
  Expr inner_axis = value(axis_of(arena, AxisKind::bound, 1, 6));
  Expr put = substitute(row, {{i, inner_axis}});
  EXPECT_EQ(put->free.size(), 1U);
  EXPECT_EQ(put->free[0]->key, 1);
  EXPECT_NE(put->axes[0]->key, 1);
}

TEST_F(Algebra, RebuildingIsAFixpoint) {
  ArrayRef x = input(arena, "x", {2, 3, 8, 8}, DType::f32), w = input(arena, "w", {4, 3, 3, 3}, DType::f32);
  AxisRef b = fresh_axis(arena, 2), o = fresh_axis(arena, 4), r = fresh_axis(arena, 8), c = fresh_axis(arena, 8);
  AxisRef n = fresh_axis(arena, 3), u = fresh_axis(arena, 3), v = fresh_axis(arena, 3);
  Expr y = shift(add(value(r), value(u)), -1), z = shift(add(value(c), value(v)), -1);
  Expr image = select(both(inside(y, 8), inside(z, 8)), at(x, {value(b), value(n), y, z}), real(arena, 0));
  Expr body = sum(std::array{n, u, v}, multiply(image, at(w, {value(o), value(n), value(u), value(v)})));
  ArrayRef convolution = define(std::array{b, o, r, c}, apply(functions::maximum, {body, real(arena, 0)}), DType::f32);
  for (Expr node : nodes_of(convolution->body)) EXPECT_EQ(rebuild(node, node->operands), node);
}

TEST_F(Algebra, SumOverConcatenationBecomesSumsOverRanges) {
  ArrayRef a = matrix("a", 3, 4), b = matrix("b", 3, 5);
  AxisRef i = fresh_axis(arena, 3), k = fresh_axis(arena, 9);
  Expr joined = select(greater(integer(arena, 4), value(k)), at(a, {value(i), value(k)}), at(b, {value(i), shift(value(k), -4)}));
  Expr result = sum(std::array{k}, joined);
  ASSERT_EQ(result->op, Op::linear);
  for (Expr part : result->operands) EXPECT_EQ(part->op, Op::reduction);
}

}  // namespace
}  // namespace heed
