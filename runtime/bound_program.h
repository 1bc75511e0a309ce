// A program with memory for all that it takes and gives; parameters and states go in by name and come out updated.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "runtime/batches.h"
#include "runtime/device_execute.h"
#include "runtime/execute.h"
#include "runtime/tensor.h"
#include "runtime/train.h"

namespace heed {

class BoundProgram {
 public:
  // `batches`: how many may be held at once, one of them used by a run and others on their way to a device.
  BoundProgram(std::shared_ptr<const Program> program, ThreadPool& pool, std::size_t batches = 1);

  // On a device a batch can go there while another one is used; the last run with a batch of this number must have ended. Another thread
  // than that of the runs may call it.
  void put_ahead(Batch& batch);

  // Updates replace the values of their names.
  void run(NamedTensors& values, const Batch& batch, std::int64_t seed, std::int64_t step, Profile* profile = nullptr);
  // The same, looking for the first NaN; if there is one, the values are of no use any more.
  std::optional<NanOrigin> run_and_find_nan(NamedTensors& values, const Batch& batch, std::int64_t seed, std::int64_t step);

  // Of a program for a device: parameters and states stay there from run to run, and the caller's values are old until they are fetched.
  // What the caller has changed since the last run must be forgotten, whatever runs the program.
  void fetch(NamedTensors& values);
  void forget();
  void forget(const std::string& name);

  Metrics scalars() const;  // of the last run
  // What the outputs of the last run hold, by name.
  NamedTensors take_outputs();
  const Program& program() const { return executor_.program(); }

 private:
  void bind(NamedTensors& values, const Batch& batch, std::int64_t seed, std::int64_t step);
  void keep_updates(NamedTensors& values);

  void put_inputs(const Batch& batch);
  void take_updates();

  Executor executor_;
  std::optional<DeviceValues> device_;
  std::vector<bool> there_;          // of each input: the device has its newest value
  bool is_newer_ = false;            // than the caller's
  std::vector<HostTensor> outputs_;  // none for updates in place
  std::int64_t seed_ = 0, step_ = 0;
  std::vector<void*> input_pointers_, output_pointers_;
};

}  // namespace heed
