// What follows from parameters alone is made once, and anew when they change: right factors that are packed, values that are rounded.
#include <gtest/gtest.h>

#include <cstring>

#include "ir/evaluate.h"
#include "ir/language/elaborate.h"
#include "passes/pipeline.h"
#include "runtime/bound_program.h"
#include "tests/codegen/compiled.h"
#include "tests/device.h"

namespace heed {
namespace {

Graph model(const std::string& text, const Sizes& sizes) {
  Diagnostics diagnostics;
  auto module = parse_module("kept.heed", "import nn\n" + text, diagnostics);
  EXPECT_TRUE(module) << diagnostics.text(false);
  auto elaborated = elaborate(*module, {.sizes = sizes}, diagnostics);
  if (!elaborated) throw std::runtime_error(diagnostics.text(false));
  return elaborated->graph;
}

const std::string two_layers =
    "model f(x: f32[M, 96]) -> f32[M, 50] {\n  layer a = nn.linear(96, 200)\n  layer b = nn.linear(200, 50)\n  return b(gelu(a(x)))\n}\n";
// The weights are the same in every step.
const std::string recurrent =
    "model f(x: f32[M, 96]) -> f32[M, 96] {\n  layer a = nn.linear(96, 96)\n"
    "  hs, last = scan(i in 0..4, h = zeros([M, 96])) {\n    h = tanh(a(h)) + x\n    yield h\n  }\n  return last\n}\n";

int prepared_kernels(const Program& program) { return static_cast<int>(program.preparation.size()); }

// Two runs with one set of parameters, one with another.
void check(const Graph& graph, const PipelineOptions& options, int least_prepared, double tolerance) {
  const Plan plan = make_plan(graph, options);
  Program program = compile(plan, test_options()).program;
  if (program.kernels.empty())
    EXPECT_GE(prepared_kernels(program), least_prepared);
  else
    program.device = test_device();  // which packs nothing, but rounds
  ThreadPool pool(2);
  BoundProgram bound(std::make_shared<const Program>(program), pool);
  for (std::uint64_t seed : {1, 1, 2}) {
    std::map<std::string, Tensor> inputs = inputs_for(graph, seed);
    NamedTensors values;
    Batch batch;
    for (const ProgramValue& input : program.inputs) {
      HostTensor tensor(input.type);
      std::memcpy(tensor.data(), inputs.at(input.name).bytes.data(), inputs.at(input.name).bytes.size());
      if (input.role == ProgramValue::Role::data)
        batch.tensors.push_back(std::move(tensor));
      else
        values.emplace(input.name, std::move(tensor));
    }
    bound.forget();
    for (int run = 0; run < 2; ++run) {
      bound.run(values, batch, 0, 0);
      const NamedTensors found = bound.take_outputs();
      const std::vector<Tensor> expected = evaluate(graph, inputs);
      double largest = 0, worst = 0;
      const auto* made = reinterpret_cast<const float*>(found.begin()->second.data());
      for (std::int64_t k = 0; k < expected[0].count(); ++k) {
        largest = std::max(largest, std::abs(expected[0].real(k)));
        worst = std::max(worst, std::abs(expected[0].real(k) - static_cast<double>(made[k])));
      }
      EXPECT_LE(worst, tolerance * largest) << "seed " << seed << ", run " << run;
    }
  }
}

TEST(Kept, RightFactorsArePacked) { check(model(two_layers, {{"M", 40}}), {}, 2, 1e-5); }

TEST(Kept, AlsoThoseOfALoop) { check(model(recurrent, {{"M", 40}}), {}, 1, 1e-5); }

TEST(Kept, RoundedWeights) { check(model(two_layers, {{"M", 40}}), {.precision = DType::bf16}, 2, 2e-2); }

// Where rows are many, packing is little of the work and not worth memory; where memory is short, nothing is kept.
TEST(Kept, NothingWhereItDoesNotPay) {
  if (test_options().cuda) GTEST_SKIP() << "a GPU packs nothing";
  auto prepared = [](const Graph& graph, const PipelineOptions& options) {
    return prepared_kernels(compile(make_plan(graph, options), test_options()).program);
  };
  EXPECT_GT(prepared(model(two_layers, {{"M", 40}}), {}), 0);
  EXPECT_EQ(prepared(model(two_layers, {{"M", 4000}}), {}), 0);
  EXPECT_EQ(prepared(model(two_layers, {{"M", 40}}), {.memory = 1 << 30}), 0);
}

}  // namespace
}  // namespace heed
