// Product kernels against the reference evaluator: shapes, strides, guards, several axes a role, computed operands, epilogues.
#include "codegen/tile/product.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <map>
#include <random>

#include "codegen/tile/micro_kernel.h"
#include "ir/function.h"
#include "tests/codegen/product_check.h"
#include "tests/processor.h"

namespace heed {
namespace {

// Of factors in f32, and in bf16, which some processors multiply by pairs or in matrices.
class ProductOf : public testing::TestWithParam<DType> {
 protected:
  static void check_factors(const Region& region, std::vector<std::string_view> targets = {"host", "avx2", "plain"}) {
    if (GetParam() == DType::bf16) {
      const bool has_others = targets.size() > 1;
      targets = {runs_here(target_named("avx512bf16")) ? "avx512bf16" : "host"};
      if (has_others) targets.push_back("amx");
    }
    check_product(region, targets);
  }
};
INSTANTIATE_TEST_SUITE_P(Factors, ProductOf, testing::Values(DType::f32, DType::bf16),
                         [](const auto& info) { return std::string(name_of(info.param)); });

TEST_P(ProductOf, Plain) {
  for (auto [m, n, k] : std::vector<std::tuple<int, int, int>>{{2, 2, 2},
                                                               {3, 5, 7},
                                                               {16, 16, 16},
                                                               {17, 33, 65},
                                                               {64, 96, 128},
                                                               {100, 10, 64},
                                                               {5, 130, 20},
                                                               {65, 49, 300},
                                                               {40, 100, 1500},
                                                               {3, 200, 2500},
                                                               {200, 3, 100},
                                                               {33, 2, 40}}) {
    SCOPED_TRACE(fmt::format("{} {} {}", m, n, k));
    Maker make{.usual = GetParam()};
    AxisRef i = make.axis(m), j = make.axis(n), l = make.axis(k);
    ArrayRef a = make.in("a", {m, k}), b = make.in("b", {k, n});
    check_factors({{}, {defined({i, j}, summed({l}, multiply(at(a, {i, l}), at(b, {l, j}))))}, ""});
  }
}

// Each tile that some size is given, on each target, at sizes that it does not divide where there are such.
TEST(Product, EveryTile) {
  for (std::string_view name : {"host", "avx2", "plain"}) {
    const Target target = target_named(name);
    if (!runs_here(target)) continue;
    std::map<std::pair<int, int>, std::pair<int, int>> sizes;  // of each tile's rows and vectors
    const int lanes = target.lanes(4);
    for (int m = 2; m <= 40; ++m)  // One row is no product of matrices.
      for (int vectors = 1; vectors <= 9; ++vectors)
        for (int n : {vectors * lanes, vectors * lanes - 1}) {
          const Tile tile = choose_tile(target, 4, m, n);
          auto& found = sizes[{tile.rows, tile.vectors}];
          const auto rest = [&](const std::pair<int, int>& size) {
            return (size.first % tile.rows != 0) + (size.second % tile.columns() != 0);
          };
          if (found.first == 0 || rest({m, n}) > rest(found)) found = {m, n};
        }
    EXPECT_GE(sizes.size(), 10U) << name;
    for (const auto& [tile, size] : sizes) {
      SCOPED_TRACE(fmt::format("{} tile {} x {}: {} x {}", name, tile.first, tile.second, size.first, size.second));
      Maker make;
      AxisRef i = make.axis(size.first), j = make.axis(size.second), l = make.axis(70);
      ArrayRef a = make.in("a", {size.first, 70}), b = make.in("b", {70, size.second});
      check_product({{}, {defined({i, j}, summed({l}, multiply(at(a, {i, l}), at(b, {l, j}))))}, ""}, {name});
    }
  }
}

TEST_P(ProductOf, Transposed) {
  for (auto [m, n, k] : std::vector<std::tuple<int, int, int>>{{7, 5, 9}, {48, 70, 64}, {33, 100, 130}, {129, 40, 33}, {20, 64, 1200}})
    for (int form = 0; form < 8; ++form) {
      SCOPED_TRACE(fmt::format("{} {} {} form {}", m, n, k, form));
      Maker make{.usual = GetParam()};
      AxisRef i = make.axis(m), j = make.axis(n), l = make.axis(k);
      ArrayRef a = form & 1 ? make.in("a", {k, m}) : make.in("a", {m, k}), b = form & 2 ? make.in("b", {n, k}) : make.in("b", {k, n});
      Expr x = summed({l}, multiply(form & 1 ? at(a, {l, i}) : at(a, {i, l}), form & 2 ? at(b, {j, l}) : at(b, {l, j})));
      check_factors({{}, {form & 4 ? defined({j, i}, x) : defined({i, j}, x)}, ""}, {"host"});
    }
}

TEST_P(ProductOf, Batched) {
  for (auto [h, m, n, k] : std::vector<std::tuple<int, int, int, int>>{{3, 5, 7, 9}, {2, 40, 33, 17}, {60, 4, 4, 8}}) {
    SCOPED_TRACE(fmt::format("{} {} {} {}", h, m, n, k));
    Maker make{.usual = GetParam()};
    AxisRef b = make.axis(2), g = make.axis(h), i = make.axis(m), j = make.axis(n), l = make.axis(k);
    // Heads of one stored array of queries, keys and values, as attention reads them.
    ArrayRef qkv = make.in("qkv", {2, std::max(m, n), 2 * h * k});
    auto head = [&](AxisRef t, int part) {
      const IntegerTerm terms[] = {{k, value(g)}, {1, value(l)}};
      return at(qkv, {b, t, shift(linear(terms, 0, *make.arena), part * h * k)});
    };
    Expr score = summed({l}, multiply(head(i, 0), head(j, 1)));
    check_factors({{}, {defined({b, g, i, j}, scale(0.125, score))}, ""});
    // Merged heads: out[b, i, (g, d)] and then times a matrix with (g, d) summed.
    ArrayRef p = make.in("p", {2, h, m, n}), v = make.in("v", {2, n, h, k}), w = make.in("w", {h, k, 20});
    AxisRef d = make.axis(k), o = make.axis(20);
    check_factors({{}, {defined({b, i, g, d}, summed({j}, multiply(at(p, {b, g, i, j}), at(v, {b, j, g, d}))))}, ""});
    ArrayRef x = make.in("x", {2, h, m, k});
    check_factors({{}, {defined({b, i, o}, summed({g, d}, multiply(at(x, {b, g, i, d}), at(w, {g, d, o}))))}, ""});
  }
}

// A convolution and both its gradients, with padding as guards.
TEST_P(ProductOf, Convolution) {
  for (auto [batch, in, out, size, stride] : std::vector<std::tuple<int, int, int, int, int>>{
           {2, 3, 8, 16, 1}, {3, 4, 5, 7, 1}, {2, 3, 6, 9, 2}, {1, 3, 20, 32, 1}, {6, 3, 6, 28, 1}, {20, 2, 5, 14, 1}}) {
    SCOPED_TRACE(fmt::format("{} {} {} {} {}", batch, in, out, size, stride));
    Maker make{.usual = GetParam()};
    int result = (size - 1) / stride + 1;
    AxisRef b = make.axis(batch), o = make.axis(out), r = make.axis(result), c = make.axis(result), n = make.axis(in), u = make.axis(3),
            v = make.axis(3);
    ArrayRef image = make.in("image", {batch, in, size, size}), w = make.in("w", {out, in, 3, 3}), bias = make.in("bias", {out}),
             up = make.in("up", {batch, out, result, result});
    auto place = [&](AxisRef position, AxisRef window) {
      const IntegerTerm terms[] = {{stride, value(position)}, {1, value(window)}};
      return linear(terms, -1, *make.arena);
    };
    Expr y = place(r, u), x = place(c, v);
    Expr pixel = select(both(inside(y, size), inside(x, size)), at(image, {b, n, y, x}), real(*make.arena, 0));
    check_factors({{}, {defined({b, o, r, c}, add(summed({n, u, v}, multiply(pixel, at(w, {o, n, u, v}))), at(bias, {o})))}, ""});
    check_factors({{}, {defined({o, n, u, v}, summed({b, r, c}, multiply(pixel, at(up, {b, o, r, c}))))}, ""});
    if (stride != 1) continue;
    Expr back_y = subtract(shift(value(r), 1), value(u)), back_x = subtract(shift(value(c), 1), value(v));
    Expr upward = select(both(inside(back_y, size), inside(back_x, size)), at(up, {b, o, back_y, back_x}), real(*make.arena, 0));
    check_factors({{}, {defined({b, n, r, c}, summed({o, u, v}, multiply(upward, at(w, {o, n, u, v}))))}, ""});
  }
}

// Maps of a product that lie otherwise than it does: with axes of one element, and transposed.
TEST(Product, MapsAtOtherPlaces) {
  for (auto [m, n, k] : std::vector<std::tuple<int, int, int>>{{40, 40, 30}, {5, 70, 64}, {129, 17, 100}}) {
    SCOPED_TRACE(fmt::format("{} {} {}", m, n, k));
    Maker make;
    AxisRef g = make.axis(3), i = make.axis(m), j = make.axis(n), l = make.axis(k), one = make.axis(1), last = make.axis(1);
    ArrayRef a = make.in("a", {3, m, k}), b = make.in("b", {3, k, n}), row = make.in("row", {1, 3, m, 1});
    ArrayRef product = defined({g, i, j}, summed({l}, multiply(at(a, {g, i, l}), at(b, {g, l, j}))));
    Expr zero = integer(*make.arena, 0);
    AxisRef h = make.axis(3), p = make.axis(m), q = make.axis(n);
    ArrayRef scaled = defined({one, h, p, q}, multiply(at(product, {h, p, q}), at(row, {zero, h, p, zero})));
    check_product({{product}, {scaled}, ""});
    AxisRef t = make.axis(3), u = make.axis(m), v = make.axis(n);
    ArrayRef turned = defined({v, t, last, u}, scale(0.5, at(scaled, {zero, t, u, v})));
    check_product({{product, scaled}, {turned}, ""});
    check_product({{}, {product, scaled, turned}, ""});
  }
}

TEST(Product, ComputedOperandsAndMaps) {
  for (auto [m, n, k] : std::vector<std::tuple<int, int, int>>{{40, 50, 30}, {5, 70, 64}, {129, 17, 1100}}) {
    SCOPED_TRACE(fmt::format("{} {} {}", m, n, k));
    Maker make;
    AxisRef i = make.axis(m), j = make.axis(n), l = make.axis(k);
    ArrayRef a = make.in("a", {m, k}), b = make.in("b", {k, n}), mean = make.in("mean", {m}), bias = make.in("bias", {n}),
             residual = make.in("residual", {m, n});
    ArrayRef ids = make.in("ids", {m}, DType::i32, Interval{0, m - 1}), mask = make.in("mask", {m, n}, DType::boolean, Interval{0, 1});
    Expr normal = multiply(subtract(at(a, {i, l}), at(mean, {i})), apply(functions::exp, {at(mean, {i})}));
    Expr weight = apply(functions::exp, {at(b, {l, j})});
    ArrayRef before = defined({i, j}, add(summed({l}, multiply(normal, weight)), at(bias, {j})));
    auto own = positions(before);
    Expr z = at(before, {own[0], own[1]});
    ArrayRef after = define(own, add(apply(functions::maximum, {z, real(*make.arena, 0)}), at(residual, {own[0], own[1]})), DType::f32);
    ArrayRef masked = define(
        own, select(equal(at(mask, {own[0], own[1]}), boolean(*make.arena, true)), at(after, {own[0], own[1]}), real(*make.arena, 0)),
        DType::f16);
    check_product({{}, {before, after, masked}, "all stored"});
    check_product({{before, after}, {masked}, "the last alone"});
    check_product({{before}, {after}, "a map"});
    // Rows chosen by data, on either side.
    check_product({{}, {defined({i, j}, summed({l}, multiply(at(a, {at(ids, {i}), Index(l)}), at(b, {l, j}))))}, "gather"});
    check_product(
        {{}, {defined({j, i}, summed({l}, multiply(at(a, {at(ids, {i}), Index(l)}), at(b, {l, j}))))}, "gather on the other side"});
  }
}

// Only where both factors hold bf16, and the processor has them.
TEST(Product, PairsAreMultiplied) {
  auto has_pairs = [](DType left, DType right, std::string_view target) {
    return product_assembly(left, right, 60, target).find("vdpbf16ps") != std::string::npos;
  };
  EXPECT_TRUE(has_pairs(DType::bf16, DType::bf16, "avx512bf16"));
  EXPECT_FALSE(has_pairs(DType::bf16, DType::bf16, "avx512"));
  EXPECT_FALSE(has_pairs(DType::bf16, DType::f32, "avx512bf16"));
  EXPECT_FALSE(has_pairs(DType::f32, DType::f32, "avx512bf16"));
}

TEST(Product, Types) {
  for (DType dtype : {DType::f64, DType::f16, DType::bf16}) {
    SCOPED_TRACE(name_of(dtype));
    Maker make;
    AxisRef i = make.axis(37), j = make.axis(29), l = make.axis(60);
    ArrayRef a = make.in("a", {37, 60}, dtype), b = make.in("b", {29, 60}, dtype);
    check_product({{}, {defined({i, j}, summed({l}, multiply(at(a, {i, l}), at(b, {j, l}))), dtype)}, ""});
    ArrayRef c = make.in("c", {60, 29}, dtype);
    check_product({{}, {defined({i, j}, summed({l}, multiply(at(a, {i, l}), at(c, {l, j}))), dtype)}, ""});
  }
}

// Integers wrap, so every bit counts; i32 have halves to multiply.
class ProductOfOthers : public testing::TestWithParam<DType> {};
INSTANTIATE_TEST_SUITE_P(Factors, ProductOfOthers, testing::Values(DType::f64, DType::i32, DType::i64),
                         [](const auto& info) { return std::string(name_of(info.param)); });

TEST_P(ProductOfOthers, ShapesAtRandom) {
  std::mt19937 random(4);
  constexpr std::string_view levels[] = {"host", "avx2", "plain"};
  for (int trial = 0; trial < 36; ++trial) {
    Maker make{.usual = GetParam()};
    const Region region = random_product(make, random, 9);
    SCOPED_TRACE(fmt::format("trial {}", trial));
    check_product(region, {levels[trial % 3]});
    if (HasFailure()) return;
  }
}

TEST_P(ProductOfOthers, BlocksAndParts) {
  for (auto [m, n, k] : std::vector<std::tuple<int, int, int>>{{65, 49, 300}, {40, 100, 1500}, {3, 200, 2500}, {33, 2, 40}}) {
    SCOPED_TRACE(fmt::format("{} {} {}", m, n, k));
    Maker make{.usual = GetParam()};
    AxisRef i = make.axis(m), j = make.axis(n), l = make.axis(k);
    ArrayRef a = make.in("a", {m, k}), b = make.in("b", {n, k}), residual = make.in("residual", {m, n});
    Expr x = summed({l}, multiply(at(a, {i, l}), at(b, {j, l})));
    check_product({{}, {defined({i, j}, add(x, at(residual, {i, j})), GetParam())}, ""});
  }
}

// Not of integers of which more than 32 bits may be set.
TEST(Product, HalvesAreMultiplied) {
  auto schedule = [](DType left, DType right) {
    Maker make;
    AxisRef i = make.axis(40), j = make.axis(50), l = make.axis(60);
    ArrayRef a = make.in("a", {40, 60}, left), b = make.in("b", {60, 50}, right);
    std::string text;
    EXPECT_EQ(
        product_fault({{}, {defined({i, j}, summed({l}, multiply(at(a, {i, l}), at(b, {l, j}))), DType::i64)}, ""}, host_target(), &text),
        "");
    return text;
  };
  EXPECT_NE(schedule(DType::i32, DType::i32).find("of halves"), std::string::npos);
  EXPECT_NE(schedule(DType::i32, DType::i8).find("of halves"), std::string::npos);
  EXPECT_EQ(schedule(DType::i32, DType::i64).find("of halves"), std::string::npos);
}

TEST_P(ProductOf, ShapesAtRandom) {
  std::mt19937 random(3);
  for (int trial = 0; trial < 90; ++trial) {
    Maker make{.usual = GetParam()};
    const Region region = random_product(make, random, 9);
    SCOPED_TRACE(fmt::format("trial {}", trial));
    check_factors(region, {trial % 3 == 0 ? "avx2" : "host"});
    if (HasFailure()) return;
  }
}

}  // namespace
}  // namespace heed
