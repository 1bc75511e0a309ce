// Loop kernels against the evaluator: maps, reductions, sweeps, scatters, on awkward sizes and every type.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <array>
#include <cmath>

#include "codegen/tile/lower.h"
#include "ir/function.h"
#include "runtime/files.h"
#include "tests/codegen/compiled.h"

namespace heed {
namespace {

struct Builder {
  std::shared_ptr<Arena> arena = std::make_shared<Arena>();
  ArrayRef in(std::string name, std::vector<std::int64_t> shape, DType dtype = DType::f32, std::optional<Interval> range = {}) {
    return input(*arena, std::move(name), std::move(shape), dtype, range);
  }
  AxisRef axis(std::int64_t size) { return fresh_axis(*arena, size); }
  Expr number(double value, DType dtype = DType::f32) { return real(*arena, value, dtype); }
  void check(std::vector<ArrayRef> outputs, double tolerance = 2e-6) {
    Graph graph = graph_of(arena, outputs);
    {
      SCOPED_TRACE("apart");
      expect_as_evaluated(plan_apart(graph), 1, tolerance);
    }
    SCOPED_TRACE("together");
    expect_as_evaluated(plan_together(graph), 2, tolerance);
  }
};

Expr at(ArrayRef array, std::initializer_list<AxisRef> axes) {
  std::vector<Expr> indices;
  for (AxisRef axis : axes) indices.push_back(value(axis));
  return read(array, indices);
}
ArrayRef def(std::initializer_list<AxisRef> axes, Expr body, DType dtype = DType::f32) {
  return define(std::vector<AxisRef>(axes), body, dtype);
}
Expr total(std::initializer_list<AxisRef> axes, Expr body) { return sum(std::vector<AxisRef>(axes), body); }
Expr reduced(Reduction reduction, std::initializer_list<AxisRef> axes, Expr body) {
  return reduce(reduction, std::vector<AxisRef>(axes), body);
}

class Sizes : public testing::TestWithParam<std::int64_t> {};
INSTANTIATE_TEST_SUITE_P(Loops, Sizes, testing::Values(0, 1, 2, 7, 16, 17, 33, 64, 100, 257));

TEST_P(Sizes, Maps) {
  Builder b;
  std::int64_t n = GetParam();
  ArrayRef x = b.in("x", {3, n}), y = b.in("y", {n});
  AxisRef i = b.axis(3), j = b.axis(n);
  Expr body = add(multiply(at(x, {i, j}), at(y, {j})), apply(functions::exp, {at(x, {i, j})}));
  b.check({def({i, j}, body), def({j, i}, scale(2.0, at(x, {i, j})))});
}

TEST_P(Sizes, Reductions) {
  Builder b;
  std::int64_t n = GetParam();
  ArrayRef x = b.in("x", {5, n});
  AxisRef i = b.axis(5), j = b.axis(n);
  Expr each = at(x, {i, j});
  b.check({def({i}, total({j}, each)), def({j}, total({i}, each)), def({}, total({i, j}, multiply(each, each))),
           def({i}, reduced(Reduction::maximum, {j}, each)), def({j}, reduced(Reduction::maximum, {i}, each)),
           def({i}, reduced(Reduction::argmax, {j}, each), DType::i64), def({j}, reduced(Reduction::argmax, {i}, each), DType::i32),
           def({i}, reduced(Reduction::any, {j}, greater(each, b.number(1.9))), DType::boolean),
           def({i}, reduced(Reduction::product, {j}, add(b.number(1), scale(0.01, each))))},
          4e-6);
}

void check_softmax(std::int64_t n) {
  Builder b;
  for (bool outer : {false, true}) {
    ArrayRef x = b.in(outer ? "x" : "z", outer ? std::vector<std::int64_t>{2, n, 37} : std::vector<std::int64_t>{2, 37, n});
    AxisRef c = b.axis(2), i = b.axis(37), j = b.axis(n), k = b.axis(n);
    auto cell = [&](AxisRef row, AxisRef column) { return outer ? at(x, {c, column, row}) : at(x, {c, row, column}); };
    ArrayRef m = def({c, i}, reduced(Reduction::maximum, {j}, cell(i, j)));
    ArrayRef e = outer ? def({c, k, i}, apply(functions::exp, {subtract(cell(i, k), at(m, {c, i}))}))
                       : def({c, i, k}, apply(functions::exp, {subtract(cell(i, k), at(m, {c, i}))}));
    auto exponent = [&](AxisRef column) { return outer ? at(e, {c, column, i}) : at(e, {c, i, column}); };
    ArrayRef l = def({c, i}, total({j}, exponent(j)));
    Expr p = divide(exponent(k), at(l, {c, i}));
    b.check({outer ? def({c, k, i}, p) : def({c, i, k}, p)});
  }
}

TEST_P(Sizes, Softmax) { check_softmax(std::max<std::int64_t>(1, GetParam())); }

TEST_P(Sizes, LayerNorm) {
  Builder b;
  std::int64_t n = std::max<std::int64_t>(1, GetParam());
  ArrayRef x = b.in("x", {3, 11, n}), g = b.in("g", {n});
  AxisRef c = b.axis(3), i = b.axis(11), j = b.axis(n);
  ArrayRef mean = def({c, i}, scale(1.0 / static_cast<double>(n), total({j}, at(x, {c, i, j}))));
  ArrayRef centered = def({c, i, j}, subtract(at(x, {c, i, j}), at(mean, {c, i})));
  ArrayRef variance =
      def({c, i}, scale(1.0 / static_cast<double>(n), total({j}, multiply(at(centered, {c, i, j}), at(centered, {c, i, j})))));
  ArrayRef factor = def({c, i}, power(add(at(variance, {c, i}), b.number(1e-5)), -0.5));
  ArrayRef y = def({c, i, j}, multiply(multiply(at(centered, {c, i, j}), at(factor, {c, i})), at(g, {j})));
  b.check({y, mean, factor}, 1e-5);
}

// Sums over all rows of what is made of each: by columns, by pairs of them, and over everything.
std::vector<ArrayRef> sums_over_rows(Builder& b, std::int64_t batches, std::int64_t rows, std::int64_t n, DType dtype) {
  ArrayRef x = b.in("x", {batches, rows, n}, dtype), g = b.in("g", {2, n}, dtype);
  AxisRef c = b.axis(batches), i = b.axis(rows), j = b.axis(n), k = b.axis(n), h = b.axis(2);
  ArrayRef most = def({c, i}, reduced(Reduction::maximum, {j}, at(x, {c, i, j})), dtype);
  ArrayRef e = def({c, i, j}, apply(functions::exp, {subtract(at(x, {c, i, j}), at(most, {c, i}))}), dtype);
  ArrayRef norm = def({c, i}, power(total({k}, at(e, {c, i, k})), -1), dtype);
  ArrayRef y = def({c, i, j}, multiply(at(e, {c, i, j}), at(norm, {c, i})), dtype);
  ArrayRef columns = def({j}, scale(0.5, total({c, i}, multiply(at(y, {c, i, j}), at(x, {c, i, j})))), dtype);
  ArrayRef pairs = def({h, j}, total({c, i}, apply(functions::exp, {multiply(at(y, {c, i, j}), at(g, {h, j}))})), dtype);
  ArrayRef all = def({}, total({c, i, j}, multiply(at(y, {c, i, j}), at(y, {c, i, j}))), dtype);
  ArrayRef source = def({j}, total({c, i}, at(x, {c, i, j})), dtype);
  return {y, columns, pairs, all, source};
}

TEST_P(Sizes, SumsOverRows) {
  auto check = [&](std::int64_t batches, std::int64_t rows, DType dtype, double tolerance) {
    Builder b;
    b.check(sums_over_rows(b, batches, rows, GetParam(), dtype), tolerance);
  };
  check(3, 41, DType::f32, 2e-5);
  check(1, 1024, DType::f32, 2e-5);
  check(2, 90, DType::f64, 1e-6);
}

TEST(Loops, SumsOverRowsShareTheSweepsOverThem) {
  Builder b;
  std::vector<ArrayRef> outputs = sums_over_rows(b, 4, 1024, 384, DType::f32);
  std::erase_if(outputs, [](ArrayRef array) { return array->shape.size() == 2; });  // Sweeps twice as long: cheaper apart.
  Plan plan = plan_together(graph_of(b.arena, outputs));
  EXPECT_EQ(kernel_sources(plan, {}).size(), 3u);  // The rows, and for each size of sums one that adds the tasks' parts.
}

void check_scatter(std::int64_t n) {
  Builder b;
  ArrayRef tokens = b.in("tokens", {4, 9}, DType::i32, Interval{0, 6}), g = b.in("g", {4, 9, n});
  AxisRef v = b.axis(7), i = b.axis(4), t = b.axis(9), j = b.axis(n);
  Expr where = equal(at(tokens, {i, t}), value(v));
  b.check({def({v, j}, total({i, t}, select(where, at(g, {i, t, j}), b.number(0))))});
}

TEST_P(Sizes, Scatter) { check_scatter(std::max<std::int64_t>(1, GetParam())); }

void check_types() {
  for (DType dtype : {DType::f64, DType::f32, DType::f16, DType::bf16, DType::i64, DType::i32, DType::i8, DType::u8, DType::boolean})
    for (std::int64_t n : {1, 5, 16, 37}) {
      SCOPED_TRACE(fmt::format("{} {}", name_of(dtype), n));
      Builder b;
      ArrayRef x = b.in("x", {n, 3}, dtype), y = b.in("y", {n}, dtype);
      AxisRef i = b.axis(n), j = b.axis(3);
      Expr a = at(x, {i, j}), c = at(y, {i});
      std::vector<ArrayRef> outputs{def({j, i}, a, dtype)};
      if (dtype != DType::boolean) {
        outputs.push_back(def({i, j}, add(multiply(a, c), a), dtype));
        outputs.push_back(def({i}, total({j}, a), dtype));
      } else {
        outputs.push_back(def({i, j}, both(a, negate(c)), dtype));
      }
      for (DType to : {DType::f64, DType::f32, DType::f16, DType::bf16, DType::i64, DType::i32, DType::i8, DType::u8, DType::boolean})
        outputs.push_back(def({i, j}, cast(to, a), to));
      b.check(outputs);
    }
}

TEST(Loops, Types) { check_types(); }

// Two arrays that are read across the lanes, beside one that lies along them, within a batch: by squares.
void check_transposed(std::int64_t m, std::int64_t n, DType dtype) {
  Builder b;
  ArrayRef x = b.in("x", {3, m, n}, dtype), y = b.in("y", {m, n}, dtype), z = b.in("z", {n, m}, dtype);
  AxisRef c = b.axis(3), i = b.axis(m), j = b.axis(n);
  if (dtype == DType::boolean) {
    b.check({def({c, j, i}, both(at(x, {c, i, j}), negate(both(at(y, {i, j}), at(z, {j, i})))), dtype)});
    return;
  }
  Expr body = add(scale(2.0, at(x, {c, i, j})), add(at(y, {i, j}), at(z, {j, i})));
  b.check({def({c, j, i}, body, dtype), def({j, c, i}, scale(3.0, at(x, {c, i, j})), dtype)});
}

TEST(Loops, Transposed) {
  for (auto [m, n] : {std::pair{64, 128}, {65, 63}, {200, 17}, {1, 90}, {130, 2}, {257, 129}})
    for (DType dtype : {DType::f32, DType::f64, DType::bf16, DType::i32, DType::boolean}) {
      SCOPED_TRACE(fmt::format("{} x {} of {}", m, n, name_of(dtype)));
      check_transposed(m, n, dtype);
    }
}

// Whether a map of an array in that order of its axes goes by squares.
bool has_squares(std::int64_t m, std::int64_t n, bool transposed) {
  Builder b;
  ArrayRef x = b.in("x", {m, n});
  AxisRef i = b.axis(m), j = b.axis(n);
  Expr body = scale(2.0, at(x, {i, j}));
  ArrayRef made = transposed ? def({j, i}, body) : def({i, j}, body);
  StandIns stand_ins;
  const Lowered lowered = lower_region({{}, {made}, ""}, stand_ins, {.lanes = test_target.lanes(4)});
  return lowered.nests[0].square.has_value();
}

TEST(Loops, SquaresWhereReadsLieAcross) {
  EXPECT_TRUE(has_squares(300, 200, true));
  EXPECT_FALSE(has_squares(300, 200, false));
  EXPECT_FALSE(has_squares(300, 1, true));
}

// The same kernels at other widths, with and without fused multiplication.
TEST(Loops, OtherTargets) {
  const Target usual = test_target;
  for (const char* name : {"avx512", "avx2", "plain", "neon"}) {
    Target target;
    try {
      target = target_named(name);
    } catch (const std::runtime_error&) {
      continue;  // of another architecture
    }
    if (!runs_here(target)) continue;
    SCOPED_TRACE(name);
    test_target = target;
    check_types();
    check_softmax(37);
    check_scatter(33);
    check_transposed(65, 130, DType::f32);
    test_target = usual;
  }
}

TEST(Loops, Functions) {
  for (const ScalarFunction& f : scalar_functions()) {
    for (DType dtype : {DType::f32, DType::f64, DType::i64}) {
      bool integers = dtype == DType::i64;
      if (integers ? f.domain == ScalarFunction::Domain::floating : f.domain == ScalarFunction::Domain::integer) continue;
      SCOPED_TRACE(fmt::format("{} {}", f.name, name_of(dtype)));
      Builder b;
      std::vector<Expr> arguments;
      AxisRef i = b.axis(997);
      double low = std::max(f.test_low, -20.0), high = std::min(f.test_high, 20.0);
      for (int k = 0; k < f.arity; ++k)
        arguments.push_back(at(b.in(fmt::format("x{}", k), {997}, dtype, integers ? std::optional(Interval{-9, 9}) : std::nullopt), {i}));
      Expr y = heed::apply(f, std::span<const Expr>(arguments));
      Graph graph = graph_of(b.arena, {def({i}, y, y->dtype)});
      std::map<std::string, Tensor> inputs = inputs_for(graph, 5);
      for (auto& [name, tensor] : inputs)
        for (std::int64_t k = 0; !integers && k < tensor.count(); ++k) tensor.set(k, low + (tensor.real(k) + 2) / 4 * (high - low));
      expect_as_evaluated(plan_apart(graph), inputs, dtype == DType::f32 ? 5e-7 : 1e-14);
    }
  }
}

// Special values and the accuracy over the whole range, against the C library.
TEST(Loops, FunctionsEverywhere) {
  struct Case {
    const char* name;
    double (*exact)(double);
    double low, high, ulps;
  };
  for (const Case& c : {Case{"exp", std::exp, -100, 100, 3}, Case{"expm1", std::expm1, -30, 88, 4}, Case{"log", std::log, 0, 1e30, 3},
                        Case{"log1p", std::log1p, -1, 1e6, 4}, Case{"tanh", std::tanh, -12, 12, 4}, Case{"sin", std::sin, -3000, 3000, 3},
                        Case{"cos", std::cos, -3000, 3000, 3}, Case{"tan", std::tan, -100, 100, 5}, Case{"erf", std::erf, -5, 5, 4}}) {
    SCOPED_TRACE(c.name);
    Builder b;
    constexpr std::int64_t n = 40000;
    ArrayRef x = b.in("x", {n});
    AxisRef i = b.axis(n);
    Graph graph = graph_of(b.arena, {def({i}, apply(*find_function(c.name), {at(x, {i})}))});
    Tensor values(DType::f32, {n});
    for (std::int64_t k = 0; k < n; ++k) {
      double part = static_cast<double>(k) / (n - 1);
      values.set(k, c.low + (c.high - c.low) * (k % 2 ? part : part * part * part * part * part * part));
    }
    double special[] = {INFINITY, -INFINITY, NAN, 0.0, -0.0, 1.0, -1.0, 1e-20, -1e-20, 3e38, -3e38};
    for (std::int64_t k = 0; k < 11; ++k) values.set(k, special[k]);
    Compilation compiled = compile(plan_apart(graph), test_options());
    Tensor got = run_compiled(compiled.program, {{"x", values}})[0];
    double worst = 0, worst_at = 0;
    for (std::int64_t k = 0; k < n; ++k) {
      double argument = values.real(k), exact = c.exact(argument), have = got.real(k);
      bool periodic = std::string_view(c.name) == "sin" || std::string_view(c.name) == "cos" || std::string_view(c.name) == "tan";
      if (periodic && std::abs(argument) > 1e6) continue;
      if (std::isnan(exact)) {
        EXPECT_TRUE(std::isnan(have)) << argument;
        continue;
      }
      auto rounded = static_cast<float>(exact);
      if (std::abs(rounded) < 0x1p-125) {
        EXPECT_LE(std::abs(have), 0x1p-125) << argument;
        continue;
      }
      if (std::isinf(rounded)) {
        EXPECT_EQ(have, rounded) << argument;
        continue;
      }
      double ulp = std::ldexp(1.0, std::max(-126, std::ilogb(exact)) - 23);
      if (periodic) ulp = std::max(ulp, 0x1p-28);
      double error = std::abs(have - exact) / ulp;
      if (error > worst) worst = error, worst_at = argument;
    }
    EXPECT_LE(worst, c.ulps) << "at " << worst_at;
  }
}

TEST(Loops, Guards) {
  Builder b;
  ArrayRef x = b.in("x", {5, 19});
  AxisRef i = b.axis(7), j = b.axis(23);
  // padding, a causal mask, a reversed and a strided slice, a roll
  Expr row = shift(value(i), -1), column = shift(value(j), -2);
  Expr cell = read(x, std::vector{row, column});
  ArrayRef padded = def({i, j}, select(both(inside(row, 5), inside(column, 19)), cell, b.number(0)));
  AxisRef p = b.axis(5), q = b.axis(19), s = b.axis(6);
  ArrayRef masked = def({p, q}, select(at_least(value(p), value(q)), at(x, {p, q}), b.number(-INFINITY)));
  ArrayRef reversed = def({p, q}, read(x, std::vector{value(p), linear(std::array{IntegerTerm{-1, value(q)}}, 18, *b.arena)}));
  ArrayRef strided = def({p, s}, scale(3.0, read(x, std::vector{value(p), scale(std::int64_t{3}, value(s))})));
  ArrayRef rolled = def({p, q}, add(at(x, {p, q}), read(x, std::vector{value(p), remainder(shift(value(q), 5), 19)})));
  ArrayRef flat = def({p, q}, add(b.number(1), read(x, std::vector{remainder(add(scale(std::int64_t{19}, value(p)), value(q)), 5),
                                                                   floor_divide(add(scale(std::int64_t{19}, value(p)), value(q)), 5)})));
  b.check({padded, masked, reversed, strided, rolled, flat});
}

TEST(Loops, Windows) {
  Builder b;
  ArrayRef x = b.in("x", {2, 13, 35});
  AxisRef c = b.axis(2), i = b.axis(13), j = b.axis(35), u = b.axis(3), v = b.axis(3);
  Expr row = shift(add(value(i), value(u)), -1), column = shift(add(value(j), value(v)), -1);
  Expr cell = read(x, std::vector{value(c), row, column});
  Expr guard = both(inside(row, 13), inside(column, 35));
  ArrayRef mean = def({c, i, j}, scale(1.0 / 9, total({u, v}, select(guard, cell, b.number(0)))));
  ArrayRef most = def({c, i, j}, reduced(Reduction::maximum, {u, v}, select(guard, cell, b.number(-INFINITY))));
  b.check({mean, most});
}

TEST(Loops, Gathers) {
  Builder b;
  ArrayRef table = b.in("table", {6, 21}), tokens = b.in("tokens", {3, 5}, DType::i32, Interval{0, 5}),
           label = b.in("label", {3, 5}, DType::i64, Interval{0, 20});
  AxisRef i = b.axis(3), t = b.axis(5), n = b.axis(21);
  Expr token = at(tokens, {i, t});
  ArrayRef rows = def({i, t, n}, read(table, std::vector{token, value(n)}));
  ArrayRef picked = def({i, t}, read(table, std::vector{token, at(label, {i, t})}));
  b.check({rows, picked});
}

TEST(Loops, IndexFault) {
  for (bool guarded : {false, true}) {
    Builder b;
    ArrayRef table = b.in("table", {6, 21}), tokens = b.in("tokens", {50}, DType::i32);
    AxisRef t = b.axis(50), n = b.axis(21);
    Expr token = at(tokens, {t});
    Expr row = read(table, std::vector{token, value(n)});
    if (guarded) row = select(inside(token, 6), row, b.number(7));
    Graph graph = graph_of(b.arena, {def({t, n}, add(row, b.number(1)))});
    std::map<std::string, Tensor> inputs = inputs_for(graph, 3);
    inputs.at("tokens").set(31, std::int64_t{-4});
    Compilation compiled = compile(plan_apart(graph), test_options());
    if (guarded) {
      EXPECT_EQ(run_compiled(compiled.program, inputs)[0].real(31 * 21), 8);
      continue;
    }
    try {
      run_compiled(compiled.program, inputs);
      FAIL() << "no fault";
    } catch (const std::runtime_error& error) {
      EXPECT_NE(std::string(error.what()).find("-4"), std::string::npos) << error.what();
      EXPECT_NE(std::string(error.what()).find("table"), std::string::npos) << error.what();
    }
  }
}

TEST(Loops, Random) {
  Builder b;
  AxisRef i = b.axis(70), j = b.axis(33);
  ArrayRef key = b.in("key", {}, DType::i64, Interval{-5, 1000000});
  Expr flat = add(scale(std::int64_t{33}, value(i)), value(j));
  Expr wide = shift(flat, std::int64_t{1} << 40);
  std::vector<Expr> none;
  Expr k = read(key, none);
  b.check({def({i, j}, apply(functions::random_uniform, {k, flat})),
           def({i, j}, apply(functions::random_uniform, {shift(k, std::int64_t{7} << 33), wide}))},
          0);
}

TEST(Loops, LongSums) {
  Builder b;
  ArrayRef x = b.in("x", {2100, 384}), s = b.in("s", {1000003});
  AxisRef i = b.axis(2100), j = b.axis(384), k = b.axis(1000003);
  b.check({def({j}, total({i}, at(x, {i, j}))), def({}, total({k}, multiply(at(s, {k}), at(s, {k})))),
           def({}, reduced(Reduction::maximum, {k}, at(s, {k})))},
          2e-5);
}

TEST(Loops, NanWins) {
  Builder b;
  ArrayRef x = b.in("x", {3, 40});
  AxisRef i = b.axis(3), j = b.axis(40);
  Graph graph = graph_of(
      b.arena, {def({i}, reduced(Reduction::maximum, {j}, at(x, {i, j}))), def({j}, reduced(Reduction::maximum, {i}, at(x, {i, j}))),
                def({i}, reduced(Reduction::argmax, {j}, at(x, {i, j})), DType::i64)});
  for (std::int64_t place : {0, 7, 39}) {
    std::map<std::string, Tensor> inputs = inputs_for(graph, 3);
    inputs.at("x").set(40 + place, NAN);
    std::vector<Tensor> got = run_compiled(compile(plan_apart(graph), test_options()).program, inputs);
    EXPECT_TRUE(std::isnan(got[0].real(1)));
    EXPECT_FALSE(std::isnan(got[0].real(0)));
    EXPECT_TRUE(std::isnan(got[1].real(place)));
    EXPECT_EQ(got[2].integer(1), place);
  }
}

}  // namespace
}  // namespace heed
