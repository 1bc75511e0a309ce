// Product kernels against the reference evaluator: shapes, strides, guards, several axes a role, computed operands, epilogues.
#include "codegen/tile/product.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <map>
#include <random>
#include <thread>

#include "codegen/tile/micro_kernel.h"
#include "ir/algebra.h"
#include "ir/evaluate.h"
#include "ir/function.h"
#include "ir/product_form.h"

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
    std::memset(base_, 0x7f, static_cast<std::size_t>(size_ - page));  // NaN wherever nothing is written
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

CompiledKernels compiled_kernels(const ProductKernels& kernels, const Target& target) {
  CompileSettings settings;
  settings.cache.enabled = false;
  settings.threads = 1;
  std::vector<KernelSource> sources;
  for (const auto& launch : kernels.launches) sources.push_back(launch.source);
  return compile_kernels(sources, target, settings);
}

void run(const ProductKernels& kernels, const CompiledKernels& compiled, Values& values, int threads) {
  for (std::size_t i = 0; i < kernels.launches.size(); ++i) {
    const ProductLaunch& launch = kernels.launches[i];
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
    double value = array->range
                       ? static_cast<double>(std::uniform_int_distribution<std::int64_t>(array->range->low, array->range->high)(random))
                       : std::uniform_real_distribution<double>(-1, 1)(random);
    tensor.set(i, value);
  }
  return tensor;
}

// Compiles the region for each target this machine runs, and compares all its outputs with the evaluator.
void check(const Region& region, std::vector<std::string_view> targets = {"host", "avx2", "plain"}, std::string* schedule = nullptr) {
  Graph graph;
  std::map<std::string, Tensor> inputs;
  std::mt19937 random(7);
  for (ArrayRef array : in_order(region.outputs))
    if (array->kind == Array::Kind::input) {
      graph.inputs.push_back({GraphInput::Role::data, array});
      inputs.emplace(array->name, random_tensor(array, random));
    }
  for (std::size_t i = 0; i < region.outputs.size(); ++i) graph.outputs.push_back({fmt::format("out{}", i), region.outputs[i]});
  std::vector<Tensor> expected = evaluate(graph, inputs);
  for (std::string_view name : targets) {
    Target target = target_named(name);
    if (!runs_here(target)) continue;
    FaultPlaces places;
    auto kernels = product_kernels(region, target, {Slices{}}, places);
    ASSERT_TRUE(kernels) << "no product";
    if (schedule && name == "host") *schedule = kernels->schedule;
    SCOPED_TRACE(fmt::format("{}: {}", name, kernels->schedule));
    CompiledKernels compiled = compiled_kernels(*kernels, target);
    std::vector<Tensor> first;
    for (int threads : {1, 2, 3, 7}) {
      Values values;
      for (const auto& input : graph.inputs)
        std::memcpy(values.add(input.array), inputs.at(input.array->name).bytes.data(), static_cast<std::size_t>(byte_count(input.array)));
      run(*kernels, compiled, values, threads);
      for (std::size_t k = 0; k < region.outputs.size(); ++k) {
        ArrayRef array = region.outputs[k];
        Tensor found(array->dtype, array->shape);
        std::memcpy(found.bytes.data(), values.add(array), static_cast<std::size_t>(byte_count(array)));
        if (threads == 1) {
          first.push_back(found);
        } else {
          EXPECT_EQ(found.bytes, first[k].bytes) << "bits with " << threads << " threads";
          continue;
        }
        double tolerance = array->dtype == DType::f64 ? 1e-12 : array->dtype == DType::f32 ? 1e-4 : 2e-2;
        for (std::int64_t i = 0; i < element_count(array); ++i) {
          double x = found.real(i), y = expected[k].real(i);
          if (!(std::abs(x - y) <= tolerance * (1 + std::abs(y)))) {
            ADD_FAILURE() << "output " << k << " element " << i << ": " << x << ", should be " << y;
            return;
          }
        }
      }
    }
  }
}

struct Maker {
  std::shared_ptr<Arena> arena = std::make_shared<Arena>();
  std::map<std::string, ArrayRef> inputs;
  DType usual = DType::f32;
  ArrayRef in(const std::string& name, std::vector<std::int64_t> shape) { return in(name, std::move(shape), usual); }
  ArrayRef in(const std::string& name, std::vector<std::int64_t> shape, DType dtype, std::optional<Interval> range = {}) {
    return inputs[name] = input(*arena, name, std::move(shape), dtype, range);
  }
  AxisRef axis(std::int64_t size) { return fresh_axis(*arena, size); }
};
struct Index {
  Index(Expr x) : x(x) {}
  Index(AxisRef axis) : x(value(axis)) {}
  Expr x;
};
Expr at(ArrayRef array, std::initializer_list<Index> places) {
  std::vector<Expr> indices;
  for (const Index& place : places) indices.push_back(place.x);
  return read(array, indices);
}
ArrayRef defined(std::vector<AxisRef> axes, Expr body, DType dtype = DType::f32) { return define(axes, body, dtype); }
Expr summed(std::vector<AxisRef> axes, Expr body) { return sum(axes, body); }

// Of factors in f32, and in bf16, which some processors multiply by pairs.
class ProductOf : public testing::TestWithParam<DType> {
 protected:
  static void check_factors(const Region& region, std::vector<std::string_view> targets = {"host", "avx2", "plain"}) {
    if (GetParam() == DType::bf16) targets = {runs_here(target_named("avx512bf16")) ? "avx512bf16" : "host"};
    check(region, targets);
  }
};
INSTANTIATE_TEST_SUITE_P(Factors, ProductOf, testing::Values(DType::f32, DType::bf16),
                         [](const auto& info) { return std::string(name_of(info.param)); });

TEST_P(ProductOf, Plain) {
  for (auto [m, n, k] : std::vector<std::tuple<int, int, int>>{{2, 2, 2},
                                                               {3, 5, 7},
                                                               {16, 16, 16},
                                                               {17, 33, 65},
                                                               {64, 96, 128},
                                                               {100, 10, 64},
                                                               {5, 130, 20},
                                                               {65, 49, 300},
                                                               {40, 100, 1500},
                                                               {3, 200, 2500},
                                                               {200, 3, 100},
                                                               {33, 2, 40}}) {
    SCOPED_TRACE(fmt::format("{} {} {}", m, n, k));
    Maker make{.usual = GetParam()};
    AxisRef i = make.axis(m), j = make.axis(n), l = make.axis(k);
    ArrayRef a = make.in("a", {m, k}), b = make.in("b", {k, n});
    check_factors({{}, {defined({i, j}, summed({l}, multiply(at(a, {i, l}), at(b, {l, j}))))}, ""});
  }
}

// Each tile that some size is given, on each target, at sizes that it does not divide where there are such.
TEST(Product, EveryTile) {
  for (std::string_view name : {"host", "avx2", "plain"}) {
    const Target target = target_named(name);
    if (!runs_here(target)) continue;
    std::map<std::pair<int, int>, std::pair<int, int>> sizes;  // of each tile's rows and vectors
    const int lanes = target.lanes(4);
    for (int m = 2; m <= 40; ++m)  // One row is no product of matrices.
      for (int vectors = 1; vectors <= 9; ++vectors)
        for (int n : {vectors * lanes, vectors * lanes - 1}) {
          const Tile tile = choose_tile(target, 4, m, n);
          auto& found = sizes[{tile.rows, tile.vectors}];
          const auto rest = [&](const std::pair<int, int>& size) {
            return (size.first % tile.rows != 0) + (size.second % tile.columns() != 0);
          };
          if (found.first == 0 || rest({m, n}) > rest(found)) found = {m, n};
        }
    EXPECT_GE(sizes.size(), 10U) << name;
    for (const auto& [tile, size] : sizes) {
      SCOPED_TRACE(fmt::format("{} tile {} x {}: {} x {}", name, tile.first, tile.second, size.first, size.second));
      Maker make;
      AxisRef i = make.axis(size.first), j = make.axis(size.second), l = make.axis(70);
      ArrayRef a = make.in("a", {size.first, 70}), b = make.in("b", {70, size.second});
      check({{}, {defined({i, j}, summed({l}, multiply(at(a, {i, l}), at(b, {l, j}))))}, ""}, {name});
    }
  }
}

TEST_P(ProductOf, Transposed) {
  for (auto [m, n, k] : std::vector<std::tuple<int, int, int>>{{7, 5, 9}, {48, 70, 64}, {33, 100, 130}, {129, 40, 33}, {20, 64, 1200}})
    for (int form = 0; form < 8; ++form) {
      SCOPED_TRACE(fmt::format("{} {} {} form {}", m, n, k, form));
      Maker make{.usual = GetParam()};
      AxisRef i = make.axis(m), j = make.axis(n), l = make.axis(k);
      ArrayRef a = form & 1 ? make.in("a", {k, m}) : make.in("a", {m, k}), b = form & 2 ? make.in("b", {n, k}) : make.in("b", {k, n});
      Expr x = summed({l}, multiply(form & 1 ? at(a, {l, i}) : at(a, {i, l}), form & 2 ? at(b, {j, l}) : at(b, {l, j})));
      check_factors({{}, {form & 4 ? defined({j, i}, x) : defined({i, j}, x)}, ""}, {"host"});
    }
}

TEST_P(ProductOf, Batched) {
  for (auto [h, m, n, k] : std::vector<std::tuple<int, int, int, int>>{{3, 5, 7, 9}, {2, 40, 33, 17}, {60, 4, 4, 8}}) {
    SCOPED_TRACE(fmt::format("{} {} {} {}", h, m, n, k));
    Maker make{.usual = GetParam()};
    AxisRef b = make.axis(2), g = make.axis(h), i = make.axis(m), j = make.axis(n), l = make.axis(k);
    // Heads of one stored array of queries, keys and values, as attention reads them.
    ArrayRef qkv = make.in("qkv", {2, std::max(m, n), 2 * h * k});
    auto head = [&](AxisRef t, int part) {
      const IntegerTerm terms[] = {{k, value(g)}, {1, value(l)}};
      return at(qkv, {b, t, shift(linear(terms, 0, *make.arena), part * h * k)});
    };
    Expr score = summed({l}, multiply(head(i, 0), head(j, 1)));
    check_factors({{}, {defined({b, g, i, j}, scale(0.125, score))}, ""});
    // Merged heads: out[b, i, (g, d)] and then times a matrix with (g, d) summed.
    ArrayRef p = make.in("p", {2, h, m, n}), v = make.in("v", {2, n, h, k}), w = make.in("w", {h, k, 20});
    AxisRef d = make.axis(k), o = make.axis(20);
    check_factors({{}, {defined({b, i, g, d}, summed({j}, multiply(at(p, {b, g, i, j}), at(v, {b, j, g, d}))))}, ""});
    ArrayRef x = make.in("x", {2, h, m, k});
    check_factors({{}, {defined({b, i, o}, summed({g, d}, multiply(at(x, {b, g, i, d}), at(w, {g, d, o}))))}, ""});
  }
}

// A convolution and both its gradients, with padding as guards.
TEST_P(ProductOf, Convolution) {
  for (auto [batch, in, out, size, stride] : std::vector<std::tuple<int, int, int, int, int>>{
           {2, 3, 8, 16, 1}, {3, 4, 5, 7, 1}, {2, 3, 6, 9, 2}, {1, 3, 20, 32, 1}, {6, 3, 6, 28, 1}, {20, 2, 5, 14, 1}}) {
    SCOPED_TRACE(fmt::format("{} {} {} {} {}", batch, in, out, size, stride));
    Maker make{.usual = GetParam()};
    int result = (size - 1) / stride + 1;
    AxisRef b = make.axis(batch), o = make.axis(out), r = make.axis(result), c = make.axis(result), n = make.axis(in), u = make.axis(3),
            v = make.axis(3);
    ArrayRef image = make.in("image", {batch, in, size, size}), w = make.in("w", {out, in, 3, 3}), bias = make.in("bias", {out}),
             up = make.in("up", {batch, out, result, result});
    auto place = [&](AxisRef position, AxisRef window) {
      const IntegerTerm terms[] = {{stride, value(position)}, {1, value(window)}};
      return linear(terms, -1, *make.arena);
    };
    Expr y = place(r, u), x = place(c, v);
    Expr pixel = select(both(inside(y, size), inside(x, size)), at(image, {b, n, y, x}), real(*make.arena, 0));
    check_factors({{}, {defined({b, o, r, c}, add(summed({n, u, v}, multiply(pixel, at(w, {o, n, u, v}))), at(bias, {o})))}, ""});
    check_factors({{}, {defined({o, n, u, v}, summed({b, r, c}, multiply(pixel, at(up, {b, o, r, c}))))}, ""});
    if (stride != 1) continue;
    Expr back_y = subtract(shift(value(r), 1), value(u)), back_x = subtract(shift(value(c), 1), value(v));
    Expr upward = select(both(inside(back_y, size), inside(back_x, size)), at(up, {b, o, back_y, back_x}), real(*make.arena, 0));
    check_factors({{}, {defined({b, n, r, c}, summed({o, u, v}, multiply(upward, at(w, {o, n, u, v}))))}, ""});
  }
}

// Maps of a product that lie otherwise than it does: with axes of one element, and transposed.
TEST(Product, MapsAtOtherPlaces) {
  for (auto [m, n, k] : std::vector<std::tuple<int, int, int>>{{40, 40, 30}, {5, 70, 64}, {129, 17, 100}}) {
    SCOPED_TRACE(fmt::format("{} {} {}", m, n, k));
    Maker make;
    AxisRef g = make.axis(3), i = make.axis(m), j = make.axis(n), l = make.axis(k), one = make.axis(1), last = make.axis(1);
    ArrayRef a = make.in("a", {3, m, k}), b = make.in("b", {3, k, n}), row = make.in("row", {1, 3, m, 1});
    ArrayRef product = defined({g, i, j}, summed({l}, multiply(at(a, {g, i, l}), at(b, {g, l, j}))));
    Expr zero = integer(*make.arena, 0);
    AxisRef h = make.axis(3), p = make.axis(m), q = make.axis(n);
    ArrayRef scaled = defined({one, h, p, q}, multiply(at(product, {h, p, q}), at(row, {zero, h, p, zero})));
    check({{product}, {scaled}, ""});
    AxisRef t = make.axis(3), u = make.axis(m), v = make.axis(n);
    ArrayRef turned = defined({v, t, last, u}, scale(0.5, at(scaled, {zero, t, u, v})));
    check({{product, scaled}, {turned}, ""});
    check({{}, {product, scaled, turned}, ""});
  }
}

TEST(Product, ComputedOperandsAndMaps) {
  for (auto [m, n, k] : std::vector<std::tuple<int, int, int>>{{40, 50, 30}, {5, 70, 64}, {129, 17, 1100}}) {
    SCOPED_TRACE(fmt::format("{} {} {}", m, n, k));
    Maker make;
    AxisRef i = make.axis(m), j = make.axis(n), l = make.axis(k);
    ArrayRef a = make.in("a", {m, k}), b = make.in("b", {k, n}), mean = make.in("mean", {m}), bias = make.in("bias", {n}),
             residual = make.in("residual", {m, n});
    ArrayRef ids = make.in("ids", {m}, DType::i32, Interval{0, m - 1}), mask = make.in("mask", {m, n}, DType::boolean, Interval{0, 1});
    Expr normal = multiply(subtract(at(a, {i, l}), at(mean, {i})), apply(functions::exp, {at(mean, {i})}));
    Expr weight = apply(functions::exp, {at(b, {l, j})});
    ArrayRef before = defined({i, j}, add(summed({l}, multiply(normal, weight)), at(bias, {j})));
    auto own = positions(before);
    Expr z = at(before, {own[0], own[1]});
    ArrayRef after = define(own, add(apply(functions::maximum, {z, real(*make.arena, 0)}), at(residual, {own[0], own[1]})), DType::f32);
    ArrayRef masked = define(
        own, select(equal(at(mask, {own[0], own[1]}), boolean(*make.arena, true)), at(after, {own[0], own[1]}), real(*make.arena, 0)),
        DType::f16);
    check({{}, {before, after, masked}, "all stored"});
    check({{before, after}, {masked}, "the last alone"});
    check({{before}, {after}, "a map"});
    // Rows chosen by data, on either side.
    check({{}, {defined({i, j}, summed({l}, multiply(at(a, {at(ids, {i}), Index(l)}), at(b, {l, j}))))}, "gather"});
    check({{}, {defined({j, i}, summed({l}, multiply(at(a, {at(ids, {i}), Index(l)}), at(b, {l, j}))))}, "gather on the other side"});
  }
}

// Only where both factors hold bf16, and the processor has them.
TEST(Product, PairsAreMultiplied) {
  auto assembly = [](DType left, DType right, std::string_view target_name) {
    Maker make;
    AxisRef i = make.axis(40), j = make.axis(50), l = make.axis(60);
    ArrayRef a = make.in("a", {40, 60}, left), b = make.in("b", {60, 50}, right);
    ArrayRef c = defined({i, j}, summed({l}, multiply(at(a, {i, l}), at(b, {l, j}))));
    const Target target = target_named(target_name);
    FaultPlaces places;
    auto kernels = product_kernels({{}, {c}, ""}, target, {Slices{}}, places);
    return kernel_text(kernels->launches[0].source, target).assembly;
  };
  auto has_pairs = [&](DType left, DType right, std::string_view target) {
    return assembly(left, right, target).find("vdpbf16ps") != std::string::npos;
  };
  EXPECT_TRUE(has_pairs(DType::bf16, DType::bf16, "avx512bf16"));
  EXPECT_FALSE(has_pairs(DType::bf16, DType::bf16, "avx512"));
  EXPECT_FALSE(has_pairs(DType::bf16, DType::f32, "avx512bf16"));
  EXPECT_FALSE(has_pairs(DType::f32, DType::f32, "avx512bf16"));
}

TEST(Product, Types) {
  for (DType dtype : {DType::f64, DType::f16, DType::bf16}) {
    SCOPED_TRACE(name_of(dtype));
    Maker make;
    AxisRef i = make.axis(37), j = make.axis(29), l = make.axis(60);
    ArrayRef a = make.in("a", {37, 60}, dtype), b = make.in("b", {29, 60}, dtype);
    check({{}, {defined({i, j}, summed({l}, multiply(at(a, {i, l}), at(b, {j, l}))), dtype)}, ""});
    ArrayRef c = make.in("c", {60, 29}, dtype);
    check({{}, {defined({i, j}, summed({l}, multiply(at(a, {i, l}), at(c, {l, j}))), dtype)}, ""});
  }
}

TEST_P(ProductOf, ShapesAtRandom) {
  std::mt19937 random(3);
  auto pick = [&](int low, int high) { return std::uniform_int_distribution<int>(low, high)(random); };
  for (int trial = 0; trial < 90; ++trial) {
    Maker make{.usual = GetParam()};
    // Up to two axes a role, of sizes that make their product moderate; operands and result in a random order of axes.
    auto axes = [&](int most) {
      std::vector<AxisRef> out;
      for (int count = pick(1, 2); count > 0; --count) out.push_back(make.axis(pick(2, most)));
      return out;
    };
    std::vector<AxisRef> batch = pick(0, 2) == 0 ? axes(3) : std::vector<AxisRef>{}, m = axes(9), n = axes(9), k = axes(9);
    if (pick(0, 3) == 0) k = {make.axis(pick(500, 3000))};
    if (pick(0, 3) == 0) k = {make.axis(pick(2, 4)), make.axis(pick(17, 70))}, n = {make.axis(pick(16, 70))};
    auto read_all = [&](const char* name, std::vector<AxisRef> all) {
      std::shuffle(all.begin(), all.end(), random);
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
    std::shuffle(out.begin(), out.end(), random);
    std::string text;
    for (AxisRef axis : out) text += fmt::format(" {}", axis->size);
    SCOPED_TRACE(fmt::format("trial {}: out{} k {}", trial, text, k[0]->size));
    check_factors({{}, {define(out, sum(k, multiply(a, b)), DType::f32)}, ""}, {trial % 3 == 0 ? "avx2" : "host"});
    if (HasFailure()) return;
  }
}

}  // namespace
}  // namespace heed
