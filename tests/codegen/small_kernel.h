// Kernels of a few instructions that tests write by hand, run on the simulated GPU.
#pragma once
#include <llvm/IR/IRBuilder.h>
#include <llvm/IR/Module.h>

#include <functional>
#include <string>
#include <vector>

#include "codegen/cuda/builtins.h"
#include "codegen/cuda/piece.h"

namespace heed {

// What a kernel does in each thread, with a buffer of `block_threads` f32 and one of as many that holds 0, 1, 2 …
struct Code {
  llvm::IRBuilder<>& b;
  llvm::Function* kernel;
  llvm::Value* thread = nullptr;

  llvm::Value* word(int value) { return b.getInt32(static_cast<std::uint32_t>(value)); }
  llvm::Value* global(llvm::Value* index) { return b.CreateGEP(b.getFloatTy(), kernel->getArg(0), index); }
  llvm::Value* given(llvm::Value* index) { return b.CreateGEP(b.getFloatTy(), kernel->getArg(1), index); }
  llvm::Value* shared(llvm::Value* index) { return b.CreateGEP(b.getFloatTy(), shared_memory(b), index); }
  llvm::Value* shared_half(llvm::Value* index) { return b.CreateGEP(b.getInt16Ty(), shared_memory(b), index); }
  llvm::Value* number() { return b.CreateSIToFP(thread, b.getFloatTy()); }
  llvm::Value* mirrored() { return b.CreateSub(word(block_threads - 1), thread); }
  llvm::Value* load(llvm::Value* place) { return b.CreateLoad(b.getFloatTy(), place); }
  template <class Body>
  void where(llvm::Value* condition, Body body) {
    auto *inside = llvm::BasicBlock::Create(b.getContext(), "", kernel), *after = llvm::BasicBlock::Create(b.getContext(), "", kernel);
    b.CreateCondBr(condition, inside, after);
    b.SetInsertPoint(inside);
    body();
    b.CreateBr(after);
    b.SetInsertPoint(after);
  }
};

KernelSource source_of(const std::string& name, const std::function<void(Code&)>& write);

// Runs a kernel in two blocks and gives what its buffer holds then.
std::vector<float> run_small(const std::string& name, const std::function<void(Code&)>& write);
// What running something fails with; empty: it does not fail.
std::string message_of(const std::function<void()>& run);
// That a kernel with a mistake of this name fails, with such words and the line it comes from.
void expect_mistake(const std::string& name, const std::string& words, const std::function<void()>& run);

}  // namespace heed
