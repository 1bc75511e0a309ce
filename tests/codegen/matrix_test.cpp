// Products in matrix registers, simulated where the processor has none: every tile, planted faults, and the simulation itself.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <set>

#include "codegen/cpu/jit.h"
#include "codegen/tile/matrix_registers.h"
#include "codegen/tile/product.h"
#include "ir/evaluate.h"
#include "ir/function.h"
#include "ir/language/elaborate.h"
#include "passes/pipeline.h"
#include "tests/codegen/compiled.h"
#include "tests/codegen/product_check.h"
#include "tests/processor.h"

namespace heed {
namespace {

using simulated_matrices::take_mistake;

constexpr int epilogues = 4;

// a @ b with operands and result transposed as `form` says, and an epilogue.
Region product_region(Maker& make, int m, int n, int k, int form, int epilogue) {
  AxisRef i = make.axis(m), j = make.axis(n), l = make.axis(k);
  ArrayRef a = form & 1 ? make.in("a", {k, m}) : make.in("a", {m, k}), b = form & 2 ? make.in("b", {n, k}) : make.in("b", {k, n});
  Expr x = summed({l}, multiply(form & 1 ? at(a, {l, i}) : at(a, {i, l}), form & 2 ? at(b, {j, l}) : at(b, {l, j})));
  Expr bias = at(make.in("bias", {n}, DType::f32), {j}), residual = at(make.in("residual", {m, n}, DType::f32), {i, j});
  if (epilogue == 1) x = add(x, bias);
  if (epilogue == 2) x = apply(functions::maximum, {add(scale(0.5, x), residual), real(*make.arena, 0)});
  if (epilogue == 3) x = multiply(apply(functions::exp, {scale(0.01, add(x, bias))}), residual);
  return {{}, {form & 4 ? defined({j, i}, x) : defined({i, j}, x)}, ""};
}

TEST(Matrices, EveryTile) {
  const Target target = with_simulated_matrices();
  std::mt19937 random(11);
  auto pick = [&](int low, int high) { return std::uniform_int_distribution<int>(low, high)(random); };
  std::set<std::pair<int, int>> seen;
  for (int rows = 2; rows <= 2 * matrix_side; ++rows)
    for (int vectors = 1; vectors <= 4; ++vectors) {
      const int n = vectors * matrix_side - pick(0, 1) * pick(0, matrix_side - 1);
      const Tile tile = choose_matrix_tile(rows, n);
      if (!seen.insert({tile.rows, tile.vectors}).second) continue;
      const int more = pick(0, 3) == 0 ? pick(1, 40) : 0, form = pick(0, 7), epilogue = pick(0, epilogues - 1);
      const int k = 2 * pick(20, 400);  // odd ones are EveryDepth's
      Maker make{.usual = DType::bf16};
      std::string schedule;
      const Region region = product_region(make, rows + more, n + more, k, form, epilogue);
      ASSERT_EQ(product_fault(region, target, &schedule), "")
          << fmt::format("{} x {} x {} form {} epilogue {}", rows + more, n + more, k, form, epilogue);
      EXPECT_NE(schedule.find("of matrices"), std::string::npos) << schedule;
    }
  EXPECT_EQ(seen.size(), 15U * 4 + 16U * 2);
}

// Depths that end anywhere in a step, in one block and in several.
TEST(Matrices, EveryDepth) {
  const Target target = with_simulated_matrices();
  for (int steps = 0; steps <= 16; ++steps)
    for (int more : {0, 600}) {
      const int k = 65 + 2 * steps + steps % 2 + more;
      Maker make{.usual = DType::bf16};
      ASSERT_EQ(product_fault(product_region(make, 35, 40, k, steps % 8, more == 0 ? 1 : 2), target), "") << k;
    }
}

// The sums of its parts are added by another kernel.
TEST(Matrices, PartsOfTheDepth) {
  const Target target = with_simulated_matrices();
  Maker make{.usual = DType::bf16};
  std::string schedule;
  ASSERT_EQ(product_fault(product_region(make, 40, 30, 40001, 1, 3), target, &schedule), "");
  EXPECT_NE(schedule.find("of matrices"), std::string::npos) << schedule;
  EXPECT_NE(schedule.find("tasks 1 1 3"), std::string::npos) << schedule;
}

TEST(Matrices, LayoutsAtRandom) {
  const Target target = with_simulated_matrices();
  std::mt19937 random(5);
  int in_matrices = 0;
  for (int trial = 0; trial < 40; ++trial) {
    Maker make{.usual = DType::bf16};
    std::string schedule;
    const Region region = random_product(make, random, 17);
    ASSERT_EQ(product_fault(region, target, &schedule), "") << "trial " << trial;
    in_matrices += schedule.find("of matrices") != std::string::npos;
  }
  EXPECT_GE(in_matrices, 12);
}

int multiplications = 0;

TEST(Matrices, ANetworkInBf16) {
  Target target = with_simulated_matrices();
  MatrixFunctions counting = simulated_matrices::functions;
  counting.multiply_bf16 = [](std::int8_t sums, std::int8_t left, std::int8_t right) {
    ++multiplications;
    simulated_matrices::multiply_bf16(sums, left, right);
  };
  target.matrix_functions = &counting;
  Diagnostics diagnostics;
  const auto module = load_module(std::string(HEED_SOURCE_DIR) + "/examples/gpt.heed", diagnostics);
  ASSERT_TRUE(module) << diagnostics.text(false);
  const auto step = elaborate_training(*module,
                                       {.settings = {{"width", "64"}, {"heads", "2"}, {"depth", "1"}, {"context", "32"}, {"vocab", "70"}},
                                        .sizes = {{"B", 2}, {"T", 32}},
                                        .training = true},
                                       diagnostics);
  ASSERT_TRUE(step) << diagnostics.text(false);
  const Plan plan = make_plan(step->graph, {.precision = DType::bf16});
  std::map<std::string, Tensor> inputs = inputs_for(plan.graph, 1);
  for (const GraphInput& input : plan.graph.inputs)
    if (is_floating(input.array->dtype) && input.role != GraphInput::Role::data) {
      Tensor& tensor = inputs.at(input.array->name);
      for (std::int64_t k = 0; k < tensor.count(); ++k) tensor.set(k, 0.3 + 0.05 * tensor.real(k));
    }
  const std::vector<Tensor> exact = evaluate(plan.graph, inputs, {EvaluateOptions::Precision::f64}), native = evaluate(plan.graph, inputs);
  CompileOptions options{.target = target};
  options.settings.cache.enabled = false;
  const std::vector<Tensor> found = run_compiled(compile(plan, options).program, inputs);
  EXPECT_EQ(take_mistake(), "");
  EXPECT_GT(multiplications, 500);
  auto error = [&](const Tensor& of, std::size_t k) {
    double largest = 1e-30, worst = 0;
    for (std::int64_t i = 0; i < of.count(); ++i) {
      largest = std::max(largest, std::abs(exact[k].real(i)));
      worst = std::max(worst, std::abs(of.real(i) - exact[k].real(i)));
    }
    return worst / largest;
  };
  for (std::size_t k = 0; k < found.size(); ++k)
    EXPECT_LE(error(found[k], k), 4 * std::max(error(native[k], k), 0x1p-8)) << plan.graph.outputs[k].name;
}

TEST(Matrices, PlantedFaultsAreFound) {
  Target target = with_simulated_matrices();
  MatrixFunctions functions = simulated_matrices::functions;
  target.matrix_functions = &functions;
  auto fault = [&] {
    Maker make{.usual = DType::bf16};
    std::string found = product_fault(product_region(make, 45, 50, 130, 0, 1), target);
    functions = simulated_matrices::functions;
    simulated_matrices::release();
    take_mistake();
    return found;
  };
  auto has = [](const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; };
  EXPECT_EQ(fault(), "");
  functions.configure = [](const void*) {};
  EXPECT_TRUE(has(fault(), "not configured"));
  functions.release = [] {};
  EXPECT_TRUE(has(fault(), "not released"));
  // Rows that the configuration lacks: of sums and the left operand, whose last row is lost, or of the right one.
  auto configured_with = []<int first, int end>() {
    return [](const void* configuration) {
      std::array<std::uint8_t, 64> bytes;
      std::memcpy(bytes.data(), configuration, bytes.size());
      for (std::size_t r = first; r < end; ++r) --bytes[48 + r];
      simulated_matrices::configure(bytes.data());
    };
  };
  functions.configure = configured_with.operator()<0, 6>();
  EXPECT_TRUE(has(fault(), "should be"));
  functions.configure = configured_with.operator()<6, 8>();
  EXPECT_TRUE(has(fault(), "sums of"));
  functions.zero = [](std::int8_t) {};  // Sums begin with those of the tile before.
  EXPECT_TRUE(has(fault(), "should be"));
}

// Of one step with a row of two words: the lower halves are summed by themselves, so are the upper ones.
TEST(Matrices, SimulationSumsInTheOrderOfTheManual) {
  const std::uint16_t one = 0x3f80, large = 0x4b80, smallest = 0x0080, denormal = 0x0040;  // 1, 2^24, 2^-126, 2^-127
  auto configured = [] {
    std::array<std::uint8_t, 64> bytes{1};
    for (std::size_t r = 0; r < 3; ++r) bytes[16 + 2 * r] = r == 1 ? 8 : 4, bytes[48 + r] = r == 2 ? 2 : 1;
    simulated_matrices::configure(bytes.data());
  };
  auto sum_of = [&](std::array<std::uint16_t, 4> left, std::array<std::uint16_t, 4> right, float before) {
    configured();
    float sum = before;
    simulated_matrices::load(0, &sum, 4);
    simulated_matrices::load(1, left.data(), 8);
    simulated_matrices::load(2, right.data(), 4);
    simulated_matrices::multiply_bf16(0, 1, 2);
    simulated_matrices::store(0, &sum, 4);
    simulated_matrices::release();
    EXPECT_EQ(take_mistake(), "");
    return sum;
  };
  EXPECT_EQ(sum_of({one, one, one, one}, {one, one, one, one}, 3), 7);
  EXPECT_EQ(sum_of({large, one, one, one}, {one, one, one, one}, 0), 0x1p24F + 2);
  EXPECT_EQ(sum_of({large, one, one, one}, {one, one, one, one}, -0x1p24F), 2);
  EXPECT_EQ(sum_of({denormal, 0, 0, one}, {one, one, one, one}, 0), 1);
  EXPECT_EQ(sum_of({denormal, 0, 0, 0}, {large, one, one, one}, 0), 0);
  EXPECT_EQ(sum_of({smallest, 0, 0, 0}, {0x3f00, one, one, one}, 0), 0);  // half of it
}

// Only where both factors hold bf16.
TEST(Matrices, Assembly) {
  auto has_matrices = [](DType left, DType right, std::string_view target) {
    const std::string assembly = product_assembly(left, right, 600, target);
    for (const char* part : {"ldtilecfg", "tileloadd", "tilezero", "tilestored", "tilerelease"})
      EXPECT_EQ(assembly.find(part) != std::string::npos, assembly.find("tdpbf16ps") != std::string::npos) << part;
    return assembly.find("tdpbf16ps") != std::string::npos;
  };
#if defined(__x86_64__)
  EXPECT_TRUE(has_matrices(DType::bf16, DType::bf16, "amx"));
  EXPECT_FALSE(has_matrices(DType::bf16, DType::bf16, "avx512bf16"));
  EXPECT_FALSE(has_matrices(DType::bf16, DType::f32, "amx"));
  EXPECT_FALSE(has_matrices(DType::f32, DType::f32, "amx"));
#endif
}

}  // namespace
}  // namespace heed
