// A program with its inputs and outputs by name, run by compiled code or by the reference evaluator.
#pragma once
#include <map>
#include <memory>
#include <string>

#include "ir/graph.h"
#include "ir/tensor.h"
#include "runtime/device_execute.h"
#include "runtime/execute.h"
#include "runtime/tensor.h"
#include "tools/programs.h"

namespace heed {

// The memory of one compiled program. An update in place shares its input's tensor.
class Execution {
 public:
  Execution(std::shared_ptr<const Program> program, ThreadPool& pool);
  // The input must be of the program's type. Inputs never set are zeros.
  void set(const std::string& name, HostTensor value);
  void run(Profile* profile = nullptr);
  const HostTensor& output(const std::string& name);
  // The same, to keep: there is no run after it.
  HostTensor take_output(const std::string& name);
  const Program& program() const { return *program_; }
  std::int64_t memory_bytes() const { return executor_.memory_bytes(); }
  std::optional<double> device_seconds() const { return executor_.device_seconds(); }  // Executor's

 private:
  HostTensor& fetched_output(const std::string& name);

  std::shared_ptr<const Program> program_;
  Executor executor_;
  std::optional<DeviceValues> device_;        // of a program for a device; the tensors here are copies of what lies there
  std::vector<HostTensor> inputs_, outputs_;  // an output in place has no memory of its own
  std::vector<void*> input_memory_, output_memory_;
};

// What to tell of the time of a run.
struct ProfileOptions {
  bool print = false;
  std::string trace;  // a file; empty: none
};

// The same two ways, for one run: results and updates by name. A profile is of some more runs after that one.
NamedTensors run_compiled(const Graph& graph, NamedTensors inputs, const RunOptions& options, bool verbose,
                          const ProfileOptions& profile = {});
NamedTensors run_evaluated(const Graph& graph, const NamedTensors& inputs, const PipelineOptions& options = {});

Tensor as_tensor(const HostTensor& tensor);
HostTensor as_host_tensor(const Tensor& tensor);
TensorType type_of(ArrayRef array);

// Values for every input that `given` lacks: parameters and states their first values, data random from the seed, step 1.
NamedTensors complete_inputs(const Graph& graph, NamedTensors given, std::int64_t seed, bool evaluator, const RunOptions& options);

// Random elements: floating ones normally distributed, integers and booleans even over what the program can index with them.
HostTensor random_tensor(const Graph& graph, ArrayRef input, std::uint64_t seed);

}  // namespace heed
