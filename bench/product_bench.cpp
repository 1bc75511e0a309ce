// Speed of product kernels as a share of the machine's measured peak of fused multiplications.
//   product_bench [--threads N] [--target NAME] [--dtype f32|bf16|f16] [WORD…]    only cases whose name holds one of the words
// Operands are of the dtype, results f32.
#include <fmt/format.h>
#include <llvm/IR/IRBuilder.h>
#include <llvm/IR/Module.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <functional>

#include "codegen/tile/product.h"
#include "ir/algebra.h"
#include "ir/tensor.h"
#include "runtime/cores.h"
#include "runtime/thread_pool.h"

using namespace heed;

namespace {

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

struct Case {
  std::string name;
  double flop;
  std::function<ArrayRef(Arena&)> make;
};

Expr at(ArrayRef array, std::initializer_list<AxisRef> axes) {
  std::vector<Expr> indices;
  for (AxisRef axis : axes) indices.push_back(value(axis));
  return read(array, indices);
}
DType dtype = DType::f32;  // of operands

ArrayRef floats(Arena& arena, const char* name, std::vector<std::int64_t> shape) { return input(arena, name, std::move(shape), dtype); }

// Some values of an array, and room behind them.
std::vector<std::byte> some_values(ArrayRef array) {
  Tensor tensor(array->dtype, array->shape);
  for (std::int64_t i = 0; i < tensor.count(); ++i) tensor.set(i, static_cast<double>(i % 13) * 0.1 - 0.5);
  std::vector<std::byte> bytes(tensor.bytes.size() + 64);
  std::memcpy(bytes.data(), tensor.bytes.data(), tensor.bytes.size());
  return bytes;
}

// c[i, j] = sum a b, each operand as it is or transposed: "nt" is a times b transposed.
Case matrices(std::int64_t m, std::int64_t n, std::int64_t k, std::string form, std::int64_t batch = 1) {
  return {
      fmt::format("{}x{}x{}{} {}", m, n, k, batch > 1 ? fmt::format(" x{}", batch) : "", form), 2.0 * batch * m * n * k, [=](Arena& arena) {
        AxisRef g = fresh_axis(arena, batch), i = fresh_axis(arena, m), j = fresh_axis(arena, n), l = fresh_axis(arena, k);
        bool a_turned = form[0] == 't', b_turned = form[1] == 't';
        ArrayRef a = floats(arena, "a", a_turned ? std::vector{batch, k, m} : std::vector{batch, m, k});
        ArrayRef b = floats(arena, "b", b_turned ? std::vector{batch, n, k} : std::vector{batch, k, n});
        const AxisRef summed[] = {l}, axes[] = {g, i, j};
        return define(axes,
                      sum(summed, multiply(a_turned ? at(a, {g, l, i}) : at(a, {g, i, l}), b_turned ? at(b, {g, j, l}) : at(b, {g, l, j}))),
                      DType::f32);
      }};
}

// A convolution of 3 x 3 with padding: "forward", "weights" or "image", the gradients.
Case convolution(std::int64_t batch, std::int64_t in, std::int64_t out, std::int64_t size, std::string form) {
  return {fmt::format("conv {}x{}->{} {}x{} {}", batch, in, out, size, size, form), 18.0 * batch * in * out * size * size,
          [=](Arena& arena) {
            auto axis = [&](std::int64_t length) { return fresh_axis(arena, length); };
            AxisRef b = axis(batch), o = axis(out), n = axis(in), r = axis(size), c = axis(size), u = axis(3), v = axis(3);
            ArrayRef image = floats(arena, "image", {batch, in, size, size}), up = floats(arena, "up", {batch, out, size, size}),
                     w = floats(arena, "w", {out, in, 3, 3});
            auto window = [&](ArrayRef array, AxisRef channel, std::int64_t sign) {
              Expr y = shift(add(value(r), scale(sign, value(u))), -sign), x = shift(add(value(c), scale(sign, value(v))), -sign);
              const Expr indices[] = {value(b), value(channel), y, x};
              return select(both(inside(y, size), inside(x, size)), read(array, indices), real(arena, 0));
            };
            std::vector<AxisRef> summed, axes;
            Expr body;
            if (form == "forward")
              summed = {n, u, v}, axes = {b, o, r, c}, body = multiply(window(image, n, 1), at(w, {o, n, u, v}));
            else if (form == "weights")
              summed = {b, r, c}, axes = {o, n, u, v}, body = multiply(window(image, n, 1), at(up, {b, o, r, c}));
            else
              summed = {o, u, v}, axes = {b, n, r, c}, body = multiply(window(up, o, -1), at(w, {o, n, u, v}));
            return define(axes, sum(summed, body), DType::f32);
          }};
}

std::vector<Case> cases() {
  std::vector<Case> out;
  for (auto [m, n, k] : std::vector<std::array<std::int64_t, 3>>{{256, 256, 256},
                                                                 {512, 512, 512},
                                                                 {1024, 1024, 1024},
                                                                 {2048, 2048, 2048},
                                                                 {512, 3072, 768},
                                                                 {2048, 768, 3072},
                                                                 {2048, 2304, 768},
                                                                 {8, 3072, 768},
                                                                 {32, 768, 3072}})
    for (const char* form : {"nt", "nn", "tn"}) out.push_back(matrices(m, n, k, form));
  for (auto [m, n, k] : std::vector<std::array<std::int64_t, 3>>{
           {2048, 1152, 384}, {2048, 384, 384}, {2048, 1536, 384}, {2048, 384, 1536}, {2048, 256, 384}}) {
    out.push_back(matrices(m, n, k, "nn"));
    out.push_back(matrices(m, k, n, "nt"));
    out.push_back(matrices(k, n, m, "tn"));
  }
  for (auto [m, n, k] :
       std::vector<std::array<std::int64_t, 3>>{{768, 3072, 1024}, {3072, 768, 1024}, {768, 2304, 1024}, {768, 50257, 1024}})
    out.push_back(matrices(m, n, k, "tn"));
  out.push_back(matrices(4096, 3072, 768, "nn"));
  out.push_back(matrices(32768, 128, 64, "nn"));
  out.push_back(matrices(64, 128, 32768, "tn"));
  out.push_back(matrices(256, 256, 64, "nt", 48));
  out.push_back(matrices(256, 64, 256, "nn", 48));
  out.push_back(matrices(1024, 1024, 128, "nt", 8));
  out.push_back(matrices(1024, 128, 1024, "nn", 8));
  out.push_back(matrices(1024, 128, 1024, "tn", 8));
  for (const char* form : {"forward", "weights"}) out.push_back(convolution(32, 3, 64, 32, form));
  for (const char* form : {"forward", "weights", "image"}) out.push_back(convolution(16, 32, 64, 28, form));
  for (const char* form : {"forward", "weights", "image"}) out.push_back(convolution(8, 64, 64, 32, form));
  return out;
}

// Independent chains of fused multiplications in registers.
KernelSource peak_kernel(const Target& target) {
  return {"peak", [=](llvm::Module& module, const std::string& symbol) {
            llvm::IRBuilder<> b(module.getContext());
            auto* type = llvm::FunctionType::get(b.getVoidTy(), {b.getPtrTy(), b.getPtrTy(), b.getInt64Ty(), b.getPtrTy()}, false);
            auto* function = llvm::Function::Create(type, llvm::Function::ExternalLinkage, symbol, module);
            auto* entry = llvm::BasicBlock::Create(module.getContext(), "", function);
            auto* loop = llvm::BasicBlock::Create(module.getContext(), "", function);
            auto* end = llvm::BasicBlock::Create(module.getContext(), "", function);
            auto* vector = llvm::FixedVectorType::get(b.getFloatTy(), static_cast<unsigned>(target.lanes(4)));
            b.SetInsertPoint(entry);
            llvm::Value* data = b.CreateLoad(b.getPtrTy(), function->getArg(0));
            llvm::Value* x = b.CreateLoad(vector, data);
            b.CreateBr(loop);
            b.SetInsertPoint(loop);
            auto* trip = b.CreatePHI(b.getInt64Ty(), 2);
            std::vector<llvm::PHINode*> sums;
            for (int i = 0; i < 12; ++i) sums.push_back(b.CreatePHI(vector, 2));
            llvm::Value* next = b.CreateAdd(trip, b.getInt64(1));
            trip->addIncoming(b.getInt64(0), entry);
            trip->addIncoming(next, loop);
            llvm::Value* total = nullptr;
            for (auto* sum : sums) {
              llvm::Value* after = target.has_fma
                                       ? static_cast<llvm::Value*>(b.CreateIntrinsic(llvm::Intrinsic::fma, {vector}, {sum, x, x}))
                                       : b.CreateFAdd(b.CreateFMul(sum, x), x);
              sum->addIncoming(x, entry);
              sum->addIncoming(after, loop);
              total = total ? b.CreateFAdd(total, after) : after;
            }
            b.CreateCondBr(b.CreateICmpEQ(next, b.getInt64(100000)), end, loop);
            b.SetInsertPoint(end);
            b.CreateStore(total, data);
            b.CreateRetVoid();
          }};
}

}  // namespace

int main(int count, char** words) {
  int threads = usable_threads();
  Target target = host_target();
  std::vector<std::string> wanted;
  for (int i = 1; i < count; ++i) {
    std::string word = words[i];
    if (word == "--threads" && i + 1 < count)
      threads = std::stoi(words[++i]);
    else if (word == "--target" && i + 1 < count)
      target = target_named(words[++i]);
    else if (word == "--dtype" && i + 1 < count)
      dtype = dtype_named(words[++i]).value();
    else
      wanted.push_back(word);
  }
  ThreadPool pool(threads);
  FlushDenormals flush;
  CompileSettings settings;
  settings.cache.enabled = false;
  auto peak_code = compile_kernels({peak_kernel(target)}, target, settings);
  alignas(64) static float spare[1024] = {0.5F};
  auto peak = [&] {
    double begin = now();
    pool.run(threads, [&](std::int64_t, int thread) {
      void* data = spare + 64 * (thread % 16);
      peak_code.functions[0](&data, nullptr, 0, nullptr);
    });
    return threads * 100000.0 * 12 * target.lanes(4) * 2 / (now() - begin) / 1e9;
  };
  fmt::print("{:34} {:>9} {:>9} {:>7} {:>10} {:>6}\n", "", "ms", "GFLOP/s", "share", "compile ms", "tasks");
  for (const Case& each : cases()) {
    bool chosen =
        wanted.empty() || std::ranges::any_of(wanted, [&](const std::string& word) { return each.name.find(word) != std::string::npos; });
    if (!chosen) continue;
    Arena arena;
    ArrayRef result = each.make(arena);
    FaultPlaces places;
    auto kernels = product_kernels({.locals = {}, .outputs = {result}, .label = "", .blocks = nullptr}, target, {Slices{}}, places);
    if (!kernels) {
      fmt::print("{:34} is no product\n", each.name);
      continue;
    }
    std::vector<KernelSource> sources;
    for (const auto& launch : kernels->launches) sources.push_back(launch.source);
    auto compiled = compile_kernels(sources, target, settings);
    std::unordered_map<ArrayRef, std::vector<std::byte>> memory;
    std::vector<std::vector<void*>> buffers;
    for (const auto& launch : kernels->launches) {
      buffers.emplace_back();
      for (ArrayRef array : launch.buffers) {
        auto& data = memory[array];
        if (data.empty()) data = some_values(array);
        buffers.back().push_back(data.data());
      }
    }
    std::int64_t most = 64;
    for (const auto& launch : kernels->launches) most = std::max(most, launch.scratch_bytes);
    std::vector<void*> scratch;
    for (int t = 0; t < threads; ++t) scratch.push_back(std::aligned_alloc(4096, static_cast<std::size_t>((most + 8191) / 4096 * 4096)));
    Fault fault;
    auto run = [&] {
      for (std::size_t i = 0; i < kernels->launches.size(); ++i)
        pool.run(kernels->launches[i].tasks, [&](std::int64_t task, int thread) {
          compiled.functions[i](buffers[i].data(), scratch[static_cast<std::size_t>(thread)], task, &fault);
        });
    };
    run();
    std::vector<double> times, peaks;
    for (double begin = now(); times.size() < 5 || (now() - begin < 0.5 && times.size() < 200);) {
      peaks.push_back(peak());
      double start = now();
      run();
      times.push_back(now() - start);
    }
    std::ranges::sort(times);
    std::ranges::sort(peaks);
    double seconds = times[times.size() / 2], rate = each.flop / seconds / 1e9;
    fmt::print("{:34} {:9.3f} {:9.1f} {:6.1f}% {:10.0f} {:6}   {}\n", each.name, seconds * 1e3, rate, 100 * rate / peaks[peaks.size() / 2],
               compiled.seconds * 1e3, kernels->launches[0].tasks, kernels->schedule);
    std::fflush(stdout);
    for (void* each_scratch : scratch) std::free(each_scratch);
  }
}
