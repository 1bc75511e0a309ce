// The simulated GPU sees what kernels do wrong: each kernel here has one mistake, and one has none.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <llvm/IR/IRBuilder.h>
#include <llvm/IR/Module.h>

#include "codegen/cuda/builtins.h"
#include "codegen/cuda/piece.h"
#include "tests/device.h"

namespace heed {
namespace {

constexpr int size = block_threads;

// What a kernel does in each thread, with a buffer of `size` f32.
struct Code {
  llvm::IRBuilder<>& b;
  llvm::Function* kernel;
  llvm::Value* thread = nullptr;

  llvm::Value* word(int value) { return b.getInt32(static_cast<std::uint32_t>(value)); }
  llvm::Value* global(llvm::Value* index) { return b.CreateGEP(b.getFloatTy(), kernel->getArg(0), index); }
  llvm::Value* shared(llvm::Value* index) { return b.CreateGEP(b.getFloatTy(), shared_memory(b), index); }
  llvm::Value* number() { return b.CreateSIToFP(thread, b.getFloatTy()); }
  llvm::Value* mirrored() { return b.CreateSub(word(size - 1), thread); }
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

// Runs a kernel in two blocks and gives what its buffer holds then.
std::vector<float> run(const std::string& name, const std::function<void(Code&)>& write) {
  KernelSource source{name, [&](llvm::Module& module, const std::string& symbol) {
                        llvm::Function* kernel = declare_kernel(module, symbol, 1);
                        llvm::IRBuilder<> b(llvm::BasicBlock::Create(module.getContext(), "", kernel));
                        Code code{b, kernel};
                        code.thread = thread_index(b);
                        write(code);
                        b.CreateRetVoid();
                      }};
  SimulatorBuiltins builtins = simulated_builtins();
  DeviceCode code = simulated_code({source}, {size * 4}, builtins, {});
  Program program;
  program.device = simulated_device();
  program.kernels = code.kernels;
  program.code = code.owner;
  program.buffers = {{Buffer::Kind::output, 0, size * 4, "f32"}};
  program.outputs = {{"y", ProgramValue::Role::result, {"f32", {size}}}};
  program.regions = {{name, "model.heed:7"}};
  Launch launch{.tasks = 2, .buffers = {{0}}, .region = 0, .kernel = 0};
  program.steps = {launch};
  auto shared = std::make_shared<const Program>(program);
  DeviceExecutor executor(shared);
  DeviceValues values(*shared);
  executor.run(values.inputs(), values.outputs(), nullptr);
  std::vector<float> result(size);
  values.get_output(0, result.data());
  return result;
}

// Writes the numbers of the threads backwards through shared memory; `with_barrier` or without.
void reverse(Code& c, bool with_barrier) {
  c.b.CreateStore(c.number(), c.shared(c.thread));
  if (with_barrier) block_barrier(c.b);
  llvm::Value* other = c.load(c.shared(c.mirrored()));
  c.where(c.b.CreateICmpEQ(block_index(c.b), c.word(0)), [&] { c.b.CreateStore(other, c.global(c.thread)); });
}

std::string message_of(const std::string& name, const std::function<void(Code&)>& write) {
  try {
    run(name, write);
  } catch (const std::runtime_error& error) {
    return error.what();
  }
  return "";
}

TEST(Simulator, ASoundKernelRuns) {
  std::vector<float> result = run("reverse", [](Code& c) { reverse(c, true); });
  for (int k = 0; k < size; ++k) EXPECT_EQ(result[static_cast<std::size_t>(k)], static_cast<float>(size - 1 - k));
}

TEST(Simulator, ShufflesReachTheOtherLane) {
  std::vector<float> result = run("shuffle", [](Code& c) {
    llvm::Value* other = shuffle_xor(c.b, c.number(), 8);
    c.where(c.b.CreateICmpEQ(block_index(c.b), c.word(0)), [&] { c.b.CreateStore(other, c.global(c.thread)); });
  });
  for (int k = 0; k < size; ++k) EXPECT_EQ(result[static_cast<std::size_t>(k)], static_cast<float>(k ^ 8));
}

TEST(Simulator, SaysWhatIsWrong) {
  struct Mistake {
    const char *name, *words;
    std::function<void(Code&)> write;
  };
  const Mistake mistakes[] = {
      {"missing barrier", "with no barrier between: shared memory", [](Code& c) { reverse(c, false); }},
      {"one past the end", "writes 4 bytes outside of",
       [](Code& c) { c.b.CreateStore(c.number(), c.global(c.b.CreateAdd(c.thread, c.word(1)))); }},
      {"before the start", "reads 4 bytes outside of",
       [](Code& c) { c.b.CreateStore(c.load(c.global(c.b.CreateSub(c.thread, c.word(1)))), c.shared(c.thread)); }},
      {"past shared memory", "outside of", [](Code& c) { c.b.CreateStore(c.number(), c.shared(c.b.CreateAdd(c.thread, c.word(64)))); }},
      {"unaligned", "unaligned",
       [](Code& c) {
         llvm::Value* place = c.b.CreateGEP(c.b.getInt8Ty(), c.shared(c.word(0)), c.b.CreateAdd(c.thread, c.word(1)));
         c.where(c.b.CreateICmpEQ(c.thread, c.word(5)), [&] { c.b.CreateStore(c.number(), place); });
       }},
      {"two blocks write one place", "with no barrier between: buffer 0", [](Code& c) { c.b.CreateStore(c.number(), c.global(c.thread)); }},
      {"threads of two warps write one place", "with no barrier between: shared memory",
       [](Code& c) { c.b.CreateStore(c.number(), c.shared(c.b.CreateURem(c.thread, c.word(32)))); }},
      {"some leave before a barrier", "wait for threads that never come",
       [](Code& c) { c.where(c.b.CreateICmpSLT(c.thread, c.word(40)), [&] { block_barrier(c.b); }); }},
      {"half a warp shuffles", "wait for threads that never come",
       [](Code& c) { c.where(c.b.CreateICmpSLT(c.thread, c.word(16)), [&] { shuffle_xor(c.b, c.number(), 1); }); }},
  };
  for (const Mistake& mistake : mistakes) {
    std::string message = message_of(mistake.name, mistake.write);
    EXPECT_NE(message.find(mistake.words), std::string::npos) << mistake.name << ": " << message;
    EXPECT_NE(message.find("model.heed:7"), std::string::npos) << message;
  }
}

// Memory that nobody wrote holds NaN, so that what is made of it shows.
TEST(Simulator, SharedMemoryStartsPoisoned) {
  std::vector<float> result = run("poisoned", [](Code& c) {
    llvm::Value* there = c.load(c.shared(c.thread));
    c.where(c.b.CreateICmpEQ(block_index(c.b), c.word(0)), [&] { c.b.CreateStore(there, c.global(c.thread)); });
  });
  for (float each : result) EXPECT_TRUE(each != each);
}

}  // namespace
}  // namespace heed
