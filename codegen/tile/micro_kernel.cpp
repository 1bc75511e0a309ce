// Chooses register tiles and writes their loop: elements of a are broadcast, rows of b are vectors, sums stay in registers.
#include "codegen/tile/micro_kernel.h"

#include <fmt/format.h>
#include <llvm/IR/IRBuilder.h>
#include <llvm/IR/IntrinsicsX86.h>
#include <llvm/IR/Module.h>

#include <algorithm>
#include <vector>

#include "codegen/tile/matrix_registers.h"
#include "ir/integer.h"

namespace heed {
namespace {

constexpr int unroll = 4;  // of k; 2, 4 and 8 measured equal

// Cycles for each useful multiplication of vectors, in units of the best: two a cycle, and little more than one load.
double cost_of(const Tile& tile, std::int64_t m, std::int64_t n) {
  double loads = static_cast<double>(tile.rows + tile.vectors) / (tile.rows * tile.vectors);
  double pipeline = 10.0 / (tile.rows * tile.vectors);  // fewer sums than latency times width leave it idle
  double waste = static_cast<double>(ceil_divide(n, tile.columns()) * tile.columns()) / static_cast<double>(n);
  // Heights are evened out, so that rows waste nothing but the last tiles are a little lower.
  double height = static_cast<double>(m) / static_cast<double>(ceil_divide(m, tile.rows));
  double lower = 0.02 * (tile.rows - height) / tile.rows;
  // Rows of b come from the second cache, again for each tile.
  double stream = 0.04 / tile.rows;
  return std::max({1.0, 2.0 * loads, pipeline}) * waste + 0.05 * loads + stream + lower;
}

}  // namespace

Tile choose_tile(const Target& target, std::int64_t element_bytes, std::int64_t m, std::int64_t n) {
  int lanes = target.lanes(element_bytes);
  Tile best{};
  double best_cost = 0;
  for (int vectors = 1; vectors <= 6; ++vectors) {
    int rows = (target.vector_registers - 2 - vectors) / vectors;  // the row of b and two elements of a beside the sums
    rows = static_cast<int>(std::min<std::int64_t>({rows, 14, m}));
    if (vectors == 3) rows = std::min(rows, 8);  // a power of two: 9 rows were no faster
    if (rows < 1 || (vectors > 4 && rows < 4)) continue;
    Tile tile{rows, vectors, lanes};
    double cost = cost_of(tile, m, n);
    if (best.rows == 0 || cost < best_cost) best = tile, best_cost = cost;
  }
  return best;
}

namespace {

// The sum plus both products of each pair.
llvm::Value* multiply_pairs(llvm::IRBuilderBase& builder, llvm::Value* x, llvm::Value* y, llvm::Value* sum) {
  const unsigned lanes = llvm::cast<llvm::FixedVectorType>(sum->getType())->getNumElements();
  llvm::Type* halves = llvm::FixedVectorType::get(builder.getBFloatTy(), 2 * lanes);
  llvm::Intrinsic::ID intrinsic = lanes == 16  ? llvm::Intrinsic::x86_avx512bf16_dpbf16ps_512
                                  : lanes == 8 ? llvm::Intrinsic::x86_avx512bf16_dpbf16ps_256
                                               : llvm::Intrinsic::x86_avx512bf16_dpbf16ps_128;
  return builder.CreateIntrinsic(intrinsic, {}, {sum, builder.CreateBitCast(x, halves), builder.CreateBitCast(y, halves)});
}

llvm::Type* element_type(llvm::IRBuilderBase& builder, DType dtype) {
  return dtype == DType::f64 ? builder.getDoubleTy() : dtype == DType::f32 ? builder.getFloatTy() : builder.getInt64Ty();
}

// The same values, known to have so few bits: then LLVM multiplies these alone, and this itself costs nothing.
llvm::Value* lower_half(llvm::IRBuilderBase& builder, llvm::Value* x) { return builder.CreateAShr(builder.CreateShl(x, 32), 32); }

}  // namespace

llvm::Value* plus_vector(llvm::IRBuilderBase& builder, llvm::Value* x, llvm::Value* y) {
  return x->getType()->isFPOrFPVectorTy() ? builder.CreateFAdd(x, y) : builder.CreateAdd(x, y);
}

std::vector<llvm::Value*> emit_sums(llvm::IRBuilderBase& builder, const MicroKernel& kernel, llvm::Value* a, llvm::Value* b,
                                    llvm::Value* count) {
  const Tile& tile = kernel.tile;
  llvm::LLVMContext& context = builder.getContext();
  llvm::Function* function = builder.GetInsertBlock()->getParent();
  llvm::Type* element = element_type(builder, kernel.dtype);
  llvm::Type* vector = llvm::FixedVectorType::get(element, static_cast<unsigned>(tile.lanes));
  llvm::Type* pointer = builder.getPtrTy();
  llvm::Type* index = builder.getInt64Ty();
  llvm::Align alignment(static_cast<std::uint64_t>(byte_size(kernel.dtype)));

  auto at = [&](llvm::Value* base, std::int64_t offset) {
    return offset == 0 ? base : builder.CreateInBoundsGEP(element, base, builder.getInt64(static_cast<std::uint64_t>(offset)));
  };
  auto multiply_add = [&](llvm::Value* x, llvm::Value* y, llvm::Value* sum) {
    if (kernel.multiplier == Multiplier::pairs) return multiply_pairs(builder, x, y, sum);
    if (kernel.has_fma && kernel.dtype != DType::i64)
      return static_cast<llvm::Value*>(builder.CreateIntrinsic(llvm::Intrinsic::fma, {vector}, {x, y, sum}));
    if (kernel.dtype != DType::i64) return builder.CreateFAdd(sum, builder.CreateFMul(x, y));
    if (kernel.multiplier == Multiplier::halves) x = lower_half(builder, x), y = lower_half(builder, y);
    return builder.CreateAdd(sum, builder.CreateMul(x, y));
  };
  using Sums = std::vector<llvm::Value*>;
  auto step = [&](Sums& sums, llvm::Value* a_k, llvm::Value* b_k) {
    std::vector<llvm::Value*> row;
    for (int v = 0; v < tile.vectors; ++v) row.push_back(builder.CreateAlignedLoad(vector, at(b_k, v * tile.lanes), alignment));
    for (int i = 0; i < tile.rows; ++i) {
      llvm::Value* x = builder.CreateAlignedLoad(element, at(a_k, i * kernel.a_row_stride), alignment);
      x = builder.CreateVectorSplat(static_cast<unsigned>(tile.lanes), x);
      for (int v = 0; v < tile.vectors; ++v) {
        llvm::Value*& sum = sums[static_cast<std::size_t>(i * tile.vectors + v)];
        sum = multiply_add(x, row[static_cast<std::size_t>(v)], sum);
      }
    }
  };

  struct State {
    Sums sums;
    llvm::Value *a, *b;
  };
  // Runs `trips` times over `steps` values of k; returns the state after it.
  auto loop = [&](const char* label, llvm::Value* trips, int steps, const State& begin) {
    auto* body = llvm::BasicBlock::Create(context, label, function);
    auto* end = llvm::BasicBlock::Create(context, "end", function);
    builder.CreateCondBr(builder.CreateICmpSGT(trips, builder.getInt64(0)), body, end);
    llvm::BasicBlock* before = builder.GetInsertBlock();
    builder.SetInsertPoint(body);
    auto* trip = builder.CreatePHI(index, 2);
    auto* a_now = builder.CreatePHI(pointer, 2);
    auto* b_now = builder.CreatePHI(pointer, 2);
    std::vector<llvm::PHINode*> phis;
    Sums sums;
    for (llvm::Value* sum : begin.sums) {
      phis.push_back(builder.CreatePHI(vector, 2));
      phis.back()->addIncoming(sum, before);
      sums.push_back(phis.back());
    }
    for (int s = 0; s < steps; ++s) step(sums, at(a_now, s * kernel.a_k_stride), at(b_now, s * kernel.b_k_stride));
    llvm::Value* a_next = at(a_now, steps * kernel.a_k_stride);
    llvm::Value* b_next = at(b_now, steps * kernel.b_k_stride);
    llvm::Value* next = builder.CreateAdd(trip, builder.getInt64(1));
    trip->addIncoming(builder.getInt64(0), before), trip->addIncoming(next, body);
    a_now->addIncoming(begin.a, before), a_now->addIncoming(a_next, body);
    b_now->addIncoming(begin.b, before), b_now->addIncoming(b_next, body);
    for (std::size_t i = 0; i < phis.size(); ++i) phis[i]->addIncoming(sums[i], body);
    builder.CreateCondBr(builder.CreateICmpEQ(next, trips), end, body);
    builder.SetInsertPoint(end);
    auto merge = [&](llvm::Value* skipped, llvm::Value* looped) {
      auto* phi = builder.CreatePHI(skipped->getType(), 2);
      phi->addIncoming(skipped, before);
      phi->addIncoming(looped, body);
      return static_cast<llvm::Value*>(phi);
    };
    State out;
    for (std::size_t i = 0; i < sums.size(); ++i) out.sums.push_back(merge(begin.sums[i], sums[i]));
    out.a = merge(begin.a, a_next);
    out.b = merge(begin.b, b_next);
    return out;
  };

  State state{Sums(static_cast<std::size_t>(tile.rows * tile.vectors), llvm::Constant::getNullValue(vector)), a, b};
  state = loop("many", builder.CreateSDiv(count, builder.getInt64(unroll)), unroll, state);
  state = loop("few", builder.CreateSRem(count, builder.getInt64(unroll)), 1, state);
  return state.sums;
}

llvm::Function* emit_micro_kernel(llvm::Module& module, const MicroKernel& kernel) {
  const Tile& tile = kernel.tile;
  constexpr std::string_view suffixes[] = {"", "h", "p", "m"};
  std::string name =
      fmt::format("tile_{}x{}{}_{}_{}_{}_{}", tile.rows, tile.columns(), suffixes[static_cast<std::size_t>(kernel.multiplier)],
                  kernel.a_row_stride, kernel.a_k_stride, kernel.b_k_stride, kernel.c_row_stride);
  if (llvm::Function* known = module.getFunction(name)) return known;
  llvm::LLVMContext& context = module.getContext();
  llvm::IRBuilder<> builder(context);
  llvm::Type* element = element_type(builder, kernel.dtype);
  llvm::Type* vector = llvm::FixedVectorType::get(element, static_cast<unsigned>(tile.lanes));
  llvm::Type* pointer = builder.getPtrTy();
  llvm::Type* index = builder.getInt64Ty();
  llvm::Align alignment(static_cast<std::uint64_t>(byte_size(kernel.dtype)));

  auto* type = llvm::FunctionType::get(builder.getVoidTy(), {pointer, pointer, pointer, index, index}, false);
  auto* function = llvm::Function::Create(type, llvm::Function::InternalLinkage, name, module);
  function->addFnAttr(llvm::Attribute::NoInline);
  for (unsigned i = 0; i < 3; ++i) function->addParamAttr(i, llvm::Attribute::NoAlias);
  llvm::Value *a = function->getArg(0), *b = function->getArg(1), *c = function->getArg(2), *count = function->getArg(3);
  auto at = [&](llvm::Value* base, std::int64_t offset) {
    return offset == 0 ? base : builder.CreateInBoundsGEP(element, base, builder.getInt64(static_cast<std::uint64_t>(offset)));
  };

  builder.SetInsertPoint(llvm::BasicBlock::Create(context, "entry", function));
  if (kernel.multiplier == Multiplier::matrices) {
    emit_matrix_sums(builder, kernel, {a, b, c, count, function->getArg(4)});
    builder.CreateRetVoid();
    return function;
  }
  std::vector<llvm::Value*> sums = emit_sums(builder, kernel, a, b, count);

  auto* add = llvm::BasicBlock::Create(context, "add", function);
  auto* set = llvm::BasicBlock::Create(context, "set", function);
  builder.CreateCondBr(builder.CreateICmpNE(function->getArg(4), builder.getInt64(0)), add, set);
  for (auto* block : {add, set}) {
    builder.SetInsertPoint(block);
    for (int i = 0; i < tile.rows; ++i)
      for (int v = 0; v < tile.vectors; ++v) {
        llvm::Value* sum = sums[static_cast<std::size_t>(i * tile.vectors + v)];
        llvm::Value* place = at(c, i * kernel.c_row_stride + v * tile.lanes);
        if (block == add) sum = plus_vector(builder, builder.CreateAlignedLoad(vector, place, alignment), sum);
        builder.CreateAlignedStore(sum, place, alignment);
      }
    builder.CreateRetVoid();
  }
  return function;
}

}  // namespace heed
