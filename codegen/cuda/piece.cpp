// Functions of pieces, and kernels that call them.
#include "codegen/cuda/piece.h"

#include <llvm/IR/IRBuilder.h>
#include <llvm/IR/Module.h>

#include "codegen/cuda/builtins.h"

namespace heed {

llvm::Function* add_piece(llvm::Module& module, const std::string& symbol, const Piece& piece, bool is_part) {
  llvm::LLVMContext& context = module.getContext();
  std::vector<llvm::Type*> types(piece.buffers.size(), llvm::PointerType::getUnqual(context));
  types.push_back(llvm::Type::getInt64Ty(context));
  types.push_back(llvm::PointerType::getUnqual(context));
  auto* type = llvm::FunctionType::get(llvm::Type::getVoidTy(context), types, false);
  auto* function = llvm::Function::Create(type, llvm::Function::InternalLinkage, symbol, module);
  function->addFnAttr(llvm::Attribute::AlwaysInline);
  function->addFnAttr(llvm::Attribute::Convergent);
  if (is_part) function->addFnAttr("heed-part");
  KernelFrame frame{function, {}, nullptr, nullptr, nullptr};
  for (std::size_t k = 0; k < piece.buffers.size(); ++k) frame.buffers.push_back(function->getArg(static_cast<unsigned>(k)));
  frame.task = function->getArg(static_cast<unsigned>(piece.buffers.size()));
  frame.fault = function->getArg(static_cast<unsigned>(piece.buffers.size() + 1));
  piece.emit(module, frame);
  return function;
}

llvm::Function* declare_kernel(llvm::Module& module, const std::string& symbol, std::size_t buffers) {
  llvm::LLVMContext& context = module.getContext();
  std::vector<llvm::Type*> types(buffers + 1, llvm::PointerType::getUnqual(context));
  auto* type = llvm::FunctionType::get(llvm::Type::getVoidTy(context), types, false);
  return llvm::Function::Create(type, llvm::Function::ExternalLinkage, symbol, module);
}

KernelSource kernel_of(const Piece& piece) {
  return {piece.key, [piece](llvm::Module& module, const std::string& symbol) {
            llvm::Function* body = add_piece(module, symbol + "_piece", piece, false);
            llvm::Function* kernel = declare_kernel(module, symbol, piece.buffers.size());
            llvm::IRBuilder<> b(llvm::BasicBlock::Create(module.getContext(), "", kernel));
            std::vector<llvm::Value*> arguments;
            for (std::size_t k = 0; k < piece.buffers.size(); ++k) arguments.push_back(kernel->getArg(static_cast<unsigned>(k)));
            arguments.push_back(b.CreateZExt(block_index(b), b.getInt64Ty()));
            arguments.push_back(kernel->getArg(static_cast<unsigned>(piece.buffers.size())));
            b.CreateCall(body, arguments);
            b.CreateRetVoid();
          }};
}

}  // namespace heed
