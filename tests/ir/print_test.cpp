// The flat form of small graphs, word for word.
#include "ir/print.h"

#include <gtest/gtest.h>

#include <array>
#include <limits>

#include "ir/algebra.h"
#include "ir/function.h"

namespace heed {
namespace {

class Print : public testing::Test {
 protected:
  Expr at(ArrayRef array, std::initializer_list<Expr> indices) { return read(array, std::span(indices.begin(), indices.size())); }
  AxisRef axis(std::int64_t size) { return fresh_axis(arena, size); }
  ArrayRef given(std::string name, std::vector<std::int64_t> shape, DType dtype = DType::f32,
                 GraphInput::Role role = GraphInput::Role::data) {
    ArrayRef array = input(arena, std::move(name), std::move(shape), dtype);
    graph.inputs.push_back({role, array});
    return array;
  }
  Graph graph{.arena = std::make_shared<Arena>(), .name = "f", .is_function = true};
  Arena& arena = *graph.arena;
};

TEST_F(Print, ExpressionsWithAxes) {
  ArrayRef x = given("x", {4, 8}), w = given("w", {8, 5}), ids = given("ids", {4}, DType::i32);
  AxisRef i = axis(4), j = axis(5), k = axis(8);
  Expr product = sum(std::array{k}, multiply(at(x, {value(i), value(k)}), at(w, {value(k), value(j)})));
  Expr masked = select(at_least(value(i), value(j)), scale(0.125, product), real(arena, -std::numeric_limits<double>::infinity()));
  ArrayRef s = define(std::array{i, j}, masked, DType::f32, "s");
  ArrayRef y = define(std::array{i}, at(x, {remainder(at(ids, {value(i)}), 4), floor_divide(value(i), 2)}), DType::f32, "y");
  graph.outputs = {{"s", s}, {"y", y}};
  EXPECT_EQ(print(graph),
            "fn f(x: f32[4, 8], w: f32[8, 5], ids: i32[4]) -> (s: f32[4, 5], y: f32[4]) {\n"
            "  s: f32[i: 4, j: 5] = where(i >= j, 0.125 * sum[k: 8](w[k, j] * x[i, k]), -inf)\n"
            "  y: f32[i: 4] = x[ids[i] % 4, i // 2]\n"
            "  return s, y\n"
            "}\n");
}

TEST_F(Print, PartsUsedTwiceHaveANameWhereTheirAxesAre) {
  ArrayRef x = given("x", {4, 8});
  AxisRef i = axis(4), k = axis(8);
  Expr part = apply(functions::exp, {add(at(x, {value(i), value(k)}), real(arena, 0.33333))});
  Expr body = sum(std::array{k}, multiply(part, apply(*find_function("tanh"), {part})));
  graph.outputs = {{"out", define(std::array{i}, body, DType::f32, "y")}};
  EXPECT_EQ(print(graph),
            "fn f(x: f32[4, 8]) -> f32[4] {\n"
            "  y: f32[i: 4] = sum[j: 8](with(k * tanh(k), k = exp(x[i, j] + 0.33333)))\n"
            "  return y\n"
            "}\n");
}

TEST_F(Print, ParametersUpdatesAndGradients) {
  graph.is_function = false;
  graph.sizes = {{"B", 4}};
  ArrayRef x = given("x", {4}), seed = given("seed", {}, DType::i64, GraphInput::Role::seed),
           w = given("h.0.w", {4}, DType::f32, GraphInput::Role::parameter);
  AxisRef i = axis(4), k = axis(4);
  graph.inputs[2].initial = define(std::array{i}, apply(functions::random_uniform, {at(seed, {}), value(i)}), DType::f32);
  ArrayRef loss = define({}, sum(std::array{k}, power(multiply(at(x, {value(k)}), at(w, {value(k)})), 2)), DType::f32, "loss");
  ArrayRef gradient_of_w = gradient(loss, {w})[0];
  ArrayRef next = define(std::array{i}, subtract(at(w, {value(i)}), scale(0.5, at(gradient_of_w, {value(i)}))), DType::f32, "w");
  graph.outputs = {{"loss", loss}, {"w", next, w}};
  EXPECT_EQ(print(graph),
            "# sizes: B = 4\n"
            "model f(x: f32[4]) -> (loss: f32) {\n"
            "  param h.0.w: f32[i: 4] = random_uniform(seed, i)\n"
            "  loss: f32 = sum[i: 4](h.0.w[i] ** 2 * x[i] ** 2)\n"
            "  grad.h.0.w: f32[4] = grad(loss, h.0.w)\n"
            "  w: f32[i: 4] = h.0.w[i] - 0.5 * grad.h.0.w[i]\n"
            "  h.0.w := w\n"
            "  return loss\n"
            "}\n");
}

TEST_F(Print, RegionsAndScans) {
  ArrayRef xs = given("xs", {5, 3}), start = given("start", {3});
  AxisRef n = axis(3), m = axis(3);
  ArrayRef element = input(arena, "x", {3}, DType::f32), carried = input(arena, "h", {3}, DType::f32);
  ArrayRef next = define(std::array{n}, add(at(element, {value(n)}), apply(functions::exp, {at(carried, {value(n)})})), DType::f32, "next");
  ArrayRef all = scan(arena, {.length = 5,
                              .reverse = true,
                              .elements = {xs},
                              .element_inputs = {element},
                              .starts = {start},
                              .carried_inputs = {carried},
                              .yields = {next},
                              .next = {next}})[0];
  AxisRef t = axis(5);
  ArrayRef square = define(std::array{t, n}, power(at(all, {value(t), value(n)}), 2), DType::f32, "square");
  ArrayRef total = define(std::array{t}, sum(std::array{m}, at(square, {value(t), value(m)})), DType::f32, "total");
  graph.outputs = {{"out", total}};
  std::vector<Region> regions{{.locals = {square}, .outputs = {total}, .label = "sum of squares"}};
  EXPECT_EQ(print(graph, regions),
            "fn f(xs: f32[5, 3], start: f32[3]) -> f32[5] {\n"
            "  next_2: f32[5, 3], unused = reverse_scan(x in xs, h = start) {\n"
            "    next: f32[i: 3] = exp(h[i]) + x[i]\n"
            "    h = next\n"
            "    yield next\n"
            "  }\n"
            "  total: f32[5] = region(next_2) {  # sum of squares\n"
            "    square: f32[i: 5, j: 3] = next_2[i, j] ** 2\n"
            "    total: f32[i: 5] = sum[j: 3](square[i, j])\n"
            "    return total\n"
            "  }\n"
            "  return total\n"
            "}\n");
}

TEST_F(Print, NumbersReadBackExactly) {
  EXPECT_EQ(print(real(arena, 0.1)), "0.1");
  EXPECT_EQ(print(real(arena, 3)), "3.0");
  EXPECT_EQ(print(real(arena, 1e30)), "1e+30");
  EXPECT_EQ(print(real(arena, 1.0 / 3)), "0.3333333333333333");
  EXPECT_EQ(print(integer(arena, -3)), "-3");
}

}  // namespace
}  // namespace heed
