// Attention as people write it: compiled in blocks against the evaluator at sizes that no block divides, and what is stored at large ones.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>
#include <unordered_set>

#include "codegen/compile.h"
#include "ir/evaluate.h"
#include "ir/language/elaborate.h"
#include "ir/region_frame.h"
#include "passes/differentiate.h"
#include "passes/lifetimes.h"
#include "passes/pipeline.h"
#include "passes/with_gradients.h"
#include "tests/codegen/compiled.h"
#include "tests/machines.h"

namespace heed {
namespace {

const Sizes small_sizes{{"A", 3}, {"B", 2},  {"H", 3}, {"G", 2},  {"R", 2},  {"Q", 29}, {"K", 37}, {"T", 35}, {"E", 5},
                        {"D", 7}, {"S", 19}, {"F", 3}, {"J", 23}, {"M", 11}, {"N", 31}, {"X", 7},  {"Y", 5}};
const Sizes large_sizes{{"A", 2},  {"B", 2},   {"H", 4},  {"G", 4},    {"R", 2},   {"Q", 1024}, {"K", 1024}, {"T", 1024}, {"E", 64},
                        {"D", 64}, {"S", 128}, {"F", 32}, {"J", 1024}, {"M", 256}, {"N", 1024}, {"X", 32},   {"Y", 32}};

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

void expect_right(const Case& each, bool gradients, const Machine& machine) {
  Graph graph = graph_of(each, small_sizes, gradients);
  Plan plan = make_plan(graph, {.machine = machine});
  expect_as_evaluated(plan, gradients ? differentiate(graph) : graph, inputs_for(graph, 3), 1e-4);
}

TEST_P(Attention, Forward) { expect_right(GetParam(), false, eager_machine()); }
TEST_P(Attention, Backward) { expect_right(GetParam(), true, eager_machine()); }
TEST_P(Attention, ForwardInPasses) { expect_right(GetParam(), false, narrow_machine()); }
TEST_P(Attention, BackwardInPasses) { expect_right(GetParam(), true, narrow_machine()); }

// Where rows are many, what lies before them is summed by chunks: no value of rows times columns is left.
TEST(LinearAttention, IsMadeByChunks) {
  for (std::string entry : {"linear_causal", "decaying", "gated_linear"})
    for (std::int64_t length : {330, 331})
      for (bool gradients : {false, true}) {
        SCOPED_TRACE(fmt::format("{} {} {}", entry, length, gradients));
        const Sizes sizes{{"B", 1}, {"H", 2}, {"T", length}, {"E", 8}, {"D", 12}};
        Graph graph = graph_of({"attentions.heed", entry}, sizes, gradients);
        Plan plan = make_plan(graph);
        for (ArrayRef array : in_order(plan.graph)) EXPECT_LT(element_count(array), 2 * length * length) << array->name;
        expect_as_evaluated(plan, gradients ? differentiate(graph) : graph, inputs_for(graph, 3), 1e-4);
      }
}

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

// Blocks under a causal mask have bodies of several widths, whose kernels do the same.
TEST(Blocks, OfSeveralWidthsShareCode) {
  Plan plan = make_plan(graph_of({"attention_variants.heed", "causal"}, large_sizes, true));
  CompileOptions options = test_options();
  Compilation compilation = compile(plan, options);
  EXPECT_GT(compilation.compiled, 30);
  EXPECT_LE(compilation.codes * 2, compilation.compiled);
}

// --- Passes over columns

Graph written(const std::string& text, const Sizes& sizes, bool gradients) {
  Diagnostics diagnostics;
  std::shared_ptr<const Module> module = parse_module("written.heed", text, diagnostics);
  auto elaborated = module ? elaborate(*module, {.entry = "", .settings = {}, .sizes = sizes}, diagnostics) : std::nullopt;
  if (!elaborated) throw std::runtime_error(diagnostics.text(false));
  return gradients ? with_gradients(elaborated->graph, true) : elaborated->graph;
}

std::string attention_by(const std::string& weights) {
  return "fn attention(q: f32[T, 16], k: f32[T, 16], v: f32[T, 16]) -> f32[T, 16] {\n  s = q @ transpose(k)\n" + weights + "}\n";
}

// Passes of the only region in blocks; 0 where its rows are whole.
int passes_of(const std::string& text, std::int64_t length, bool gradients = false) {
  Plan plan = make_plan(written(text, {{"T", length}}, gradients));
  for (const Plan::Step& step : plan.steps)
    if (const Region* region = std::get_if<Region>(&step); region && region->blocks)
      return region->blocks->kept.empty() ? 0 : region->blocks->passes;
  return -1;
}

TEST(PassesOverColumns, ReductionsRunWithTheirMaximum) {
  for (const char* weights :
       {"  return softmax(s) @ v\n", "  return softmax(where(iota(T)[:, None] >= iota(T), s, -inf)) @ v\n",
        "  m = max(s, axis = 1, keep = true)\n  e = exp(s - m)\n  return (e @ v) / sum(e, axis = 1, keep = true)\n",
        "  m = maximum(max(s, axis = 1, keep = true), 1.0)\n  e = exp(s - m)\n  return (e @ v) / sum(e * e, axis = 1, keep = "
        "true)\n"})
    EXPECT_EQ(passes_of(attention_by(weights), 8192), 1) << weights;
}

TEST(PassesOverColumns, WhatCouldOverflowWaits) {
  // What is shifted is met without the mask under which the maximum is taken; a mean grows as it runs.
  for (const char* weights : {"  m = max(where(iota(T)[:, None] >= iota(T), s, -inf), axis = 1, keep = true)\n  e = exp(s - m)\n"
                              "  return (e @ v) / sum(e, axis = 1, keep = true)\n",
                              "  e = exp(s - mean(s * s, axis = 1, keep = true))\n  return (e @ v) / sum(e, axis = 1, keep = true)\n"})
    EXPECT_NE(passes_of(attention_by(weights), 65536), 1) << weights;
}

TEST(PassesOverColumns, RowsThatStayCloseAreWhole) {
  const std::string text = attention_by("  return softmax(s) @ v\n");
  EXPECT_EQ(passes_of(text, 1024), 0);
  EXPECT_EQ(passes_of(text, 4096, true), 0);  // where scores would be made twice
  EXPECT_EQ(passes_of(text, 1 << 17, true), 2);
}

// One query: whatever takes long is cut along the keys.
TEST(Decoding, KeysAreSharedByThreads) {
  const char* text =
      "fn attention(q: f32[1, 64], k: f32[K, 64], v: f32[K, 64]) -> f32[1, 64] {\n  return softmax(q @ transpose(k)) @ v\n}\n";
  const Program program = program_without_code(make_plan(written(text, {{"K", 1 << 16}}, false)), {});
  int long_ones = 0;
  for (const ProgramStep& step : program.steps) {
    const auto* launch = std::get_if<Launch>(&step);
    ASSERT_TRUE(launch);
    if (program.regions[static_cast<std::size_t>(launch->region)].flop < 1e6) continue;
    long_ones += launch->tasks >= 8;
  }
  EXPECT_EQ(long_ones, 2) << "the scores, and what they weigh";
}

// Tasks of rows that need many columns come first, so that threads end together; where rows follow each other they stay in order.
TEST(Blocks, LongTasksComeFirst) {
  for (std::int64_t length : {1024, 8192})
    for (bool gradients : {false, true}) {
      const std::string text = attention_by("  return softmax(where(iota(T)[:, None] >= iota(T), s, -inf)) @ v\n");
      Plan plan = make_plan(written(text, {{"T", length}}, gradients));
      for (const Plan::Step& step : plan.steps) {
        const Region* region = std::get_if<Region>(&step);
        if (!region || !region->blocks) continue;
        const Blocks& blocks = *region->blocks;
        const std::int64_t first = blocks.blocks.front().row, last = blocks.blocks[static_cast<std::size_t>(blocks.of_rows.back())].row;
        EXPECT_EQ(first > last, blocks.parallel_rows) << length << " " << gradients;
      }
    }
}

// Blocks of columns that no mask touches have bodies without it; those that it covers are not there.
TEST(PassesOverColumns, MasksAreWhereTheyDecideNothing) {
  Plan plan = make_plan(written(attention_by("  return softmax(where(iota(T)[:, None] >= iota(T), s, -inf)) @ v\n"), {{"T", 8192}}, false));
  const Blocks& blocks = *std::get<Region>(plan.steps[0]).blocks;
  EXPECT_LE(blocks.visited, 0.52);
  std::map<bool, std::int64_t> elements;  // with a mask, and without
  for (const Blocks::Block& block : blocks.blocks) {
    const Blocks::Size& size = blocks.sizes[static_cast<std::size_t>(block.body)];
    bool is_masked = false;
    for (const Plan::Step& step : blocks.bodies[static_cast<std::size_t>(block.body)].steps)
      for (ArrayRef array : arrays_of(std::get<Region>(step)))
        is_masked |= std::ranges::any_of(nodes_of(array->body), [](Expr node) { return node->op == Op::select; });
    elements[is_masked] += size.rows * size.columns;
  }
  EXPECT_LE(elements[true] * 5, elements[false]);
}

TEST(PassesOverColumns, SkippedInTheMiddleAndByData) {
  // A window and the first columns; documents.
  const char* windowed =
      "fn attention(q: f32[T, 16], k: f32[T, 16], v: f32[T, 16]) -> f32[T, 16] {\n  i = iota(T)[:, None]\n  j = iota(T)[None, :]\n"
      "  near = j <= i and (i - j < 40 or j < 8)\n  return softmax(where(near, q @ transpose(k), -inf)) @ v\n}\n";
  Machine machine = narrow_machine();
  for (bool gradients : {false, true}) {
    Graph graph = written(windowed, {{"T", 203}}, gradients);
    Plan plan = make_plan(graph, {.machine = machine});
    const Blocks& blocks = *std::get<Region>(plan.steps.back()).blocks;
    EXPECT_FALSE(blocks.kept.empty());
    EXPECT_LE(blocks.visited, 0.45);
    expect_as_evaluated(plan, gradients ? differentiate(graph) : graph, inputs_for(graph, 3), 1e-4);
  }
}

// --- Columns that data decides about

const Blocks* blocks_by_data(const Plan& plan) {
  for (const Plan::Step& step : plan.steps)
    if (const Region* region = std::get_if<Region>(&step); region && region->blocks && region->blocks->by_data) return region->blocks.get();
  return nullptr;
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

// Masks of -1e9: a row that keeps nothing weighs all columns alike, and its block has them all.
TEST(ColumnsByData, LengthsUnderLargeNegativeNumbers) {
  const std::string text =
      "fn padded(q: f32[B, H, T, 16], k: f32[B, H, T, 16], v: f32[B, H, T, 16], length: i32[B]) -> f32[B, H, T, 16] {\n"
      "  seen = iota(T)[None, None, None, :] < length[:, None, None, None]\n"
      "  return softmax(where(seen, q @ transpose(k), -1e9)) @ v\n}\n";
  for (bool gradients : {false, true})
    for (const std::vector<std::int64_t>& lengths : {std::vector<std::int64_t>{0, 2}, {37, 0}, {17, 16}})
      expect_right_with(written(text, {{"B", 2}, {"H", 2}, {"T", 37}}, gradients), gradients, "length", lengths);
  Plan plan = make_plan(written(text, {{"B", 2}, {"H", 4}, {"T", 1024}}, false));
  ASSERT_TRUE(blocks_by_data(plan));
  Tensor length(DType::i32, {2});
  length.set(0, std::int64_t{256});
  length.set(1, std::int64_t{512});
  EXPECT_LE(share_of_columns(plan, "length", length), 0.38);
  length.set(1, std::int64_t{0});
  EXPECT_GE(share_of_columns(plan, "length", length), 0.62);
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
  for (std::int64_t width : {256, 1536}) {  // much smaller than the logits, and little
    SCOPED_TRACE(width);
    Graph graph = written(of_loss, {{"T", 2048}, {"E", width}, {"V", 8192}}, true);
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
