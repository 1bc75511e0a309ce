// Gradients of what networks are made of, each against finite differences.
#include "passes/differentiate.h"

#include <gtest/gtest.h>

#include <cmath>

#include "gradient_check.h"
#include "notation.h"

namespace heed {
namespace {

Expr call(const char* name, Expr x) { return apply(*find_function(name), {x}); }
Expr guard(Expr condition, Expr x) { return select(condition, x, number(x, 0)); }
Expr to_real(Expr index) { return cast(DType::f64, index); }

void convolution_case(Convolution how, std::int64_t channels, std::int64_t group_channels, std::int64_t size) {
  const CheckedGradient made =
      check_gradient({{"x", {2, channels, size, size}}, {"w", {4, group_channels, 3, 3}}, {"b", {4}}},
                     [&](Arena&, const Inputs& in) { return convolution(in.at("x"), in.at("w"), in.at("b"), how); });
  EXPECT_GE(count_reductions(made.finished, Reduction::sum), 4);
}

TEST(Convolution, Padded) { convolution_case({.padding = 1}, 3, 3, 5); }
TEST(Convolution, Strided) { convolution_case({.stride = 2, .padding = 1}, 3, 3, 7); }
TEST(Convolution, Dilated) { convolution_case({.padding = 1, .dilation = 2}, 2, 2, 7); }
TEST(Convolution, StridedAndDilated) { convolution_case({.stride = 2, .padding = 2, .dilation = 2}, 2, 2, 7); }
TEST(Convolution, InGroups) { convolution_case({.padding = 1, .groups = 2}, 4, 2, 5); }

TEST(Pool, LargestAndMean) {
  for (Reduction reduction : {Reduction::maximum, Reduction::sum})
    for (auto [size, stride] : {std::pair{2, 2}, {3, 2}, {3, 1}})
      check_gradient({{"x", {1, 2, size == 3 ? 7 : 6, size == 3 ? 7 : 6}}},
                     [&](Arena&, const Inputs& in) { return pool(reduction, in.at("x"), size, stride); });
}

TEST(Layers, Embedding) {
  check_gradient({{"t", {7, 4}}, {"p", {9, 4}}, {"ids", {2, 5}, 7}}, [](Arena& arena, const Inputs& in) {
    ArrayRef rows = embedding(in.at("t"), in.at("ids"));
    return array(arena, {2, 5, 4}, [&](Indices i) { return add(at(rows, i), at(in.at("p"), {i[1], i[2]})); });
  });
}

TEST(Layers, Linear) {
  check_gradient({{"x", {2, 5, 4}}, {"w", {4, 6}}, {"b", {6}}},
                 [](Arena&, const Inputs& in) { return linear_layer(in.at("x"), in.at("w"), in.at("b")); });
}

TEST(Layers, LayerNorm) {
  check_gradient({{"x", {2, 5, 4}}, {"w", {4}}, {"b", {4}}},
                 [](Arena&, const Inputs& in) { return layer_norm(in.at("x"), in.at("w"), in.at("b")); });
}

TEST(Layers, Gelu) {
  check_gradient({{"x", {2, 5}}}, [](Arena&, const Inputs& in) { return gelu(in.at("x")); });
}

TEST(Layers, CrossEntropyHasNoGradientByItsShift) {
  const CheckedGradient made = check_gradient({{"z", {2, 5, 7}}, {"ids", {2, 5}, 7}}, [](Arena&, const Inputs& in) {
    return mean_of_all(cross_entropy(in.at("z"), in.at("ids")));
  });
  EXPECT_EQ(count_reductions(made.finished, Reduction::argmax), 0);
}

// --- movement: squared, so that the gradient depends on the values
void movement(std::vector<TestInput> inputs, const std::function<ArrayRef(Arena&, const Inputs&)>& move) {
  check_gradient(inputs, [&](Arena& arena, const Inputs& in) { return square(move(arena, in)); });
}

TEST(Movement, Concat) {
  movement({{"a", {3, 4}}, {"b", {3, 5}}}, [](Arena&, const Inputs& in) { return concat({in.at("a"), in.at("b"), in.at("a")}); });
}

TEST(Movement, ConcatThenLinear) {
  check_gradient({{"a", {3, 4}}, {"b", {3, 5}}, {"w", {9, 6}}},
                 [](Arena&, const Inputs& in) { return linear_layer(concat({in.at("a"), in.at("b")}), in.at("w")); });
}

TEST(Movement, Pad) {
  movement({{"a", {3, 4}}}, [](Arena&, const Inputs& in) { return pad(in.at("a"), 2, 1); });
  check_gradient({{"a", {3, 4}}, {"w", {7, 5}}}, [](Arena&, const Inputs& in) { return linear_layer(pad(in.at("a"), 2, 1), in.at("w")); });
}

TEST(Movement, ReverseAndStridedSlice) {
  movement({{"a", {3, 4}}}, [](Arena& arena, const Inputs& in) {
    return array(arena, {3, 4}, [&](Indices i) { return at(in.at("a"), {i[0], shift(scale(std::int64_t{-1}, i[1]), 3)}); });
  });
  movement({{"a", {3, 8}}}, [](Arena& arena, const Inputs& in) {
    return array(arena, {3, 3}, [&](Indices i) { return at(in.at("a"), {i[0], shift(scale(std::int64_t{3}, i[1]), 1)}); });
  });
}

TEST(Movement, Transpose) {
  movement({{"a", {3, 4, 5}}}, [](Arena&, const Inputs& in) { return transpose(in.at("a"), {2, 0, 1}); });
}

TEST(Movement, Reshape) {
  for (std::vector<std::int64_t> shape : {std::vector<std::int64_t>{3, 8}, {8, 3}, {24}, {2, 3, 4}})
    movement({{"a", {6, 4}}}, [&](Arena&, const Inputs& in) { return reshape(in.at("a"), shape); });
  for (auto [rows, columns] : {std::pair{3, 8}, {8, 3}})
    check_gradient({{"a", {6, 4}}, {"w", {columns, 5}}},
                   [&](Arena&, const Inputs& in) { return linear_layer(reshape(in.at("a"), {rows, columns}), in.at("w")); });
}

TEST(Movement, ReshapeThereAndBackIsNothing) {
  const CheckedGradient made =
      check_gradient({{"a", {6, 4}}}, [](Arena&, const Inputs& in) { return square(reshape(reshape(in.at("a"), {8, 3}), {6, 4})); });
  EXPECT_EQ(count_nodes(made.finished, Op::quotient) + count_nodes(made.finished, Op::remainder), 0);
}

TEST(Movement, HeadsAndBackAreNothing) {
  const CheckedGradient made =
      check_gradient({{"a", {2, 4, 6}}}, [](Arena&, const Inputs& in) { return square(merge_heads(split_heads(in.at("a"), 3))); });
  EXPECT_EQ(count_nodes(made.finished, Op::quotient) + count_nodes(made.finished, Op::remainder), 0);
}

TEST(Movement, OneHotIsAGather) {
  check_gradient({{"ids", {2, 5}, 7}, {"w", {7, 4}}}, [](Arena& arena, const Inputs& in) {
    ArrayRef one_hot = array(arena, {2, 5, 7}, [&](Indices i) {
      return select(equal(i[2], at(in.at("ids"), {i[0], i[1]})), real(arena, 1, DType::f64), real(arena, 0, DType::f64));
    });
    return linear_layer(one_hot, in.at("w"));
  });
}

TEST(Movement, CumulativeSum) {
  movement({{"a", {3, 6}}}, [](Arena& arena, const Inputs& in) {
    return array(arena, {3, 6}, [&](Indices i) {
      return summed(arena, {6}, [&](Indices k) { return guard(at_least(i[1], k[0]), at(in.at("a"), {i[0], k[0]})); });
    });
  });
}

TEST(Movement, RepeatTileDiagonalToeplitzRoll) {
  movement({{"a", {3, 4}}}, [](Arena& arena, const Inputs& in) {
    return array(arena, {3, 8}, [&](Indices i) { return at(in.at("a"), {i[0], floor_divide(i[1], 2)}); });
  });
  movement({{"a", {3, 4}}}, [](Arena& arena, const Inputs& in) {
    return array(arena, {3, 8}, [&](Indices i) { return at(in.at("a"), {i[0], remainder(i[1], 4)}); });
  });
  movement({{"a", {4, 4}}},
           [](Arena& arena, const Inputs& in) { return array(arena, {4}, [&](Indices i) { return at(in.at("a"), {i[0], i[0]}); }); });
  movement({{"a", {7}}}, [](Arena& arena, const Inputs& in) {
    return array(arena, {4, 4}, [&](Indices i) { return at(in.at("a"), {shift(subtract(i[0], i[1]), 3)}); });
  });
  movement({{"a", {3, 6}}}, [](Arena& arena, const Inputs& in) {
    return array(arena, {3, 6}, [&](Indices i) { return at(in.at("a"), {i[0], remainder(shift(i[1], 2), 6)}); });
  });
}

TEST(Movement, GuardedProduct) {
  movement({{"a", {3, 6}}, {"b", {3, 6}}}, [](Arena& arena, const Inputs& in) {
    return array(arena, {3, 6}, [&](Indices i) {
      Expr left = shift(i[1], -1);
      Expr product = multiply(multiply(at(in.at("a"), {i[0], left}), at(in.at("b"), {i[0], left})), exponential(at(in.at("a"), i)));
      return guard(at_least(i[1], integer(arena, 1)), product);
    });
  });
}

TEST(Movement, SlidingWindows) {
  check_gradient({{"a", {3, 8}}, {"b", {3, 8}}, {"w", {3, 4}}}, [](Arena& arena, const Inputs& in) {
    return array(arena, {3, 8, 4}, [&](Indices i) {
      return summed(arena, {3}, [&](Indices u) {
        Expr ahead = shift(add(i[1], u[0]), -1), behind = subtract(i[1], u[0]);
        Expr a = guard(inside(ahead, 8), at(in.at("a"), {i[0], ahead})), b = guard(inside(behind, 8), at(in.at("b"), {i[0], behind}));
        return multiply(multiply(a, b), at(in.at("w"), {u[0], i[2]}));
      });
    });
  });
}

TEST(Movement, GatherByData) {
  movement({{"a", {2, 7}}, {"ids", {2, 5}, 7}}, [](Arena& arena, const Inputs& in) {
    return array(arena, {2, 5}, [&](Indices i) { return at(in.at("a"), {i[0], at(in.at("ids"), i)}); });
  });
}

ArrayRef rotary(Arena& arena, ArrayRef x) {
  const std::int64_t half = x->shape[2] / 2;
  ArrayRef turned = array(arena, x->shape, [&](Indices i) {
    Expr low = at(x, {i[0], i[1], shift(i[2], half)}), high = at(x, {i[0], i[1], shift(i[2], -half)});
    return select(greater(integer(arena, half), i[2]), scale(-1.0, low), high);
  });
  auto angle = [&](Expr t, Expr c) {
    return multiply(to_real(t), exponential(scale(-std::log(10000.0) / static_cast<double>(half), to_real(remainder(c, half)))));
  };
  return array(arena, x->shape, [&](Indices i) {
    Expr a = angle(i[1], i[2]);
    return add(multiply(at(x, i), call("cos", a)), multiply(at(turned, i), call("sin", a)));
  });
}

TEST(Movement, Rotary) {
  movement({{"a", {2, 3, 6}}}, [](Arena& arena, const Inputs& in) { return rotary(arena, in.at("a")); });
  check_gradient({{"a", {2, 3, 6}}}, [](Arena& arena, const Inputs& in) {
    ArrayRef r = rotary(arena, in.at("a"));
    return matrix_product(r, transpose(r, {0, 2, 1}));
  });
}

// --- reductions and functions
TEST(Reductions, ProductWithZeros) {
  check_gradient({{"x", {3, 4}, 0, -1, 1}}, [](Arena& arena, const Inputs& in) {
    return array(arena, {3}, [&](Indices i) {
      return reduced(arena, Reduction::product, {4}, [&](Indices k) { return at(in.at("x"), {i[0], k[0]}); });
    });
  });
}

TEST(Reductions, MaximumOverTwoAxesAndItsIndex) {
  check_gradient({{"x", {3, 4, 5}}, {"w", {3, 5}}}, [](Arena& arena, const Inputs& in) {
    return array(arena, {3}, [&](Indices i) {
      return reduced(arena, Reduction::maximum, {4, 5},
                     [&](Indices k) { return multiply(at(in.at("x"), {i[0], k[0], k[1]}), at(in.at("w"), {i[0], k[1]})); });
    });
  });
}

TEST(Functions, MaximumAbsoluteValueAndPowers) {
  check_gradient({{"x", {5}}, {"y", {5}, 0, 0.2, 2}}, [](Arena&, const Inputs& in) {
    return mapped({in.at("x"), in.at("y")}, [](std::vector<Expr> v) {
      Expr largest = apply(functions::maximum, {v[0], scale(-1.0, v[0])});
      return add(multiply(largest, power(v[1], 1.5)), divide(v[0], add(v[1], number(v[1], 1))));
    });
  });
}

TEST(Functions, StoppedAndStraightThrough) {
  auto arena = std::make_shared<Arena>();
  ArrayRef x = input(*arena, "x", {3}, DType::f64);
  ArrayRef y = mapped({x}, [](std::vector<Expr> v) {
    return add(multiply(apply(functions::stop_gradient, {v[0]}), v[0]), apply(functions::straight_through, {power(v[0], 3), v[0]}));
  });
  ArrayRef target = array(*arena, {}, [&](Indices) { return summed(*arena, {3}, [&](Indices k) { return at(y, k); }); });
  Graph graph{arena, "test", false, {{GraphInput::Role::data, x}}, {{"dx", gradient(target, {x})[0]}}};
  ArrayRef derivative = differentiate(graph).outputs[0].array;
  ArrayRef expected = mapped({x}, [](std::vector<Expr> v) { return add(apply(functions::stop_gradient, {v[0]}), number(v[0], 1)); });
  EXPECT_EQ(derivative, expected);
}

TEST(Wrt, DefinitionsAndWhatHasNoInfluence) {
  check_gradient({{"x", {3, 4}}, {"unused", {2, 2}}}, [](Arena&, const Inputs& in) { return gelu(in.at("x")); });
  auto arena = std::make_shared<Arena>();
  ArrayRef x = input(*arena, "x", {4}, DType::f64);
  ArrayRef inner = square(x), outer = mapped({inner}, [](std::vector<Expr> v) { return power(v[0], 3); });
  ArrayRef target = array(*arena, {}, [&](Indices) { return summed(*arena, {4}, [&](Indices k) { return at(outer, k); }); });
  std::vector<ArrayRef> both = gradient(target, {inner, x});
  Graph graph{arena, "test", false, {{GraphInput::Role::data, x}}, {{"inner", both[0]}, {"x", both[1]}}};
  const Graph made = differentiate(graph);
  EXPECT_EQ(made.outputs[0].array, mapped({inner}, [](std::vector<Expr> v) { return scale(3.0, power(v[0], 2)); }));
}

TEST(GradientOfGradient, HessianTimesVector) {
  check_gradient({{"x", {3, 4}}, {"w", {4, 5}}}, [](Arena& arena, const Inputs& in) {
    ArrayRef y = gelu(linear_layer(in.at("x"), in.at("w")));
    ArrayRef target = array(arena, {}, [&](Indices) { return summed(arena, {3, 5}, [&](Indices k) { return power(at(y, k), 2); }); });
    return gradient(target, {in.at("w")})[0];
  });
}

}  // namespace
}  // namespace heed
