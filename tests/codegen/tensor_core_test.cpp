// Products by tensor cores, on the simulated GPU: right to the precision of their factors, at sizes that no tile divides.
#include <gtest/gtest.h>

#include <cmath>

#include "ir/evaluate.h"
#include "ir/language/elaborate.h"
#include "passes/pipeline.h"
#include "tests/codegen/compiled.h"
#include "tests/device.h"

namespace heed {
namespace {

constexpr const char* text = R"(
fn plain(a: f32[M, K], b: f32[K, N], c: f32[N]) -> f32[M, N] { return relu(a @ b + c) }
fn transposed(a: f32[K, M], b: f32[N, K], c: f32[N]) -> f32[M, N] { return relu(transpose(a) @ transpose(b) + c) }
)";

struct Case {
  Precision precision;
  double least, most;  // error, of the largest value: it must be in use, and no worse than its factors
};

// The largest difference from the evaluator's, of the largest value.
double error_of(const std::string& entry, const Sizes& sizes, Precision precision) {
  Diagnostics diagnostics;
  auto module = parse_module("products.heed", text, diagnostics);
  auto elaborated = elaborate(*module, {.entry = entry, .sizes = sizes}, diagnostics);
  if (!elaborated) throw std::runtime_error(diagnostics.text(false));
  auto inputs = inputs_for(elaborated->graph, 1);
  CompileOptions options;
  options.settings.cache.enabled = false;
  SimulatorBuiltins builtins = simulated_builtins();
  options.cuda = cuda_target_named("sm_80");
  options.simulator = &builtins;
  options.precision = precision;
  Program program = compile(make_plan(elaborated->graph), options).program;
  Tensor got = run_on_device(program, inputs, simulated_device())[0];
  Tensor expected = evaluate(elaborated->graph, inputs)[0];
  double largest = 0, worst = 0;
  for (std::int64_t k = 0; k < got.count(); ++k) {
    largest = std::max(largest, std::abs(expected.real(k)));
    double error = std::abs(expected.real(k) - got.real(k));
    worst = std::isnan(error) ? INFINITY : std::max(worst, error);
  }
  return worst / largest;
}

TEST(TensorCores, AsExactAsTheirFactors) {
  const Case cases[] = {
      {Precision::f32, 0, 1e-6}, {Precision::tf32, 1e-6, 2e-3}, {Precision::f16, 1e-6, 2e-3}, {Precision::bf16, 1e-5, 1e-2}};
  const Sizes sizes[] = {{{"M", 37}, {"N", 45}, {"K", 70}},
                         {{"M", 128}, {"N", 256}, {"K", 64}},
                         {{"M", 200}, {"N", 130}, {"K", 33}},
                         {{"M", 64}, {"N", 96}, {"K", 1000}}};
  for (const Case& each : cases)
    for (const Sizes& size : sizes)
      for (const char* entry : {"plain", "transposed"}) {
        double error = error_of(entry, size, each.precision);
        EXPECT_GE(error, each.least) << entry << " " << size.at("M") << " precision " << static_cast<int>(each.precision);
        EXPECT_LE(error, each.most) << entry << " " << size.at("M") << " precision " << static_cast<int>(each.precision);
      }
}

}  // namespace
}  // namespace heed
