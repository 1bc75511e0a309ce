// Small kernels as programs of the simulated GPU.
#include "tests/codegen/small_kernel.h"

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
  DeviceCode code = simulated_code({source_of(name, write)}, {{block_size * 4}}, builtins, {});
  Program program;
  program.device = simulated_device();
  program.kernels = code.kernels;
  program.code = code.owner;
  program.buffers = {{Buffer::Kind::output, 0, block_size * 4, "f32"}, {Buffer::Kind::input, 0, block_size * 4, "f32"}};
  program.inputs = {{"x", ProgramValue::Role::data, {"f32", {block_size}}}};
  program.outputs = {{"y", ProgramValue::Role::result, {"f32", {block_size}}}};
  program.regions = {{name, "model.heed:7"}};
  Launch launch{.tasks = 2, .buffers = {{0}, {1}}, .region = 0, .kernel = 0};
  program.steps = {launch};
  auto shared = std::make_shared<const Program>(program);
  DeviceExecutor executor(shared);
  DeviceValues values(*shared);
  std::vector<float> given(block_size);
  std::iota(given.begin(), given.end(), 0.0F);
  values.put(0, given.data());
  executor.run(values.inputs(), values.outputs(), nullptr);
  std::vector<float> result(block_size);
  values.get_output(0, result.data());
  return result;
}

std::string message_of(const std::string& name, const std::function<void(Code&)>& write) {
  try {
    run_small(name, write);
  } catch (const std::runtime_error& error) {
    return error.what();
  }
  return "";
}

}  // namespace heed
