// Each intrinsic's uses become calls of an address.
#include "codegen/cpu/matrix_functions.h"

#include <llvm/IR/Constants.h>
#include <llvm/IR/Instructions.h>
#include <llvm/IR/Intrinsics.h>
#include <llvm/IR/IntrinsicsX86.h>
#include <llvm/IR/Module.h>
#include <llvm/Transforms/Utils/BasicBlockUtils.h>

#include <utility>

namespace heed {

void bind_matrix_instructions(llvm::Module& module, const MatrixFunctions& functions) {
  const std::pair<llvm::Intrinsic::ID, std::uintptr_t> bindings[] = {
      {llvm::Intrinsic::x86_ldtilecfg, reinterpret_cast<std::uintptr_t>(functions.configure)},
      {llvm::Intrinsic::x86_tilerelease, reinterpret_cast<std::uintptr_t>(functions.release)},
      {llvm::Intrinsic::x86_tilezero, reinterpret_cast<std::uintptr_t>(functions.zero)},
      {llvm::Intrinsic::x86_tileloadd64, reinterpret_cast<std::uintptr_t>(functions.load)},
      {llvm::Intrinsic::x86_tilestored64, reinterpret_cast<std::uintptr_t>(functions.store)},
      {llvm::Intrinsic::x86_tdpbf16ps, reinterpret_cast<std::uintptr_t>(functions.multiply_bf16)},
  };
  auto* address_type = llvm::Type::getInt64Ty(module.getContext());
  auto* pointer = llvm::PointerType::getUnqual(module.getContext());
  for (const auto& [instruction, address] : bindings) {
    llvm::Function* intrinsic = module.getFunction(llvm::Intrinsic::getName(instruction));
    if (!intrinsic) continue;
    llvm::Constant* function = llvm::ConstantExpr::getIntToPtr(llvm::ConstantInt::get(address_type, address), pointer);
    while (!intrinsic->use_empty()) {
      auto* call = llvm::cast<llvm::CallInst>(intrinsic->user_back());
      auto* bound = llvm::CallInst::Create(call->getFunctionType(), function, llvm::SmallVector<llvm::Value*>(call->args()));
      llvm::ReplaceInstWithInst(call, bound);
    }
    intrinsic->eraseFromParent();
  }
}

}  // namespace heed
