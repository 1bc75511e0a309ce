// Attention as people write it: compiled in blocks against the evaluator at sizes that no block divides, and what is stored at large ones.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <set>
#include <unordered_set>

#include "codegen/compile.h"
#include "ir/evaluate.h"
#include "ir/language/elaborate.h"
#include "passes/differentiate.h"
#include "passes/lifetimes.h"
#include "passes/pipeline.h"
#include "passes/with_gradients.h"
#include "tests/codegen/compiled.h"

namespace heed {
namespace {

const Sizes small_sizes{{"A", 3}, {"B", 2},  {"H", 3}, {"G", 2},  {"R", 2},  {"Q", 29}, {"K", 37}, {"T", 35}, {"E", 5},
                        {"D", 7}, {"S", 19}, {"F", 3}, {"J", 23}, {"M", 11}, {"N", 31}, {"X", 7},  {"Y", 5}};
const Sizes large_sizes{{"A", 2},  {"B", 2},   {"H", 4},  {"G", 4},    {"R", 2},   {"Q", 1024}, {"K", 1024}, {"T", 1024}, {"E", 64},
                        {"D", 64}, {"S", 128}, {"F", 32}, {"J", 1024}, {"M", 256}, {"N", 1024}, {"X", 32},   {"Y", 32}};

// Where blocks win at any size, and have few rows.
Machine eager_machine() {
  Machine machine;
  machine.bytes_per_second = 1e3;
  machine.launch_seconds = 0;
  machine.enough_rows = machine.most_rows = 8;
  return machine;
}

struct Case {
  std::string file, entry;
};
void PrintTo(const Case& each, std::ostream* out) { *out << each.entry; }

std::shared_ptr<const Module> module_of(const std::string& file) {
  static std::map<std::string, std::shared_ptr<const Module>> loaded;
  std::shared_ptr<const Module>& module = loaded[file];
  Diagnostics diagnostics;
  if (!module) module = load_module(std::string(HEED_SOURCE_DIR) + "/examples/" + file, diagnostics);
  if (!module) throw std::runtime_error(diagnostics.text(false));
  return module;
}

std::vector<Case> all_cases() {
  std::vector<Case> cases;
  for (const char* file : {"attention_variants.heed", "attentions.heed"})
    for (const EntryInfo& entry : entries(*module_of(file))) cases.push_back({file, entry.name});
  return cases;
}

Graph graph_of(const Case& each, const Sizes& all_sizes, bool gradients) {
  std::shared_ptr<const Module> module = module_of(each.file);
  ElaborateRequest request{.entry = each.entry, .settings = {}, .sizes = {}, .training = true};
  for (const EntryInfo& entry : entries(*module))
    if (entry.name == each.entry)
      for (const std::string& symbol : entry.symbols) request.sizes[symbol] = all_sizes.at(symbol);
  Diagnostics diagnostics;
  auto elaborated = elaborate(*module, request, diagnostics);
  if (!elaborated) throw std::runtime_error(diagnostics.text(false));
  return gradients ? with_gradients(elaborated->graph, true) : elaborated->graph;
}

class Attention : public testing::TestWithParam<Case> {};

void expect_right(const Case& each, bool gradients) {
  Graph graph = graph_of(each, small_sizes, gradients);
  Plan plan = make_plan(graph, {.machine = eager_machine()});
  expect_as_evaluated(plan, gradients ? differentiate(graph) : graph, inputs_for(graph, 3), 1e-4);
}

TEST_P(Attention, Forward) { expect_right(GetParam(), false); }
TEST_P(Attention, Backward) { expect_right(GetParam(), true); }

// Stored values as large as queries times keys that are no input and no result.
std::set<std::string> large_values(const Case& each, bool gradients) {
  Plan plan = make_plan(graph_of(each, large_sizes, gradients));
  std::unordered_set<ArrayRef> results;
  for (const GraphOutput& output : plan.graph.outputs) results.insert(output.array);
  std::set<std::string> found;
  for (const Plan::Step& step : plan.steps)
    for (ArrayRef array : stored_by(step))
      if (element_count(array) >= 1024 * 1024 && !results.contains(array))
        found.insert(fmt::format("{} of {} elements", array->name.empty() ? "value" : array->name, element_count(array)));
  return found;
}

// What is not as it should be yet.
const std::set<std::string> stores_forward{};
const std::set<std::string> stores_backward{"bucketed", "local_image"};

void expect_nothing_large(const Case& each, bool gradients, const std::set<std::string>& known) {
  std::set<std::string> found = large_values(each, gradients);
  EXPECT_EQ(found.empty(), !known.contains(each.entry)) << testing::PrintToString(found);
}

TEST_P(Attention, ForwardStoresNothingLarge) { expect_nothing_large(GetParam(), false, stores_forward); }
TEST_P(Attention, BackwardStoresNothingLarge) { expect_nothing_large(GetParam(), true, stores_backward); }

// --- Columns that data decides about

const Blocks* blocks_by_data(const Plan& plan) {
  for (const Plan::Step& step : plan.steps)
    if (const Region* region = std::get_if<Region>(&step); region && region->blocks && region->blocks->by_data) return region->blocks.get();
  return nullptr;
}

Graph written(const std::string& text, const Sizes& sizes, bool gradients) {
  Diagnostics diagnostics;
  std::shared_ptr<const Module> module = parse_module("written.heed", text, diagnostics);
  auto elaborated = module ? elaborate(*module, {.entry = "", .settings = {}, .sizes = sizes}, diagnostics) : std::nullopt;
  if (!elaborated) throw std::runtime_error(diagnostics.text(false));
  return gradients ? with_gradients(elaborated->graph, true) : elaborated->graph;
}

// Columns that blocks have, of all there are, where `data` is given.
double share_of_columns(const Plan& plan, const std::string& name, const Tensor& data) {
  const Blocks& blocks = *blocks_by_data(plan);
  Graph bounds{.arena = plan.graph.arena, .name = "bounds", .is_function = true};
  for (const GraphInput& input : plan.graph.inputs)
    if (input.array->name == name) bounds.inputs.push_back(input);
  bounds.outputs = {{"begin", blocks.by_data->begin}, {"end", blocks.by_data->end}};
  std::vector<Tensor> found = evaluate(bounds, {{name, data}});
  double columns = 0;
  for (std::int64_t k = 0; k < found[0].count(); ++k)
    columns += static_cast<double>(std::max<std::int64_t>(found[1].integer(k) - found[0].integer(k), 0));
  return columns / static_cast<double>(found[0].count() * blocks.sizes.back().columns);
}

const std::string of_documents =
    "fn documents(q: f32[B, H, T, 16], k: f32[B, H, T, 16], v: f32[B, H, T, 16], doc: TYPE[B, T]) -> f32[B, H, T, 16] {\n"
    "  same = doc[:, None, :, None] == doc[:, None, None, :]\n"
    "  return softmax(where(same, q @ transpose(k), -inf)) @ v\n}\n";
std::string documents_of(const std::string& type) {
  std::string text = of_documents;
  return text.replace(text.find("TYPE"), 4, type);
}

TEST(ColumnsByData, DocumentsSeeTheirOwn) {
  Tensor packed(DType::i32, {2, 1024});
  for (std::int64_t k = 0; k < packed.count(); ++k) packed.set(k, k % 1024 / 256);
  for (bool gradients : {false, true}) {
    Plan plan = make_plan(written(documents_of("i32"), {{"B", 2}, {"H", 4}, {"T", 1024}}, gradients));
    ASSERT_TRUE(blocks_by_data(plan));
    EXPECT_LE(share_of_columns(plan, "doc", packed), 0.26);
  }
}

TEST(ColumnsByData, FloatsAreNotLookedAt) {
  EXPECT_FALSE(blocks_by_data(make_plan(written(documents_of("f32"), {{"B", 2}, {"H", 4}, {"T", 1024}}, false))));
}

void expect_right_with(const Graph& graph, bool gradients, const std::string& name, const std::vector<std::int64_t>& values) {
  std::map<std::string, Tensor> inputs = inputs_for(graph, 4);
  for (std::size_t k = 0; k < values.size(); ++k) inputs.at(name).set(static_cast<std::int64_t>(k), values[k]);
  expect_as_evaluated(make_plan(graph, {.machine = eager_machine()}), gradients ? differentiate(graph) : graph, inputs, 1e-4);
}

TEST(ColumnsByData, PackedDocumentsOfManyLengths) {
  std::vector<std::int64_t> documents;
  for (std::int64_t k = 0; k < 2 * 70; ++k) documents.push_back(k < 1 ? 9 : k < 30 ? 4 : k < 93 ? 5 : 3);
  for (bool gradients : {false, true})
    expect_right_with(written(documents_of("i32"), {{"B", 2}, {"H", 2}, {"T", 70}}, gradients), gradients, "doc", documents);
}

TEST(ColumnsByData, LengthsOfZeroAndOne) {
  for (bool gradients : {false, true})
    for (const std::vector<std::int64_t>& lengths : {std::vector<std::int64_t>{0, 1}, {37, 0}, {17, 16}})
      expect_right_with(graph_of({"attentions.heed", "padded"}, small_sizes, gradients), gradients, "length", lengths);
}

TEST(ColumnsByData, OneToken) {
  Sizes one = small_sizes;
  for (const char* symbol : {"T", "Q", "K"}) one[symbol] = 1;
  for (const char* entry : {"padded", "decoding", "prefixed", "forgetting", "relative"})
    for (bool gradients : {false, true}) {
      Graph graph = graph_of({"attentions.heed", entry}, one, gradients);
      expect_as_evaluated(make_plan(graph, {.machine = eager_machine()}), gradients ? differentiate(graph) : graph, inputs_for(graph, 5),
                          1e-4);
    }
}

// --- A loss over logits that are never stored

const std::string of_loss =
    "fn loss(x: f32[T, E], w: f32[V, E], b: f32[V], label: i32[T]) -> f32 {\n"
    "  return mean(cross_entropy(x @ transpose(w) + b, label, label_smoothing = 0.1, ignore = 3))\n}\n";

std::int64_t largest_between(const Plan& plan) {
  std::unordered_set<ArrayRef> results;
  for (const GraphOutput& output : plan.graph.outputs) results.insert(output.array);
  std::int64_t largest = 0;
  for (const Plan::Step& step : plan.steps)
    for (ArrayRef array : stored_by(step))
      if (!results.contains(array)) largest = std::max(largest, element_count(array));
  return largest;
}

TEST(VirtualLogits, AsEvaluated) {
  for (bool gradients : {false, true}) {
    Graph graph = written(of_loss, {{"T", 35}, {"E", 6}, {"V", 83}}, gradients);
    Machine machine = eager_machine();
    machine.seconds_per_stored_byte = 1;
    Plan plan = make_plan(graph, {.machine = machine});
    EXPECT_LT(largest_between(plan), 35 * 83);
    expect_as_evaluated(plan, gradients ? differentiate(graph) : graph, inputs_for(graph, 6), 1e-4);
  }
}

TEST(VirtualLogits, MemoryDecides) {
  constexpr std::int64_t logits = 2048 * 8192;
  Graph graph = written(of_loss, {{"T", 2048}, {"E", 256}, {"V", 8192}}, true);
  MemoryFit fit;
  PipelineOptions options{.memory = std::int64_t{1} << 40, .fitted = [&](const MemoryFit& each) { fit = each; }};
  EXPECT_GE(largest_between(make_plan(graph, options)), logits);
  EXPECT_EQ(fit.bytes, fit.bytes_at_ease);
  options.memory = fit.fixed_bytes + 2 * logits;  // half of one such value
  EXPECT_LT(largest_between(make_plan(graph, options)), logits);
  EXPECT_LE(fit.bytes, options.memory);
  EXPECT_GE(fit.flop, fit.flop_at_ease);
  options.memory = fit.fixed_bytes / 2;  // cannot be
  make_plan(graph, options);
  EXPECT_GT(fit.bytes, options.memory);
}

// --- Gradients of gradients

TEST(SecondDerivative, OfCausalAttention) {
  const std::string text =
      "fn second(q: f32[H, T, E], k: f32[H, T, E], v: f32[H, T, E], out: f32[H, T, E]) -> f32 {\n"
      "  s = where(iota(T)[:, None] >= iota(T)[None, :], q @ transpose(k) / sqrt(E), -inf)\n"
      "  y = sum(out * (softmax(s) @ v))\n"
      "  dq = grad(y, q)\n"
      "  return sum(dq * dq)\n}\n";
  Graph small = written(text, {{"H", 2}, {"T", 35}, {"E", 5}}, true);
  expect_as_evaluated(make_plan(small, {.machine = eager_machine()}), differentiate(small), inputs_for(small, 7), 5e-4);
  Graph large = written(text, {{"H", 4}, {"T", 1024}, {"E", 64}}, true);
  EXPECT_LT(largest_between(make_plan(large)), 1024 * 1024);
}

INSTANTIATE_TEST_SUITE_P(Written, Attention, testing::ValuesIn(all_cases()), [](const auto& info) { return info.param.entry; });

}  // namespace
}  // namespace heed
