// Compares the bits of several numbers of threads, and values with what the evaluator gives.
#include "tests/codegen/product_check.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <random>
#include <thread>

#include "codegen/tile/product.h"
#include "ir/evaluate.h"
#include "ir/function.h"
#include "tests/processor.h"

namespace heed {
namespace {

// Memory that ends at a page which must not be touched.
class Guarded {
 public:
  explicit Guarded(std::int64_t bytes, std::int64_t alignment) {
    std::int64_t page = sysconf(_SC_PAGESIZE);
    size_ = (bytes + page - 1) / page * page + 2 * page;
    base_ = static_cast<char*>(mmap(nullptr, static_cast<std::size_t>(size_), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    mprotect(base_ + size_ - page, static_cast<std::size_t>(page), PROT_NONE);
    data_ = base_ + (size_ - page - bytes) / alignment * alignment;
    std::memset(base_, 0xff, static_cast<std::size_t>(size_ - page));  // NaN wherever nothing is written
  }
  ~Guarded() { munmap(base_, static_cast<std::size_t>(size_)); }
  Guarded(const Guarded&) = delete;
  char* data() const { return data_; }

 private:
  char *base_, *data_;
  std::int64_t size_;
};

struct Values {
  std::map<ArrayRef, std::unique_ptr<Guarded>> arrays;
  char* add(ArrayRef array) {
    auto& entry = arrays[array];
    if (!entry) entry = std::make_unique<Guarded>(byte_count(array), byte_size(array->dtype));
    return entry->data();
  }
};

std::vector<ProductLaunch> all_launches(const ProductKernels& kernels) {
  std::vector<ProductLaunch> launches = kernels.launches;
  if (kernels.preparation) launches.insert(launches.begin(), *kernels.preparation);
  return launches;
}

CompiledKernels compiled_kernels(const ProductKernels& kernels, const Target& target) {
  CompileSettings settings;
  settings.cache.enabled = false;
  settings.threads = 1;
  std::vector<KernelSource> sources;
  for (const auto& launch : all_launches(kernels)) sources.push_back(launch.source);
  return compile_kernels(sources, target, settings);
}

void run(const ProductKernels& kernels, const CompiledKernels& compiled, Values& values, int threads) {
  const std::vector<ProductLaunch> launches = all_launches(kernels);
  for (std::size_t i = 0; i < launches.size(); ++i) {
    const ProductLaunch& launch = launches[i];
    std::vector<void*> buffers;
    for (ArrayRef array : launch.buffers) buffers.push_back(values.add(array));
    std::atomic<std::int64_t> next{0};
    Fault fault;
    auto work = [&] {
      Guarded scratch(launch.scratch_bytes, 64);
      for (std::int64_t task; (task = next++) < launch.tasks;) compiled.functions[i](buffers.data(), scratch.data(), task, &fault);
    };
    std::vector<std::thread> others;
    for (int t = 1; t < threads; ++t) others.emplace_back(work);
    work();
    for (auto& other : others) other.join();
    EXPECT_EQ(fault.place, 0);
  }
}

Tensor random_tensor(ArrayRef array, std::mt19937& random) {
  Tensor tensor(array->dtype, array->shape);
  for (std::int64_t i = 0; i < element_count(array); ++i) {
    if (is_floating(array->dtype)) {
      tensor.set(i, std::uniform_real_distribution<double>(-1, 1)(random));
      continue;
    }
    const std::int64_t most = array->dtype == DType::i32 ? INT32_MAX : INT64_MAX;  // sums wrap
    const Interval range = array->range.value_or(Interval{-most - 1, most});
    tensor.set(i, std::uniform_int_distribution<std::int64_t>(range.low, range.high)(random));
  }
  return tensor;
}

// Nothing if they are as close as sums in another order are; integers are equal in bits.
std::string difference(const Tensor& found, const Tensor& expected) {
  const DType dtype = found.dtype;
  if (!is_floating(dtype)) {
    for (std::int64_t i = 0; i < found.count(); ++i)
      if (found.integer(i) != expected.integer(i))
        return fmt::format("element {}: {}, should be {}", i, found.integer(i), expected.integer(i));
    return "";
  }
  const double tolerance = dtype == DType::f64 ? 1e-12 : dtype == DType::f32 ? 1e-4 : 2e-2;
  for (std::int64_t i = 0; i < found.count(); ++i) {
    const double x = found.real(i), y = expected.real(i);
    if (!(std::abs(x - y) <= tolerance * (1 + std::abs(y)))) return fmt::format("element {}: {}, should be {}", i, x, y);
  }
  return "";
}

// What the kernels get wrong with some numbers of threads.
std::string fault_of(const ProductKernels& kernels, const Region& region, const Target& target, const std::map<ArrayRef, Tensor>& inputs,
                     const std::vector<Tensor>& expected) {
  const CompiledKernels compiled = compiled_kernels(kernels, target);
  std::vector<Tensor> first;
  for (int threads : {1, 2, 3, 7}) {
    Values values;
    for (const auto& [array, tensor] : inputs) std::memcpy(values.add(array), tensor.bytes.data(), tensor.bytes.size());
    run(kernels, compiled, values, threads);
    if (std::string mistake = simulated_matrices::take_mistake(); !mistake.empty()) return fmt::format("{}: {}", kernels.schedule, mistake);
    for (std::size_t k = 0; k < region.outputs.size(); ++k) {
      ArrayRef array = region.outputs[k];
      Tensor found(array->dtype, array->shape);
      std::memcpy(found.bytes.data(), values.add(array), static_cast<std::size_t>(byte_count(array)));
      if (threads == 1) {
        if (std::string text = difference(found, expected[k]); !text.empty())
          return fmt::format("{}: output {} {}", kernels.schedule, k, text);
        first.push_back(std::move(found));
      } else if (found.bytes != first[k].bytes) {
        return fmt::format("{}: output {} has other bits with {} threads", kernels.schedule, k, threads);
      }
    }
  }
  return "";
}

}  // namespace

std::string product_fault(const Region& region, const Target& target, std::string* schedule) {
  Graph graph;
  std::map<std::string, Tensor> named;
  std::map<ArrayRef, Tensor> inputs;
  std::unordered_set<ArrayRef> all;
  std::mt19937 random(7);
  for (ArrayRef array : in_order(region.outputs))
    if (array->kind == Array::Kind::input) {
      graph.inputs.push_back({GraphInput::Role::data, array});
      named.emplace(array->name, inputs.emplace(array, random_tensor(array, random)).first->second);
      all.insert(array);
    }
  for (std::size_t i = 0; i < region.outputs.size(); ++i) graph.outputs.push_back({fmt::format("out{}", i), region.outputs[i]});
  const std::vector<Tensor> expected = evaluate(graph, named);
  FaultPlaces places;
  auto kernels = product_kernels(region, target, {Slices{}}, places);
  if (!kernels) return "no product";
  if (schedule) *schedule = kernels->schedule;
  if (std::string fault = fault_of(*kernels, region, target, inputs, expected); !fault.empty()) return fault;
  // Also with a right factor that is packed before, where that pays.
  kernels = product_kernels(region, target, {.slices = Slices{}, .stays = std::move(all)}, places);
  return kernels->preparation ? fault_of(*kernels, region, target, inputs, expected) : "";
}

void check_product(const Region& region, const std::vector<std::string_view>& targets) {
  for (std::string_view name : targets)
    if (const std::optional<Target> target = processor_named(name)) EXPECT_EQ(product_fault(region, *target), "") << name;
}

Region random_product(Maker& make, std::mt19937& random, int most) {
  auto pick = [&](int low, int high) { return std::uniform_int_distribution<int>(low, high)(random); };
  auto axes = [&](int largest) {
    std::vector<AxisRef> out;
    for (int count = pick(1, 2); count > 0; --count) out.push_back(make.axis(pick(2, largest)));
    return out;
  };
  std::vector<AxisRef> batch = pick(0, 2) == 0 ? axes(3) : std::vector<AxisRef>{}, m = axes(most), n = axes(most), k = axes(most);
  if (pick(0, 3) == 0) k = {make.axis(pick(500, 3000))};
  if (pick(0, 3) == 0) k = {make.axis(pick(2, 4)), make.axis(pick(17, 70))}, n = {make.axis(pick(16, 70))};
  auto read_all = [&](const char* name, std::vector<AxisRef> all) {
    std::ranges::shuffle(all, random);
    std::vector<std::int64_t> shape;
    std::vector<Expr> indices;
    for (AxisRef axis : all) {
      std::int64_t step = pick(0, 6) == 0 ? 2 : 1, offset = pick(0, 6) == 0 ? 3 : 0;
      shape.push_back(axis->size * step + offset);
      bool reversed = pick(0, 8) == 0;
      Expr index = reversed ? shift(scale(std::int64_t{-1}, value(axis)), axis->size - 1) : value(axis);
      indices.push_back(shift(scale(step, index), offset));
    }
    return read(make.in(name, shape), indices);
  };
  auto joined = [](std::initializer_list<std::vector<AxisRef>> parts) {
    std::vector<AxisRef> out;
    for (const auto& part : parts) out.insert(out.end(), part.begin(), part.end());
    return out;
  };
  Expr a = read_all("a", joined({batch, m, k})), b = read_all("b", joined({batch, n, k}));
  std::vector<AxisRef> out = joined({batch, m, n});
  std::ranges::shuffle(out, random);
  return {{}, {define(out, sum(k, multiply(a, b)), compute_type(make.usual))}, ""};
}

std::string product_assembly(DType left, DType right, std::int64_t depth, std::string_view target_name) {
  Maker make;
  AxisRef i = make.axis(40), j = make.axis(50), l = make.axis(depth);
  ArrayRef a = make.in("a", {40, depth}, left), b = make.in("b", {depth, 50}, right);
  ArrayRef c = defined({i, j}, summed({l}, multiply(at(a, {i, l}), at(b, {l, j}))));
  const Target target = target_named(target_name);
  FaultPlaces places;
  auto kernels = product_kernels({{}, {c}, ""}, target, {Slices{}}, places);
  return kernel_text(kernels->launches[0].source, target).assembly;
}

}  // namespace heed
