// A generated loop of independent multiply-adds, and a copy.
#include "codegen/cpu/peak.h"

#include <llvm/IR/IRBuilder.h>
#include <llvm/IR/Module.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <functional>
#include <thread>
#include <vector>

#include "codegen/cpu/jit.h"

namespace heed {

namespace {

constexpr int chains = 12;  // enough to hide the latency of an addition on two units
constexpr std::int64_t trips = 400'000;

void build_multiply_adds(llvm::Module& module, const std::string& symbol, int lanes) {
  llvm::LLVMContext& context = module.getContext();
  llvm::IRBuilder<> builder(context);
  auto* pointer = builder.getPtrTy();
  auto* type = llvm::FunctionType::get(builder.getVoidTy(), {pointer, pointer, builder.getInt64Ty(), pointer}, false);
  auto* function = llvm::Function::Create(type, llvm::Function::ExternalLinkage, symbol, module);
  auto* entry = llvm::BasicBlock::Create(context, "entry", function);
  auto* loop = llvm::BasicBlock::Create(context, "loop", function);
  auto* exit = llvm::BasicBlock::Create(context, "exit", function);
  auto* vector = llvm::FixedVectorType::get(builder.getFloatTy(), static_cast<unsigned>(lanes));
  builder.SetInsertPoint(entry);
  llvm::Value* scratch = function->getArg(1);
  llvm::Value* factor = builder.CreateAlignedLoad(vector, scratch, llvm::Align(4));
  builder.CreateBr(loop);
  builder.SetInsertPoint(loop);
  auto* index = builder.CreatePHI(builder.getInt64Ty(), 2);
  index->addIncoming(builder.getInt64(0), entry);
  std::vector<llvm::PHINode*> sums;
  for (int k = 0; k < chains; ++k) {
    sums.push_back(builder.CreatePHI(vector, 2));
    sums.back()->addIncoming(llvm::ConstantFP::get(vector, k), entry);
  }
  for (llvm::PHINode* sum : sums) sum->addIncoming(builder.CreateIntrinsic(llvm::Intrinsic::fma, {vector}, {factor, factor, sum}), loop);
  llvm::Value* next = builder.CreateAdd(index, builder.getInt64(1));
  index->addIncoming(next, loop);
  builder.CreateCondBr(builder.CreateICmpEQ(next, builder.getInt64(trips)), exit, loop);
  builder.SetInsertPoint(exit);
  llvm::Value* total = sums[0]->getIncomingValueForBlock(loop);
  for (int k = 1; k < chains; ++k) total = builder.CreateFAdd(total, sums[static_cast<std::size_t>(k)]->getIncomingValueForBlock(loop));
  builder.CreateAlignedStore(total, scratch, llvm::Align(4));
  builder.CreateRetVoid();
}

// Seconds until every thread has done its part.
double seconds_of(int threads, const std::function<void(int)>& part) {
  auto begin = std::chrono::steady_clock::now();
  std::vector<std::thread> others;
  for (int k = 1; k < threads; ++k) others.emplace_back(part, k);
  part(0);
  for (std::thread& each : others) each.join();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

double best_of(int rounds, const std::function<double()>& measure) {
  double best = measure();
  for (int k = 1; k < rounds; ++k) best = std::min(best, measure());
  return best;
}

}  // namespace

MachinePeaks measure_peaks(const Target& target, int threads) {
  int lanes = target.lanes(4);
  KernelSource source{"peak of multiply-adds",
                      [lanes](llvm::Module& module, const std::string& symbol) { build_multiply_adds(module, symbol, lanes); }};
  CompileSettings settings;
  settings.cache.enabled = false;
  CompiledKernels kernels = compile_kernels({source}, target, settings);
  std::vector<std::vector<float>> scratch(static_cast<std::size_t>(threads), std::vector<float>(256, 0.5F));
  double seconds = best_of(3, [&] {
    return seconds_of(threads,
                      [&](int thread) { kernels.functions[0](nullptr, scratch[static_cast<std::size_t>(thread)].data(), 0, nullptr); });
  });
  MachinePeaks peaks;
  peaks.flop_per_second = 2.0 * chains * lanes * static_cast<double>(trips) * threads / seconds;

  const std::size_t bytes = std::size_t{32} << 20;
  std::vector<std::vector<char>> from(static_cast<std::size_t>(threads), std::vector<char>(bytes, 1)), to = from;
  double copy = best_of(3, [&] {
    return seconds_of(threads, [&](int thread) {
      std::memcpy(to[static_cast<std::size_t>(thread)].data(), from[static_cast<std::size_t>(thread)].data(), bytes);
    });
  });
  peaks.bytes_per_second = 2.0 * static_cast<double>(bytes) * threads / copy;
  return peaks;
}

}  // namespace heed
