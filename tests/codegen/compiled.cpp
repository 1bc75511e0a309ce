// Plans for tests, inputs for them, and the comparison of compiled results with the evaluator's.
// Plans compiled and run on this machine, beside the evaluator.
#include "tests/codegen/compiled.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <deque>
#include <new>

#include "ir/evaluate.h"
#include "ir/function.h"
#include "runtime/execute.h"
#include "tests/device.h"

namespace heed {

Target test_target = test_processor();

Graph graph_of(std::shared_ptr<Arena> arena, const std::vector<ArrayRef>& outputs) {
  Graph graph;
  graph.arena = std::move(arena);
  graph.name = "test";
  std::vector<ArrayRef> inputs;
  for (ArrayRef array : in_order(outputs))
    if (array->kind == Array::Kind::input) inputs.push_back(array);
  std::ranges::sort(inputs, {}, &Array::id);
  for (ArrayRef array : inputs) graph.inputs.push_back({GraphInput::Role::data, array});
  for (std::size_t k = 0; k < outputs.size(); ++k) graph.outputs.push_back({"y" + std::to_string(k), outputs[k]});
  return graph;
}

namespace {

Plan placed(const Graph& graph) {
  Plan plan;
  plan.graph = graph;
  for (ArrayRef array : in_order(graph)) {
    if (array->kind != Array::Kind::definition) continue;
    plan.places[array] = {Plan::Place::Kind::arena, plan.arena_bytes};
    plan.arena_bytes += (byte_count(array) + 63) / 64 * 64;
  }
  for (std::size_t k = graph.outputs.size(); k-- > 0;)
    if (graph.outputs[k].array->kind == Array::Kind::definition)
      plan.places[graph.outputs[k].array] = {Plan::Place::Kind::output, static_cast<std::int64_t>(k)};
  return plan;
}

}  // namespace

Plan plan_apart(const Graph& graph) {
  Plan plan = placed(graph);
  for (ArrayRef array : in_order(graph))
    if (array->kind == Array::Kind::definition)
      plan.steps.push_back(Region{.locals = {}, .outputs = {array}, .label = array->name, .blocks = nullptr});
  return plan;
}

Plan plan_together(const Graph& graph) {
  Plan plan = placed(graph);
  Region region;
  region.label = "all";
  for (ArrayRef array : in_order(graph)) {
    if (array->kind != Array::Kind::definition) continue;
    bool result = std::ranges::any_of(graph.outputs, [&](const GraphOutput& output) { return output.array == array; });
    (result ? region.outputs : region.locals).push_back(array);
  }
  plan.steps.push_back(region);
  return plan;
}

std::map<std::string, Tensor> inputs_for(const Graph& graph, std::uint64_t seed) {
  std::map<std::string, Tensor> tensors;
  std::int64_t key = static_cast<std::int64_t>(seed);
  for (const GraphInput& each : graph.inputs) {
    Tensor tensor(each.array->dtype, each.array->shape);
    ++key;
    for (std::int64_t k = 0; k < tensor.count(); ++k) {
      double number = random_word(key, k) * 0x1p-32;
      Interval range = each.array->range.value_or(Interval{0, 5});
      if (is_floating(each.array->dtype))
        tensor.set(k, number * 4 - 2);
      else if (each.array->dtype == DType::boolean)
        tensor.set(k, static_cast<std::int64_t>(number < 0.5));
      else
        tensor.set(k, range.low + static_cast<std::int64_t>(number * static_cast<double>(range.high - range.low + 1)));
    }
    tensors.emplace(each.array->name, std::move(tensor));
  }
  return tensors;
}

CompileOptions test_options() {
  CompileOptions options;
  options.settings.cache.enabled = false;
  set_test_target(options);
  options.target = test_target;
  return options;
}

namespace {

// Memory that ends where a page begins that may not be touched, so that what is read or written past it stops the test.
class Guarded {
 public:
  explicit Guarded(std::int64_t bytes) : page_(static_cast<std::size_t>(sysconf(_SC_PAGESIZE))) {
    auto size = static_cast<std::size_t>(bytes);
    whole_ = (size + page_ - 1) / page_ * page_ + page_;
    base_ = static_cast<std::byte*>(mmap(nullptr, whole_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    if (base_ == MAP_FAILED || mprotect(base_ + whole_ - page_, page_, PROT_NONE) != 0) throw std::bad_alloc();
    data_ = base_ + whole_ - page_ - size;
  }
  Guarded(const Guarded&) = delete;
  ~Guarded() { munmap(base_, whole_); }
  std::byte* data() const { return data_; }

 private:
  std::size_t page_, whole_ = 0;
  std::byte *base_ = nullptr, *data_ = nullptr;
};

double largest_of(const Tensor& tensor) {
  double largest = 0;
  for (std::int64_t i = 0; is_floating(tensor.dtype) && i < tensor.count(); ++i)
    if (std::isfinite(tensor.real(i))) largest = std::max(largest, std::abs(tensor.real(i)));
  return largest;
}

}  // namespace

std::vector<Tensor> run_compiled(const Program& program, const std::map<std::string, Tensor>& inputs, int threads) {
  if (!program.kernels.empty()) return run_on_device(program, inputs);
  ThreadPool pool(threads);
  Executor executor(std::make_shared<const Program>(program), pool);
  std::deque<Guarded> memory;
  std::vector<Tensor> made;
  std::vector<void*> in, out;
  for (const ProgramValue& value : program.inputs) {
    const Tensor& tensor = inputs.at(value.name);
    in.push_back(memory.emplace_back(value.type.bytes()).data());
    std::ranges::copy(tensor.bytes, static_cast<std::byte*>(in.back()));
  }
  for (const ProgramValue& value : program.outputs) {
    made.emplace_back(*dtype_named(value.type.dtype), value.type.shape);
    out.push_back(value.in_place < 0 ? memory.emplace_back(value.type.bytes()).data() : in[static_cast<std::size_t>(value.in_place)]);
  }
  executor.run(in, out);
  for (std::size_t k = 0; k < made.size(); ++k) std::memcpy(made[k].bytes.data(), out[k], made[k].bytes.size());
  return made;
}

void expect_as_evaluated(const Plan& plan, std::uint64_t seed, double tolerance) {
  expect_as_evaluated(plan, inputs_for(plan.graph, seed), tolerance);
}

void expect_as_evaluated(const Plan& plan, const std::map<std::string, Tensor>& inputs, double tolerance) {
  expect_as_evaluated(plan, plan.graph, inputs, tolerance);
}

void expect_as_evaluated(const Plan& plan, const Graph& before, const std::map<std::string, Tensor>& inputs, double tolerance) {
  std::vector<Tensor> expected = evaluate(before, inputs, {EvaluateOptions::Precision::native});
  Compilation compiled = compile(plan, test_options());
  std::vector<Tensor> got = run_compiled(compiled.program, inputs);
  for (int threads : {2, 3}) {
    std::vector<Tensor> again = run_compiled(compiled.program, inputs, threads);
    for (std::size_t k = 0; k < got.size(); ++k) EXPECT_EQ(got[k].bytes, again[k].bytes) << "with " << threads << " threads";
  }
  ASSERT_EQ(got.size(), expected.size());
  std::vector<double> largest;
  for (const Tensor& output : expected) largest.push_back(largest_of(output));
  // Terms that cancel leave their rounding, of a size that other outputs have.
  const double rounding = std::min(0x1p-20, tolerance) * std::ranges::max(largest);
  for (std::size_t k = 0; k < got.size(); ++k) {
    double worst = 0;
    std::int64_t where = -1;
    bool floating = is_floating(expected[k].dtype);
    for (std::int64_t i = 0; i < expected[k].count(); ++i) {
      double a = got[k].real(i), e = expected[k].real(i);
      if (a == e || (std::isnan(a) && std::isnan(e))) continue;
      double error = std::isfinite(a) && std::isfinite(e) ? std::abs(a - e) : INFINITY;
      if (error > worst) worst = error, where = i;
    }
    double step = expected[k].dtype == DType::f16 ? 0x1p-10 : expected[k].dtype == DType::bf16 ? 0x1p-7 : 0;
    double allowed = !floating ? 0 : largest[k] > 0 ? (tolerance + step) * largest[k] : rounding;
    if (worst > allowed)
      ADD_FAILURE() << "output " << k << " element " << where << ": got " << got[k].real(where) << ", expected " << expected[k].real(where)
                    << ", largest " << largest[k];
  }
}

}  // namespace heed
