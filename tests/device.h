// What tests of compiled code run on: HEED_TEST_DEVICE is cpu (the default), cuda-sim, cuda-sim:sm_90a or another chip, or cuda: the first
// GPU. HEED_TEST_CPU names the processor's instructions (tests/processor.h).
#pragma once
#include <stdexcept>
#include <string>

#include "codegen/compile.h"
#include "ir/tensor.h"
#include "runtime/cuda/cuda_device.h"
#include "runtime/cuda/driver.h"
#include "runtime/cuda/simulated_device.h"
#include "runtime/device_execute.h"
#include "tests/processor.h"

namespace heed {

inline std::string test_device_name() { return test_setting("HEED_TEST_DEVICE", "cpu"); }
inline bool is_test_simulated() { return test_device_name().starts_with("cuda-sim"); }

// Null: the processor.
inline std::shared_ptr<Device> test_device() {
  static const std::shared_ptr<Device> device = [] {
    std::string name = test_device_name();
    if (name == "cuda") return open_cuda_device(0);
    if (is_test_simulated()) return simulated_device();
    if (name != "cpu") throw std::runtime_error("HEED_TEST_DEVICE=" + name + ": known are cpu, cuda, cuda-sim, cuda-sim:sm_90a");
    return std::shared_ptr<Device>();
  }();
  return device;
}

inline void set_test_target(CompileOptions& options) {
  static const SimulatorBuiltins builtins = simulated_builtins();
  options.target = test_processor();
  if (is_test_simulated()) {
    const std::size_t chip = std::string_view("cuda-sim:").size();
    options.cuda = cuda_target_named(test_device_name().size() > chip ? test_device_name().substr(chip) : "sm_80");
    options.simulator = &builtins;
  } else if (test_device_name() == "cuda") {
    auto figures = cuda::device_figures().at(0);
    options.cuda = cuda_target_of(figures.major, figures.minor);
  }
}

// One run of a program that was compiled for such a device.
inline std::vector<Tensor> run_on_device(Program program, const std::map<std::string, Tensor>& inputs,
                                         std::shared_ptr<Device> device = test_device()) {
  program.device = std::move(device);
  auto shared = std::make_shared<const Program>(std::move(program));
  DeviceExecutor executor(shared);
  DeviceValues values(*shared);
  for (std::size_t k = 0; k < shared->inputs.size(); ++k) values.put(k, inputs.at(shared->inputs[k].name).bytes.data());
  executor.run(values.inputs(), values.outputs(), nullptr);
  std::vector<Tensor> made;
  for (std::size_t k = 0; k < shared->outputs.size(); ++k) {
    const TensorType& type = shared->outputs[k].type;
    values.get_output(k, made.emplace_back(*dtype_named(type.dtype), type.shape).bytes.data());
  }
  return made;
}

}  // namespace heed
