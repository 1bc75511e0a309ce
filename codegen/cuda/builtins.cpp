// One table of builtins; NVPTX's form of each.
#include "codegen/cuda/builtins.h"

#include <llvm/IR/IRBuilder.h>
#include <llvm/IR/InlineAsm.h>
#include <llvm/IR/IntrinsicsNVPTX.h>
#include <llvm/IR/Module.h>

#include <functional>
#include <stdexcept>

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

Value* intrinsic(llvm::IRBuilderBase& b, llvm::Intrinsic::ID id, llvm::ArrayRef<Value*> arguments) {
  return b.CreateCall(llvm::Intrinsic::getDeclaration(b.GetInsertBlock()->getModule(), id), arguments);
}

using Arguments = llvm::ArrayRef<Value*>;
struct Lowering {
  llvm::StringRef name;
  Value* (*make)(llvm::IRBuilderBase& b, Arguments arguments);
};

constexpr std::uint32_t whole_warp = 0xFFFFFFFFU;

const Lowering lowerings[] = {
    {"heed.thread", [](llvm::IRBuilderBase& b, Arguments) { return intrinsic(b, llvm::Intrinsic::nvvm_read_ptx_sreg_tid_x, {}); }},
    {"heed.block", [](llvm::IRBuilderBase& b, Arguments) { return intrinsic(b, llvm::Intrinsic::nvvm_read_ptx_sreg_ctaid_x, {}); }},
    {"heed.barrier", [](llvm::IRBuilderBase& b, Arguments) { return intrinsic(b, llvm::Intrinsic::nvvm_barrier0, {}); }},
    {"heed.warp_barrier",
     [](llvm::IRBuilderBase& b, Arguments) { return intrinsic(b, llvm::Intrinsic::nvvm_bar_warp_sync, {b.getInt32(whole_warp)}); }},
    {"heed.shuffle_xor",
     [](llvm::IRBuilderBase& b, Arguments a) {
       return intrinsic(b, llvm::Intrinsic::nvvm_shfl_sync_bfly_i32, {b.getInt32(whole_warp), a[0], a[1], b.getInt32(31)});
     }},
    {"heed.shared",
     [](llvm::IRBuilderBase& b, Arguments) -> Value* {
       llvm::Module& module = *b.GetInsertBlock()->getModule();
       auto* memory = module.getNamedGlobal("heed_shared");
       if (!memory) {
         auto* type = llvm::ArrayType::get(b.getInt8Ty(), 0);
         memory = new llvm::GlobalVariable(module, type, false, llvm::GlobalValue::ExternalLinkage, nullptr, "heed_shared", nullptr,
                                           llvm::GlobalValue::NotThreadLocal, 3);
         memory->setAlignment(llvm::Align(1024));
       }
       return llvm::ConstantExpr::getAddrSpaceCast(memory, b.getPtrTy());
     }},
};

}  // namespace

Value* thread_index(llvm::IRBuilderBase& b) { return b.CreateCall(declared(b, "heed.thread", b.getInt32Ty(), {}, false)); }
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

void lower_builtins(llvm::Module& module) {
  std::vector<llvm::Function*> builtins;
  for (llvm::Function& function : module)
    if (function.isDeclaration() && function.getName().starts_with("heed.")) builtins.push_back(&function);
  llvm::IRBuilder<> b(module.getContext());
  for (llvm::Function* function : builtins) {
    const Lowering* lowering = nullptr;
    for (const Lowering& each : lowerings)
      if (each.name == function->getName()) lowering = &each;
    if (!lowering) throw std::logic_error("cuda: no lowering of " + function->getName().str());
    while (!function->use_empty()) {
      auto* call = llvm::cast<llvm::CallInst>(function->user_back());
      b.SetInsertPoint(call);
      std::vector<Value*> arguments(call->arg_begin(), call->arg_end());
      Value* value = lowering->make(b, arguments);
      if (!call->getType()->isVoidTy()) call->replaceAllUsesWith(value);
      call->eraseFromParent();
    }
    function->eraseFromParent();
  }
}

}  // namespace heed
