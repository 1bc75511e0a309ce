// Small kernels as programs of the simulated GPU.
#include "tests/codegen/small_kernel.h"

#include <gtest/gtest.h>

#include <numeric>

#include "tests/device.h"

namespace heed {

KernelSource source_of(const std::string& name, const std::function<void(Code&)>& write) {
  return {name, [write](llvm::Module& module, const std::string& symbol) {
            llvm::Function* kernel = declare_kernel(module, symbol, 2);
            llvm::IRBuilder<> b(llvm::BasicBlock::Create(module.getContext(), "", kernel));
            Code code{b, kernel};
            code.thread = thread_index(b);
            write(code);
            b.CreateRetVoid();
          }};
}

std::vector<float> run_small(const std::string& name, const std::function<void(Code&)>& write) {
  SimulatorBuiltins builtins = simulated_builtins();
  DeviceCode code = simulated_code({source_of(name, write)}, {{block_threads * 4}}, builtins, {});
  Program program;
  program.device = simulated_device();
  program.kernels = code.kernels;
  program.code = code.owner;
  program.buffers = {{Buffer::Kind::output, 0, block_threads * 4, "f32"}, {Buffer::Kind::input, 0, block_threads * 4, "f32"}};
  program.inputs = {{"x", ProgramValue::Role::data, {"f32", {block_threads}}}};
  program.outputs = {{"y", ProgramValue::Role::result, {"f32", {block_threads}}}};
  program.regions = {{name, "model.heed:7"}};
  Launch launch{.tasks = 2, .buffers = {{0}, {1}}, .region = 0, .kernel = 0};
  program.steps = {launch};
  auto shared = std::make_shared<const Program>(program);
  DeviceExecutor executor(shared);
  DeviceValues values(*shared);
  std::vector<float> given(block_threads);
  std::iota(given.begin(), given.end(), 0.0F);
  values.put(0, given.data());
  executor.run(values.inputs(), values.outputs(), nullptr);
  std::vector<float> result(block_threads);
  values.get_output(0, result.data());
  return result;
}

std::string message_of(const std::function<void()>& run) {
  try {
    run();
  } catch (const std::runtime_error& error) {
    return error.what();
  }
  return "";
}

void expect_mistake(const std::string& name, const std::string& words, const std::function<void()>& run) {
  const std::string message = message_of(run);
  EXPECT_NE(message.find(words), std::string::npos) << name << ": " << message;
  EXPECT_NE(message.find("model.heed:7"), std::string::npos) << message;
}

}  // namespace heed
