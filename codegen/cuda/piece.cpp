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
  types.resize(types.size() + 1 + piece.maps.size(), llvm::PointerType::getUnqual(context));
  auto* type = llvm::FunctionType::get(llvm::Type::getVoidTy(context), types, false);
  auto* function = llvm::Function::Create(type, llvm::Function::InternalLinkage, symbol, module);
  function->addFnAttr(llvm::Attribute::AlwaysInline);
  function->addFnAttr(llvm::Attribute::Convergent);
  if (is_part) function->addFnAttr("heed-part");
  KernelFrame frame{function, {}, nullptr, nullptr, nullptr};
  for (std::size_t k = 0; k < piece.buffers.size(); ++k) frame.buffers.push_back(function->getArg(static_cast<unsigned>(k)));
  frame.task = function->getArg(static_cast<unsigned>(piece.buffers.size()));
  frame.fault = function->getArg(static_cast<unsigned>(piece.buffers.size() + 1));
  for (std::size_t k = 0; k < piece.maps.size(); ++k)
    frame.maps.push_back(function->getArg(static_cast<unsigned>(piece.buffers.size() + 2 + k)));
  piece.emit(module, frame);
  return function;
}

namespace {

constexpr const char *threads_attribute = "heed-threads", *maps_attribute = "heed-maps";

std::int64_t number_in(const llvm::Function& kernel, const char* attribute) {
  std::int64_t number = 0;
  kernel.getFnAttribute(attribute).getValueAsString().getAsInteger(10, number);
  return number;
}

}  // namespace

int threads_of(const llvm::Function& kernel) { return static_cast<int>(number_in(kernel, threads_attribute)); }
std::size_t maps_of(const llvm::Function& kernel) { return static_cast<std::size_t>(number_in(kernel, maps_attribute)); }

llvm::Function* declare_kernel(llvm::Module& module, const std::string& symbol, std::size_t buffers, std::size_t maps, int threads) {
  llvm::LLVMContext& context = module.getContext();
  std::vector<llvm::Type*> types(buffers + 1 + maps, llvm::PointerType::getUnqual(context));
  auto* type = llvm::FunctionType::get(llvm::Type::getVoidTy(context), types, false);
  auto* kernel = llvm::Function::Create(type, llvm::Function::ExternalLinkage, symbol, module);
  kernel->addFnAttr(threads_attribute, std::to_string(threads));
  kernel->addFnAttr(maps_attribute, std::to_string(maps));
  return kernel;
}

KernelSource kernel_of(const Piece& piece) {
  return {piece.key, [piece](llvm::Module& module, const std::string& symbol) {
            llvm::Function* body = add_piece(module, symbol + "_piece", piece, false);
            llvm::Function* kernel = declare_kernel(module, symbol, piece.buffers.size(), piece.maps.size(), piece.threads);
            llvm::IRBuilder<> b(llvm::BasicBlock::Create(module.getContext(), "", kernel));
            std::vector<llvm::Value*> arguments;
            for (std::size_t k = 0; k < piece.buffers.size(); ++k) arguments.push_back(kernel->getArg(static_cast<unsigned>(k)));
            arguments.push_back(b.CreateZExt(block_index(b), b.getInt64Ty()));
            arguments.push_back(kernel->getArg(static_cast<unsigned>(piece.buffers.size())));
            for (std::size_t k = 0; k < piece.maps.size(); ++k)
              arguments.push_back(kernel->getArg(static_cast<unsigned>(piece.buffers.size() + 1 + k)));
            b.CreateCall(body, arguments);
            b.CreateRetVoid();
          }};
}

}  // namespace heed
