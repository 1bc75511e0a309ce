// Products by tensor cores, on the simulated GPU: right to the precision of their factors, at sizes that no tile divides, by every tile.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <random>
#include <string>

#include "ir/evaluate.h"
#include "ir/language/elaborate.h"
#include "passes/pipeline.h"
#include "tests/codegen/compiled.h"
#include "tests/device.h"

namespace heed {
namespace {

constexpr const char* text = R"(
fn plain(a: f32[M, K], b: f32[K, N], c: f32[N]) -> f32[M, N] { return relu(a @ b + c) }
fn stored_nt(a: bf16[M, K], b: bf16[N, K], c: f32[N]) -> f32[M, N] { return relu(f32(a) @ f32(transpose(b)) + c) }
fn stored_nn(a: bf16[M, K], b: bf16[K, N], c: f32[N]) -> f32[M, N] { return relu(f32(a) @ f32(b) + c) }
fn stored_tn(a: bf16[K, M], b: bf16[K, N], c: f32[N]) -> f32[M, N] { return relu(f32(transpose(a)) @ f32(b) + c) }
fn stored_tt(a: bf16[K, M], b: bf16[N, K], c: f32[N]) -> f32[M, N] { return relu(f32(transpose(a)) @ f32(transpose(b)) + c) }
fn stored_f16(a: f16[M, K], b: f16[K, N], c: f32[N]) -> f32[M, N] { return relu(f32(a) @ f32(b) + c) }
fn in_part(a: bf16[M + 3, K + 18], b: bf16[K + 3, N + 27]) -> f32[M, N] { return f32(a[1:M + 1, 8:K + 8]) @ f32(b[3:K + 3, 16:N + 16]) }
fn heads(x: bf16[M, K], w: bf16[K, 3, 32]) -> bf16[3, M, 32] {
  y[h, m, d] = sum[k](x[m, k] * w[k, h, d])
  return y
}
fn merged(x: bf16[3, M, 64], w: bf16[3, 64, N]) -> bf16[M, N] {
  y[m, n] = sum[h, d](x[h, m, d] * w[h, d, n])
  return y
}
fn padded(x: bf16[3, 8, 16], w: bf16[N, 16, 3]) -> f32[3, 8, N] {
  y[b, i: 8, n] = sum[c, u](where(i + u >= 1 and i + u < 9, f32(x[b, i + u - 1, c]), 0) * f32(w[n, c, u]))
  return y
}
fn batched(a: bf16[3, M, K], b: bf16[3, K, N]) -> f32[3, M, N] { return f32(a) @ f32(b) }
fn transposed(a: f32[K, M], b: f32[N, K], c: f32[N]) -> f32[M, N] { return relu(transpose(a) @ transpose(b) + c) }
)";

struct Case {
  Precision precision;
  double least, most;  // error, of the largest value: it must be in use, and no worse than its factors
};

struct Outcome {
  double error;               // the largest difference from the evaluator's, of the largest value
  std::int64_t shared_bytes;  // of the first kernel
};

Outcome run_text(const std::string& model, const std::string& entry, const Sizes& sizes, Precision precision, const CudaTarget& target) {
  Diagnostics diagnostics;
  auto module = parse_module("products.heed", model, diagnostics);
  if (!module) throw std::runtime_error(diagnostics.text(false));
  auto elaborated = elaborate(*module, {.entry = entry, .sizes = sizes}, diagnostics);
  if (!elaborated) throw std::runtime_error(diagnostics.text(false));
  auto inputs = inputs_for(elaborated->graph, 1);
  CompileOptions options;
  options.settings.cache.enabled = false;
  SimulatorBuiltins builtins = simulated_builtins();
  options.cuda = target;
  options.simulator = &builtins;
  options.precision = precision;
  Program program = compile(make_plan(elaborated->graph), options).program;
  const std::int64_t shared_bytes = program.kernels[0].shared_bytes;
  Tensor got = run_on_device(std::move(program), inputs, simulated_device())[0];
  Tensor expected = evaluate(elaborated->graph, inputs)[0];
  double largest = 0, worst = 0;
  for (std::int64_t k = 0; k < got.count(); ++k) {
    largest = std::max(largest, std::abs(expected.real(k)));
    double error = std::abs(expected.real(k) - got.real(k));
    worst = std::isnan(error) ? INFINITY : std::max(worst, error);
  }
  return {worst / largest, shared_bytes};
}

Outcome run(const std::string& entry, const Sizes& sizes, Precision precision, const CudaTarget& target) {
  return run_text(text, entry, sizes, precision, target);
}

// One multiprocessor: small products are cut as large ones are on a whole device.
CudaTarget small_device() {
  CudaTarget target = cuda_target_named("sm_80");
  target.multiprocessors = 1;
  return target;
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
        double error = run(entry, size, each.precision, cuda_target_named("sm_80")).error;
        EXPECT_GE(error, each.least) << entry << " " << size.at("M") << " precision " << static_cast<int>(each.precision);
        EXPECT_LE(error, each.most) << entry << " " << size.at("M") << " precision " << static_cast<int>(each.precision);
      }
}

struct StoredCase {
  const char* entry;
  Sizes sizes;
  std::int64_t lines;       // rows and columns of the tile that is chosen, together; 0: the operands go through registers
  std::int64_t depth = 64;  // of a slice
  double most = 1e-6;       // error: the factors are what is stored
};

Sizes sizes(std::int64_t m, std::int64_t n, std::int64_t k) { return {{"M", m}, {"N", n}, {"K", k}}; }

void expect_exact(const StoredCase& each, const CudaTarget& target) {
  Outcome outcome = run(each.entry, each.sizes, Precision::f32, target);
  std::string name = each.entry;
  for (const auto& [size, value] : each.sizes) name += " " + size + "=" + std::to_string(value);
  EXPECT_LE(outcome.error, each.most) << name;
  // Else two slices of padded lines, or the sums on their way to what follows.
  const std::int64_t ring = 3 * each.lines * each.depth * 2;
  if (each.lines > 0)
    EXPECT_EQ(outcome.shared_bytes, ring) << name;
  else
    EXPECT_NE(outcome.shared_bytes % (3 * 64 * 64 * 2), 0) << name;
}

// Every tile, with operands along the depth and along their lines.
TEST(TensorCores, MultiplyWhatIsStored) {
  struct Tile {
    std::int64_t m, n, lines;
    std::vector<const char*> entries;
  };
  const Tile tiles[] = {{120, 248, 384, {"stored_nt", "stored_tn"}},
                        {248, 120, 384, {"stored_nn", "stored_tt"}},
                        {120, 104, 256, {"stored_nt", "stored_nn", "stored_tn", "stored_tt"}},
                        {120, 56, 192, {"stored_nt", "stored_tn"}},
                        {56, 104, 192, {"stored_nn", "stored_tt"}},
                        {40, 56, 128, {"stored_nt", "stored_nn", "stored_tn", "stored_tt"}}};
  for (const Tile& tile : tiles)
    for (const char* entry : tile.entries) expect_exact({entry, sizes(tile.m, tile.n, 200), tile.lines}, small_device());
}

TEST(TensorCores, MultiplyWhatIsStoredAnywhere) {
  const StoredCase cases[] = {
      {"stored_f16", sizes(61, 72, 136), 192},  // lines end in a tile, the depth in a slice
      {"stored_nn", sizes(61, 72, 24), 192, 32},
      {"stored_nt", sizes(200, 75, 64), 384},  // several tiles, one slice
      {"in_part", sizes(45, 53, 70), 128},     // lines and depth end inside of chunks
      {"heads", {{"M", 72}, {"K", 40}}, 256, 64, 4e-3},
      {"merged", {{"M", 72}, {"N", 40}}, 192, 64, 4e-3},
      {"batched", sizes(40, 56, 72), 128},
      {"stored_nt", sizes(40, 56, 70), 0},  // lines that are not aligned
      {"padded", {{"N", 24}}, 0},           // more than a read
  };
  for (const StoredCase& each : cases) expect_exact(each, small_device());
}

// The depth in parts, which are whole turns of the ring.
TEST(TensorCores, MultiplyWhatIsStoredInParts) {
  for (const char* entry : {"stored_nt", "stored_tn"}) expect_exact({entry, sizes(40, 56, 1000), 128}, cuda_target_named("sm_80"));
}

// By warpgroups, of boxes: every tile and way to lie, more slices than the ring has slots, batches, parts.
TEST(TensorCores, MultiplyBoxes) {
  CudaTarget target = cuda_target_named("sm_90a");
  auto expect = [&](const char* entry, const Sizes& sizes, std::int64_t lines) {
    Outcome outcome = run(entry, sizes, Precision::f32, target);
    EXPECT_LE(outcome.error, 1e-6) << entry << " " << lines;
    EXPECT_EQ(outcome.shared_bytes, 4 * lines * 128 + 64) << entry;
  };
  target.multiprocessors = 1;
  for (const char* entry : {"stored_nt", "stored_tn"}) expect(entry, sizes(120, 248, 328), 384);
  for (const char* entry : {"stored_nn", "stored_tt", "stored_f16"}) expect(entry, sizes(120, 104, 72), 256);
  expect("batched", sizes(104, 120, 64), 256);
  target.multiprocessors = 4;
  expect("stored_nt", sizes(125, 232, 520), 256);
}

// Shapes, strides and parts of larger arrays at random; HEED_RANDOM_PRODUCTS of them.
TEST(TensorCores, MultiplyAtRandom) {
  const char* asked = std::getenv("HEED_RANDOM_PRODUCTS");
  const int count = asked ? std::atoi(asked) : 6;
  for (int seed = 0; seed < count; ++seed) {
    std::mt19937 random(static_cast<unsigned>(seed));
    auto up_to = [&](int most) { return static_cast<int>(random() % static_cast<unsigned>(most)); };
    auto size = [&](int most) { return up_to(3) > 0 ? 8 * (1 + up_to(most / 8)) : 4 + up_to(most - 4); };
    const int m = size(280), n = size(280), k = size(300), batches = up_to(3) == 0 ? 3 : 1;
    // An operand's indices, in either order, in a part of a larger array.
    struct Operand {
      std::string type, read;
    };
    auto operand = [&](const std::string& name, const std::string& line, int lines) {
      const int from_line = up_to(2) * 8 * up_to(3), from_depth = up_to(2) * 8 * up_to(3), more = 8 * up_to(3);
      std::string of_line = line + " + " + std::to_string(from_line), of_depth = "k + " + std::to_string(from_depth);
      const bool along_depth = up_to(2) == 0;
      const std::string first = std::to_string(along_depth ? lines + from_line : k + from_depth);
      const std::string second = std::to_string(more + (along_depth ? k + from_depth : lines + from_line));
      return Operand{"bf16[" + (batches > 1 ? std::to_string(batches) + ", " : "") + first + ", " + second + "]",
                     name + "[" + (batches > 1 ? "q, " : "") + (along_depth ? of_line + ", " + of_depth : of_depth + ", " + of_line) + "]"};
    };
    const Operand a = operand("a", "m", m), b = operand("b", "n", n);
    const std::string whole = "fn product(a: " + a.type + ", b: " + b.type + ") {\n  y[" +
                              (batches > 1 ? "q: " + std::to_string(batches) + ", " : "") + "m: " + std::to_string(m) +
                              ", n: " + std::to_string(n) + "] = sum[k: " + std::to_string(k) + "](f32(" + a.read + ") * f32(" + b.read +
                              "))\n  return y\n}\n";
    CudaTarget target = cuda_target_named(up_to(2) == 0 ? "sm_80" : "sm_90a");
    target.multiprocessors = up_to(2) == 0 ? 1 : 6;
    EXPECT_LE(run_text(whole, "product", {}, Precision::f32, target).error, 1e-6) << "seed " << seed << ", " << target.name << "\n"
                                                                                  << whole;
  }
}

}  // namespace
}  // namespace heed
