// Regions whose values of rows and columns lie in registers of a GPU, on the simulated one: any score body, right to the precision of the
// factors, at sizes that no block divides; and what does not fit the form says why.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <optional>
#include <random>
#include <tuple>

#include "ir/evaluate.h"
#include "ir/language/elaborate.h"
#include "ir/ring_layout.h"
#include "passes/differentiate.h"
#include "passes/pipeline.h"
#include "passes/with_gradients.h"
#include "tests/codegen/compiled.h"
#include "tests/device.h"

namespace heed {
namespace {

constexpr const char* text = R"(
fn plain(q: bf16[B, H, Q, E], k: bf16[B, H, K, E], v: bf16[B, H, K, D]) -> f32[B, H, Q, D] {
  return softmax(f32(q) @ transpose(f32(k)) / sqrt(E)) @ f32(v)
}
fn half(q: f16[B, H, Q, E], k: f16[B, H, K, E], v: f16[B, H, K, D]) -> f16[B, H, Q, D] {
  return f16(softmax(f32(q) @ transpose(f32(k)) / sqrt(E)) @ f32(v))
}
fn causal(q: bf16[B, H, Q, E], k: bf16[B, H, K, E], v: bf16[B, H, K, D]) -> bf16[B, H, Q, D] {
  s = f32(q) @ transpose(f32(k)) / sqrt(E)
  return bf16(softmax(where(iota(Q)[:, None] >= iota(K)[None, :], s, -inf)) @ f32(v))
}
fn window(q: bf16[B, H, Q, E], k: bf16[B, H, K, E], v: bf16[B, H, K, D]) -> f32[B, H, Q, D] {
  i = iota(Q)[:, None]
  j = iota(K)[None, :]
  return softmax(where(j <= i and i - j < 90, f32(q) @ transpose(f32(k)) / sqrt(E), -inf)) @ f32(v)
}
fn chunks(q: bf16[B, H, Q, E], k: bf16[B, H, K, E], v: bf16[B, H, K, D]) -> f32[B, H, Q, D] {
  return softmax(where(iota(Q)[:, None] // 48 == iota(K)[None, :] // 48, f32(q) @ transpose(f32(k)), -inf)) @ f32(v)
}
fn alibi(q: bf16[B, H, Q, E], k: bf16[B, H, K, E], v: bf16[B, H, K, D], slope: f32[H]) -> f32[B, H, Q, D] {
  distance = f32(iota(K)[None, :] - iota(Q)[:, None])
  return softmax(0.1 * slope[:, None, None] * distance + f32(q) @ transpose(f32(k)) / sqrt(E)) @ f32(v)
}
fn softcap(q: bf16[B, H, Q, E], k: bf16[B, H, K, E], v: bf16[B, H, K, D]) -> f32[B, H, Q, D] {
  return softmax(30.0 * tanh(f32(q) @ transpose(f32(k)) / 30.0)) @ f32(v)
}
fn documents(q: bf16[B, H, Q, E], k: bf16[B, H, K, E], v: bf16[B, H, K, D], a: i32[B, Q], b: i32[B, K]) -> f32[B, H, Q, D] {
  same = a[:, None, :, None] == b[:, None, None, :]
  return softmax(where(same, f32(q) @ transpose(f32(k)) / sqrt(E), -inf)) @ f32(v)
}
fn pair_bias(q: bf16[B, H, Q, E], k: bf16[B, H, K, E], v: bf16[B, H, K, D], bias: f32[H, Q, K]) -> f32[B, H, Q, D] {
  return softmax(f32(q) @ transpose(f32(k)) / sqrt(E) + bias) @ f32(v)
}
fn sigmoids(q: bf16[B, H, Q, E], k: bf16[B, H, K, E], v: bf16[B, H, K, D]) -> f32[B, H, Q, D] {
  return sigmoid(f32(q) @ transpose(f32(k)) / sqrt(E) - log(f32(K))) @ f32(v)
}
fn by_sum(q: bf16[B, H, Q, E], k: bf16[B, H, K, E], v: bf16[B, H, K, D]) -> f32[B, H, Q, D] {
  w = relu(f32(q) @ transpose(f32(k))) ** 2 + 0.001
  return (w / sum(w, axis = -1, keep = true)) @ f32(v)
}
fn dropped(q: bf16[B, H, Q, E], k: bf16[B, H, K, E], v: bf16[B, H, K, D]) -> f32[B, H, Q, D] {
  return dropout(softmax(f32(q) @ transpose(f32(k)) / sqrt(E)), rate = 0.3) @ f32(v)
}
fn sink(q: bf16[B, H, Q, E], k: bf16[B, H, K, E], v: bf16[B, H, K, D], logit: f32[H]) -> f32[B, H, Q, D] {
  s = f32(q) @ transpose(f32(k)) / sqrt(E)
  m = maximum(max(s, axis = -1, keep = true), logit[:, None, None])
  p = exp(s - m)
  return (p / (sum(p, axis = -1, keep = true) + exp(logit[:, None, None] - m))) @ f32(v)
}
fn grouped(q: bf16[B, H, 2, Q, E], k: bf16[B, H, K, E], v: bf16[B, H, K, D]) -> f32[B, H, 2, Q, D] {
  s = einsum("b g r i e, b g j e -> b g r i j", f32(q), f32(k)) / sqrt(E)
  return einsum("b g r i j, b g j d -> b g r i d", softmax(s), f32(v))
}
fn turned(q: bf16[B, H, E, Q], k: bf16[B, H, E, K], v: bf16[B, H, D, K]) -> f32[B, H, Q, D] {
  return softmax(transpose(f32(q)) @ f32(k) / sqrt(E)) @ transpose(f32(v))
}
fn interleaved(q: bf16[B, Q, H, E], k: bf16[B, K, H, E], v: bf16[B, K, H, D]) -> f32[B, Q, H, D] {
  s = einsum("b i h e, b j h e -> b h i j", f32(q), f32(k)) / sqrt(E)
  return einsum("b h i j, b j h d -> b i h d", softmax(s), f32(v))
}
fn of_keys(q: bf16[B, H, Q, E], k: bf16[B, H, K, E]) -> f32[B, H, Q, E] {
  return softmax(f32(q) @ transpose(f32(k)) / sqrt(E)) @ f32(k)
}

fn learned(q: f32[B, H, Q, E], k: f32[B, H, K, E], v: f32[B, H, K, D], w: f32[B, H, Q, D]) -> f32[B, H, Q, D] {
  s = q @ transpose(k) / sqrt(E)
  return w * (softmax(where(iota(Q)[:, None] >= iota(K)[None, :], s, -inf)) @ v)
}
fn learned_cap(q: f32[B, H, Q, E], k: f32[B, H, K, E], v: f32[B, H, K, D], w: f32[B, H, Q, D]) -> f32[B, H, Q, D] {
  return w * (softmax(5.0 * tanh(q @ transpose(k) / 5.0)) @ v)
}

fn whole(q: f32[B, H, Q, E], k: f32[B, H, K, E], v: f32[B, H, K, D]) -> f32[B, H, Q, D] {
  return softmax(q @ transpose(k) / sqrt(E)) @ v
}
fn mixed(q: bf16[B, H, Q, E], k: f16[B, H, K, E], v: f16[B, H, K, D]) -> f32[B, H, Q, D] {
  return softmax(f32(q) @ transpose(f32(k)) / sqrt(E)) @ f32(v)
}
fn twice(q: bf16[B, H, Q, E], k: bf16[B, H, K, E], x: bf16[B, H, K, E], v: bf16[B, H, K, D]) -> f32[B, H, Q, D] {
  return softmax(tanh(f32(q) @ transpose(f32(k))) + f32(q) @ transpose(f32(x)) / sqrt(E)) @ f32(v)
}
fn hard(q: bf16[B, H, Q, E], k: bf16[B, H, K, E], v: bf16[B, H, K, D]) -> f32[B, H, Q, D] {
  return one_hot(argmax(f32(q) @ transpose(f32(k)), axis = -1), K) @ f32(v)
}
)";

// Where memory is so slow that blocks win at any size.
Machine eager_gpu(const std::string& target) {
  const CudaTarget chip = cuda_target_named(target);
  Machine machine = gpu_machine({chip.chip, chip.shared_bytes, chip.shared_of_multiprocessor, chip.has_wide_products()});
  machine.bytes_per_second = 1e3;
  machine.launch_seconds = 0;
  return machine;
}

Graph graph_of(const std::string& entry, const Sizes& sizes) {
  Diagnostics diagnostics;
  auto module = parse_module("registers.heed", text, diagnostics);
  ElaborateRequest request{.entry = entry, .settings = {}, .sizes = {}, .training = true};
  for (const EntryInfo& info : entries(*module))
    if (info.name == entry)
      for (const std::string& symbol : info.symbols) request.sizes[symbol] = sizes.at(symbol);
  auto elaborated = elaborate(*module, request, diagnostics);
  if (!elaborated) throw std::runtime_error(diagnostics.text(false));
  return elaborated->graph;
}

std::vector<Tensor> simulated(const Plan& plan, const std::string& target, const std::map<std::string, Tensor>& inputs,
                              Precision precision = Precision::f32) {
  CompileOptions options;
  options.settings.cache.enabled = false;
  options.precision = precision;
  SimulatorBuiltins builtins = simulated_builtins();
  options.cuda = cuda_target_named(target);
  options.simulator = &builtins;
  return run_on_device(compile(plan, options).program, inputs, simulated_device(7));
}

// The largest difference of two values, of the largest one.
double error_of(const Tensor& got, const Tensor& expected) {
  double largest = 1e-30, worst = 0;
  for (std::int64_t n = 0; n < got.count(); ++n) {
    largest = std::max(largest, std::abs(expected.real(n)));
    double error = std::abs(expected.real(n) - got.real(n));
    worst = std::isnan(error) ? INFINITY : std::max(worst, error);
  }
  return worst / largest;
}

std::shared_ptr<Blocks> blocks_of(const Plan& plan) {
  for (const Plan::Step& step : plan.steps)
    if (const auto* region = std::get_if<Region>(&step); region && region->blocks) return region->blocks;
  return {};
}

struct Case {
  std::string entry;
  Sizes sizes;
};
void PrintTo(const Case& each, std::ostream* out) { *out << each.entry; }

Sizes sizes_of(std::int64_t q, std::int64_t k, std::int64_t e, std::int64_t d, std::int64_t b = 1, std::int64_t h = 1) {
  return {{"B", b}, {"H", h}, {"Q", q}, {"K", k}, {"E", e}, {"D", d}};
}

// The worst difference from what the evaluator makes, for the largest value; nothing if the region is not in registers.
std::optional<double> error_of(const std::string& entry, const Sizes& sizes, const std::string& target, bool* is_wide = nullptr) {
  Graph graph = graph_of(entry, sizes);
  Plan plan = make_plan(graph, {.machine = eager_gpu(target)});
  std::shared_ptr<Blocks> blocks = blocks_of(plan);
  if (!blocks || !blocks->registers) return {};
  if (is_wide) *is_wide = blocks->registers->groups > 0;
  const auto inputs = inputs_for(graph, 5);
  return error_of(simulated(plan, target, inputs)[0], evaluate(graph, inputs)[0]);
}

double allowed(const std::string& entry) { return entry == "softcap" || entry == "twice" ? 1e-2 : 4e-3; }  // tanh is exact to 2^-11

class Registers : public testing::TestWithParam<std::tuple<Case, const char*>> {};

TEST_P(Registers, AsEvaluated) {
  const auto& [each, target] = GetParam();
  bool is_wide = false;
  const std::optional<double> error = error_of(each.entry, each.sizes, target, &is_wide);
  ASSERT_TRUE(error) << "not in registers";
  EXPECT_LE(*error, allowed(each.entry));
  EXPECT_EQ(is_wide, cuda_target_named(target).has_wide_products());
}

struct MadeGradients {
  int kernels = 0, wide = 0;  // in registers
  std::string why;            // others are not
  std::map<std::string, double> errors;
};

MadeGradients gradients_of(const std::string& entry, const Sizes& sizes, const std::string& target) {
  Graph graph = with_gradients(graph_of(entry, sizes), true);
  Plan plan = make_plan(graph, {.precision = DType::bf16, .machine = eager_gpu(target)});
  MadeGradients made;
  for (const Plan::Step& step : plan.steps)
    if (const auto* region = std::get_if<Region>(&step); region && region->blocks) {
      made.kernels += region->blocks->registers != nullptr;
      made.wide += region->blocks->registers && region->blocks->registers->groups > 0;
      made.why += region->blocks->not_in_registers + region->blocks->not_wide + "\n";
    }
  const auto inputs = inputs_for(graph, 5);
  const std::vector<Tensor> got = simulated(plan, target, inputs, Precision::bf16), expected = evaluate(differentiate(graph), inputs);
  for (std::size_t k = 0; k < got.size(); ++k) made.errors[graph.outputs[k].name] = error_of(got[k], expected[k]);
  return made;
}

// The slope's is a sum of all scores' gradients, which add up to nothing.
double allowed_of_gradient(const std::string& name) { return name == "grad.slope" ? 2.5e-1 : 3e-2; }

// Bodies and sizes at random, every other one with gradients; HEED_RANDOM_REGISTERS of them.
TEST(RandomRegisters, AreAsEvaluated) {
  const char* asked = std::getenv("HEED_RANDOM_REGISTERS");
  const int count = asked ? std::atoi(asked) : 4;
  const std::vector<std::string> entries{"plain",   "half",      "causal",      "window",   "chunks",  "alibi",
                                         "softcap", "documents", "pair_bias",   "sigmoids", "dropped", "sink",
                                         "grouped", "turned",    "interleaved", "of_keys",  "learned", "learned_cap"};
  for (int seed = 0; seed < count; ++seed) {
    std::mt19937 random(static_cast<unsigned>(seed));
    auto up_to = [&](int most) { return 1 + static_cast<int>(random() % static_cast<unsigned>(most)); };
    const std::string& entry = entries[random() % entries.size()];
    const std::string target = up_to(4) == 1 ? "sm_80" : "sm_90a", what = fmt::format("seed {}: {} on {}", seed, entry, target);
    auto length = [&] { return entry == "turned" ? 8 * up_to(50) : up_to(400); };
    const Sizes sizes = sizes_of(length(), length(), 8 * up_to(20), 8 * up_to(10), up_to(2), up_to(2));
    if (seed % 2 == 0) {
      const std::optional<double> error = error_of(entry, sizes, target);
      if (error) EXPECT_LE(*error, allowed(entry)) << what;
    } else {
      for (const auto& [name, error] : gradients_of(entry, sizes, target).errors)
        EXPECT_LE(error, allowed_of_gradient(name)) << what << ", " << name;
    }
  }
}

// Tiles fit into what a block of the target may have, and where its rows are many a multiprocessor has eight warps.
TEST(RegisterSizes, SuitTheTarget) {
  for (const char* name : {"sm_80", "sm_86", "sm_90", "sm_100", "sm_120"})
    for (std::int64_t width : {64, 128}) {
      const CudaTarget target = cuda_target_named(name);
      Graph graph = with_gradients(graph_of("learned", sizes_of(1024, 1024, width, width)), true);
      Plan plan = make_plan(graph, {.precision = DType::bf16, .machine = eager_gpu(name)});
      int found = 0;
      for (const Plan::Step& step : plan.steps) {
        const auto* region = std::get_if<Region>(&step);
        if (!region || !region->blocks || !region->blocks->registers) continue;
        ++found;
        const RegisterProgram& program = *region->blocks->registers;
        const std::int64_t bytes = most_ring_bytes(program);
        EXPECT_LE(bytes, target.shared_bytes) << name << " " << width;
        EXPECT_GE(target.shared_of_multiprocessor / (bytes + 1024) * program.warps(), 8) << name << " " << width;
      }
      EXPECT_EQ(found, 3) << name << " " << width;
    }
}

struct Gradients {
  std::string entry;
  Sizes sizes;
  int kernels;  // in registers; the others do not fit
};
void PrintTo(const Gradients& each, std::ostream* out) { *out << each.entry; }

class RegistersBackward : public testing::TestWithParam<std::tuple<Gradients, const char*>> {};

// Gradients by queries and by keys are made by kernels of their own, none of which adds to memory.
TEST_P(RegistersBackward, AsEvaluated) {
  const auto& [each, target] = GetParam();
  const MadeGradients made = gradients_of(each.entry, each.sizes, target);
  EXPECT_EQ(made.kernels, each.kernels) << made.why;
  EXPECT_EQ(made.wide, cuda_target_named(target).has_wide_products() ? each.kernels : 0) << made.why;
  for (const auto& [name, error] : made.errors) EXPECT_LE(error, allowed_of_gradient(name)) << name;
}

const auto both_forms = testing::Values("sm_80", "sm_90a");
INSTANTIATE_TEST_SUITE_P(
    Bodies, RegistersBackward,
    testing::Combine(
        testing::Values(Gradients{"learned", sizes_of(150, 150, 16, 16, 1, 2), 3}, Gradients{"learned", sizes_of(128, 192, 32, 16), 3},
                        Gradients{"learned", sizes_of(280, 300, 64, 128), 3}, Gradients{"causal", sizes_of(300, 300, 128, 64), 3},
                        Gradients{"learned_cap", sizes_of(140, 100, 16, 32), 3}, Gradients{"plain", sizes_of(70, 90, 16, 16), 3},
                        Gradients{"half", sizes_of(70, 90, 16, 16), 0}, Gradients{"causal", sizes_of(130, 130, 16, 32), 3},
                        Gradients{"window", sizes_of(150, 150, 16, 16), 3}, Gradients{"alibi", sizes_of(70, 90, 16, 16, 1, 2), 1},
                        Gradients{"softcap", sizes_of(70, 90, 16, 16), 3}, Gradients{"documents", sizes_of(72, 104, 16, 16, 2), 3},
                        Gradients{"documents", sizes_of(150, 150, 64, 64), 3}, Gradients{"pair_bias", sizes_of(70, 90, 16, 16, 1, 2), 3},
                        Gradients{"sigmoids", sizes_of(70, 90, 16, 16), 2}, Gradients{"by_sum", sizes_of(70, 90, 16, 16), 3},
                        Gradients{"dropped", sizes_of(70, 90, 16, 16), 0}, Gradients{"sink", sizes_of(70, 90, 16, 16, 1, 2), 3},
                        Gradients{"grouped", sizes_of(70, 90, 16, 16), 1}, Gradients{"turned", sizes_of(72, 104, 16, 24), 1},
                        Gradients{"interleaved", sizes_of(70, 90, 16, 16, 1, 3), 3}),
        both_forms));
// Shared memory holds less.
INSTANTIATE_TEST_SUITE_P(Small, RegistersBackward,
                         testing::Combine(testing::Values(Gradients{"learned", sizes_of(270, 280, 128, 128), 3}),
                                          testing::Values("sm_80", "sm_86")));

INSTANTIATE_TEST_SUITE_P(
    Bodies, Registers,
    testing::Combine(testing::Values(Case{"plain", sizes_of(150, 200, 32, 16, 1, 2)}, Case{"plain", sizes_of(128, 64, 16, 16)},
                                     Case{"plain", sizes_of(100, 100, 40, 24)}, Case{"half", sizes_of(140, 140, 64, 64)},
                                     Case{"causal", sizes_of(200, 200, 32, 32)}, Case{"causal", sizes_of(130, 300, 16, 16)},
                                     Case{"window", sizes_of(260, 260, 16, 16)}, Case{"chunks", sizes_of(150, 150, 16, 16)},
                                     Case{"alibi", sizes_of(150, 200, 16, 16, 1, 2)}, Case{"softcap", sizes_of(100, 100, 16, 16)},
                                     Case{"documents", sizes_of(140, 200, 16, 16, 2)}, Case{"pair_bias", sizes_of(140, 90, 16, 32, 1, 2)},
                                     Case{"sigmoids", sizes_of(100, 150, 16, 16)}, Case{"by_sum", sizes_of(100, 150, 16, 16)},
                                     Case{"dropped", sizes_of(100, 150, 16, 16)}, Case{"sink", sizes_of(100, 150, 16, 16, 1, 2)},
                                     Case{"grouped", sizes_of(100, 150, 16, 16)}, Case{"turned", sizes_of(136, 104, 32, 24)},
                                     Case{"interleaved", sizes_of(100, 150, 16, 16, 1, 3)}, Case{"of_keys", sizes_of(100, 150, 48, 16)},
                                     Case{"twice", sizes_of(140, 300, 32, 16)}),
                     both_forms));
INSTANTIATE_TEST_SUITE_P(
    Wide, Registers,
    testing::Combine(testing::Values(Case{"causal", sizes_of(260, 260, 128, 16)}, Case{"plain", sizes_of(260, 260, 32, 96)},
                                     Case{"plain", sizes_of(300, 520, 64, 128)}, Case{"causal", sizes_of(300, 300, 16, 128)},
                                     Case{"plain", sizes_of(540, 540, 16, 256)}),
                     both_forms));

TEST(NotInRegisters, SaysWhy) {
  auto why = [](const char* entry, const Sizes& sizes) {
    std::shared_ptr<Blocks> blocks = blocks_of(make_plan(graph_of(entry, sizes), {.machine = eager_gpu("sm_80")}));
    return !blocks ? "no blocks" : blocks->registers ? "in registers" : blocks->not_in_registers;
  };
  EXPECT_EQ(why("plain", sizes_of(100, 100, 16, 16)), "in registers");
  EXPECT_EQ(why("whole", sizes_of(100, 100, 16, 16)), "`q` is f32, and tensor cores multiply values of 16 bits");
  EXPECT_EQ(why("mixed", sizes_of(100, 100, 16, 16)), "a product has factors of bf16 and f16");
  EXPECT_EQ(why("plain", sizes_of(100, 100, 20, 16)), "lines of `q` are not made of whole 16 bytes");
  EXPECT_EQ(why("hard", sizes_of(100, 100, 16, 16)), "its reductions over columns cannot be put together from parts");
}

TEST(NotWide, SaysWhy) {
  auto why = [](const char* entry, const Sizes& sizes) {
    std::shared_ptr<Blocks> blocks = blocks_of(make_plan(graph_of(entry, sizes), {.machine = eager_gpu("sm_90a")}));
    if (!blocks || !blocks->registers) return std::string("not in registers");
    return blocks->registers->groups > 0 ? fmt::format("{} groups", blocks->registers->groups) : blocks->not_wide;
  };
  EXPECT_EQ(why("plain", sizes_of(110, 400, 16, 40)), "2 groups");
  EXPECT_EQ(why("plain", sizes_of(200, 200, 16, 64)), "3 groups");
  EXPECT_EQ(why("plain", sizes_of(600, 600, 16, 128)), "2 groups");
  EXPECT_EQ(why("turned", sizes_of(600, 600, 264, 16)), "a tile of `q` has 272 lines, boxes have 256");
}

}  // namespace
}  // namespace heed
