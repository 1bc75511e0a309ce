// Calls of builtins.
#include "codegen/cuda/builtins.h"

#include <llvm/IR/IRBuilder.h>
#include <llvm/IR/Module.h>

#include <vector>

namespace heed {
namespace {

using llvm::Value;

llvm::FunctionCallee declared(llvm::IRBuilderBase& b, llvm::StringRef name, llvm::Type* result, llvm::ArrayRef<llvm::Type*> types,
                              bool comes_together) {
  llvm::Module& module = *b.GetInsertBlock()->getModule();
  auto callee = module.getOrInsertFunction(name, llvm::FunctionType::get(result, types, false));
  auto* function = llvm::cast<llvm::Function>(callee.getCallee());
  function->addFnAttr(llvm::Attribute::NoUnwind);
  if (comes_together) {
    function->addFnAttr(llvm::Attribute::Convergent);
  } else {
    function->setMemoryEffects(llvm::MemoryEffects::none());
    function->addFnAttr(llvm::Attribute::WillReturn);
    function->addFnAttr(llvm::Attribute::Speculatable);
  }
  return callee;
}

Value* shuffled_word(llvm::IRBuilderBase& b, Value* word, int mask) {
  llvm::Type* i32 = b.getInt32Ty();
  return b.CreateCall(declared(b, "heed.shuffle_xor", i32, {i32, i32}, true), {word, b.getInt32(static_cast<std::uint32_t>(mask))});
}

// A builtin with several results writes them to memory of the thread's own, which later passes turn into registers.
std::vector<Value*> with_results(llvm::IRBuilderBase& b, llvm::StringRef name, llvm::Type* type, std::vector<Value*> arguments) {
  constexpr unsigned count = 4;
  llvm::Function* function = b.GetInsertBlock()->getParent();
  llvm::IRBuilder<> entry(&function->getEntryBlock(), function->getEntryBlock().begin());
  Value* results = entry.CreateAlloca(llvm::ArrayType::get(type, count));
  arguments.insert(arguments.begin(), results);
  std::vector<llvm::Type*> types;
  for (Value* argument : arguments) types.push_back(argument->getType());
  b.CreateCall(declared(b, name, b.getVoidTy(), types, true), arguments);
  std::vector<Value*> values;
  for (unsigned k = 0; k < count; ++k) values.push_back(b.CreateLoad(type, b.CreateConstGEP1_32(type, results, k)));
  return values;
}

using Arguments = llvm::ArrayRef<Value*>;

// A builtin of the whole block or of some warps; all of them see memory.
Value* call_together(llvm::IRBuilderBase& b, llvm::StringRef name, llvm::Type* result, Arguments arguments) {
  std::vector<llvm::Type*> types;
  for (Value* argument : arguments) types.push_back(argument->getType());
  return b.CreateCall(declared(b, name, result, types, true), arguments);
}
void call_together(llvm::IRBuilderBase& b, llvm::StringRef name, Arguments arguments) { call_together(b, name, b.getVoidTy(), arguments); }

Value* word(llvm::IRBuilderBase& b, std::int64_t value) { return b.getInt32(static_cast<std::uint32_t>(value)); }

std::vector<Value*> words_of(llvm::IRBuilderBase& b, const WideProduct& product) {
  auto flag = [&](bool x) { return word(b, x ? 1 : 0); };
  return {word(b, static_cast<std::int64_t>(product.kind)), word(b, product.columns), flag(product.left_across), flag(product.right_across),
          flag(product.is_first)};
}

}  // namespace

Value* thread_index(llvm::IRBuilderBase& b) {
  bool is_part = b.GetInsertBlock()->getParent()->hasFnAttribute("heed-part");
  return b.CreateCall(declared(b, is_part ? "heed.thread_here" : "heed.thread", b.getInt32Ty(), {}, is_part));
}
Value* block_index(llvm::IRBuilderBase& b) { return b.CreateCall(declared(b, "heed.block", b.getInt32Ty(), {}, false)); }
Value* shared_memory(llvm::IRBuilderBase& b) { return b.CreateCall(declared(b, "heed.shared", b.getPtrTy(), {}, false)); }
void block_barrier(llvm::IRBuilderBase& b) { b.CreateCall(declared(b, "heed.barrier", b.getVoidTy(), {}, true)); }
void warp_barrier(llvm::IRBuilderBase& b) { b.CreateCall(declared(b, "heed.warp_barrier", b.getVoidTy(), {}, true)); }

Value* shuffle_xor(llvm::IRBuilderBase& b, Value* value, int mask) {
  llvm::Type* type = value->getType();
  unsigned bits = type->getScalarSizeInBits();
  if (bits == 32) return b.CreateBitCast(shuffled_word(b, b.CreateBitCast(value, b.getInt32Ty()), mask), type);
  if (bits < 32) return b.CreateTrunc(shuffled_word(b, b.CreateZExt(value, b.getInt32Ty()), mask), type);
  Value* word = b.CreateBitCast(value, b.getInt64Ty());
  Value* low = shuffled_word(b, b.CreateTrunc(word, b.getInt32Ty()), mask);
  Value* high = shuffled_word(b, b.CreateTrunc(b.CreateLShr(word, 32), b.getInt32Ty()), mask);
  Value* whole = b.CreateOr(b.CreateZExt(low, b.getInt64Ty()), b.CreateShl(b.CreateZExt(high, b.getInt64Ty()), 32));
  return b.CreateBitCast(whole, type);
}

Value* power_of_two(llvm::IRBuilderBase& b, Value* x) {
  return b.CreateCall(declared(b, "heed.power_of_two", b.getFloatTy(), {b.getFloatTy()}, false), {x});
}
Value* hyperbolic_tangent(llvm::IRBuilderBase& b, Value* x) {
  return b.CreateCall(declared(b, "heed.tanh", b.getFloatTy(), {b.getFloatTy()}, false), {x});
}
Value* reciprocal(llvm::IRBuilderBase& b, Value* x) {
  return b.CreateCall(declared(b, "heed.reciprocal", b.getFloatTy(), {b.getFloatTy()}, false), {x});
}
Value* hidden(llvm::IRBuilderBase& b, Value* value) {
  llvm::Type* type = value->getType();
  if (type->isFloatTy()) return b.CreateBitCast(hidden(b, b.CreateBitCast(value, b.getInt32Ty())), type);
  if (type->isIntegerTy(64)) return b.CreatePtrToInt(hidden(b, b.CreateIntToPtr(value, b.getPtrTy())), type);
  return b.CreateCall(declared(b, type->isPointerTy() ? "heed.hidden" : "heed.hidden_word", type, {type}, true), {value});
}

void copy_async(llvm::IRBuilderBase& b, Value* to, Value* from, int bytes, Value* present, Value* condition) {
  llvm::Type *pointer = b.getPtrTy(), *i32 = b.getInt32Ty();
  b.CreateCall(
      declared(b, "heed.copy_async", b.getVoidTy(), {pointer, pointer, i32, i32, i32}, true),
      {to, from, b.getInt32(static_cast<std::uint32_t>(bytes)), present, condition ? b.CreateZExt(condition, i32) : b.getInt32(1)});
}
void commit_copies(llvm::IRBuilderBase& b) { b.CreateCall(declared(b, "heed.commit_copies", b.getVoidTy(), {}, true)); }
void wait_for_copies(llvm::IRBuilderBase& b, int groups) {
  b.CreateCall(declared(b, "heed.wait_for_copies", b.getVoidTy(), {b.getInt32Ty()}, true),
               {b.getInt32(static_cast<std::uint32_t>(groups))});
}

std::vector<Value*> load_matrices(llvm::IRBuilderBase& b, Value* address, bool transposed) {
  return with_results(b, transposed ? "heed.load_matrices_transposed" : "heed.load_matrices", b.getInt32Ty(), {address});
}

void make_barrier(llvm::IRBuilderBase& b, Value* barrier, int arrivals) {
  call_together(b, "heed.make_barrier", {barrier, word(b, arrivals)});
}
void publish_barriers(llvm::IRBuilderBase& b) { call_together(b, "heed.publish_barriers", {}); }
void arrive(llvm::IRBuilderBase& b, Value* barrier, Value* condition) {
  call_together(b, "heed.arrive", {barrier, b.CreateZExt(condition, b.getInt32Ty())});
}
void arrive_expecting(llvm::IRBuilderBase& b, Value* barrier, std::int64_t bytes) {
  call_together(b, "heed.arrive_expecting", {barrier, word(b, bytes)});
}
void wait_for_phase(llvm::IRBuilderBase& b, Value* barrier, Value* parity) { call_together(b, "heed.wait_for_phase", {barrier, parity}); }
void copy_box(llvm::IRBuilderBase& b, Value* to, Value* map, const std::array<Value*, 3>& places, Value* barrier) {
  call_together(b, "heed.copy_box", {to, map, places[0], places[1], places[2], barrier});
}
Value* matrix_place(llvm::IRBuilderBase& b, Value* shared, std::int64_t leading, std::int64_t stride) {
  return call_together(b, "heed.matrix_place", b.getInt64Ty(), {shared, word(b, leading), word(b, stride)});
}
void begin_products(llvm::IRBuilderBase& b) { call_together(b, "heed.begin_products", {}); }
void multiply_wide(llvm::IRBuilderBase& b, const WideProduct& product, Value* sums, Value* left, Value* right) {
  std::vector<Value*> arguments = words_of(b, product);
  arguments.insert(arguments.end(), {sums, left, right});
  call_together(b, "heed.multiply_wide", arguments);
}
void multiply_wide(llvm::IRBuilderBase& b, const WideProduct& product, Value* sums, const std::vector<Value*>& left, Value* right) {
  std::vector<Value*> arguments = words_of(b, product);
  arguments.push_back(sums);
  arguments.insert(arguments.end(), left.begin(), left.end());
  arguments.push_back(right);
  call_together(b, "heed.multiply_wide_held", arguments);
}
void hold_until_known(llvm::IRBuilderBase& b, Value* one, Value* other, Value* scratch) {
  call_together(b, "heed.hold_until_known", {one, other, scratch});
}
std::vector<Value*> read_quad(llvm::IRBuilderBase& b, Value* shared) { return with_results(b, "heed.read_quad", b.getFloatTy(), {shared}); }
void commit_products(llvm::IRBuilderBase& b) { call_together(b, "heed.commit_products", {}); }
void wait_for_products(llvm::IRBuilderBase& b, int groups, Value* sums, int count) {
  if (!sums) sums = llvm::ConstantPointerNull::get(b.getPtrTy());
  call_together(b, "heed.wait_for_products", {word(b, groups), sums, word(b, count)});
}
void wait_for_turn(llvm::IRBuilderBase& b, Value* barrier) { call_together(b, "heed.wait_for_turn", {barrier}); }
void give_turn(llvm::IRBuilderBase& b, Value* barrier) { call_together(b, "heed.give_turn", {barrier}); }
void leave_registers(llvm::IRBuilderBase& b, int count) { call_together(b, "heed.leave_registers", {word(b, count)}); }
void take_registers(llvm::IRBuilderBase& b, int count) { call_together(b, "heed.take_registers", {word(b, count)}); }
Value* same_in_warp(llvm::IRBuilderBase& b, Value* value) { return call_together(b, "heed.same_in_warp", b.getInt32Ty(), {value}); }

std::vector<Value*> multiply_matrices(llvm::IRBuilderBase& b, MatrixKind kind, const std::vector<Value*>& left,
                                      const std::vector<Value*>& right, const std::vector<Value*>& sums) {
  std::vector<Value*> arguments = left;
  arguments.insert(arguments.end(), right.begin(), right.end());
  arguments.insert(arguments.end(), sums.begin(), sums.end());
  llvm::StringRef name = kind == MatrixKind::tf32   ? "heed.multiply_tf32"
                         : kind == MatrixKind::bf16 ? "heed.multiply_bf16"
                                                    : "heed.multiply_f16";
  return with_results(b, name, b.getFloatTy(), arguments);
}

Value* pack_halves(llvm::IRBuilderBase& b, MatrixKind kind, Value* low, Value* high) {
  if (kind == MatrixKind::bf16)
    return b.CreateCall(declared(b, "heed.pack_bf16", b.getInt32Ty(), {b.getFloatTy(), b.getFloatTy()}, false), {low, high});
  auto half = [&](Value* x) { return b.CreateZExt(b.CreateBitCast(b.CreateFPTrunc(x, b.getHalfTy()), b.getInt16Ty()), b.getInt32Ty()); };
  return b.CreateOr(half(low), b.CreateShl(half(high), 16));
}

}  // namespace heed
