// Runs programs that were compiled for a device: binds its memory to their buffers and launches their kernels in order.
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "runtime/device.h"
#include "runtime/execute.h"
#include "runtime/preparation.h"

namespace heed {

class DeviceExecutor {
 public:
  // Throws InputError when there is no memory for the arena.
  explicit DeviceExecutor(std::shared_ptr<const Program> program);

  // As Executor's, with memory of the device.
  void run(std::span<void* const> inputs, std::span<void* const> outputs, Profile* profile);
  std::optional<NanOrigin> run_and_find_nan(std::span<void* const> inputs, std::span<void* const> outputs);
  void forget() { preparation_.forget(); }
  std::int64_t memory_bytes() const { return arena_.bytes(); }
  double seconds() const { return device_.seconds_between(begun_, ended_); }  // of the last run, by the device's clock

 private:
  // Called around each launch; false ends the run. Either may be missing.
  struct Watch {
    std::function<void()> before;
    std::function<bool(const Launch& launch)> after;
  };
  void bind(std::span<void* const> inputs, std::span<void* const> outputs);
  bool run_steps(const std::vector<ProgramStep>& steps, std::int64_t index, const Watch& watch);
  void launch(const Launch& launch, std::int64_t index);
  void prepare(std::span<void* const> inputs);
  void throw_faults();
  void run_all(const Watch& watch = {});
  // Whether no run before had this memory; it is remembered while there is room.
  bool is_first_with(const std::vector<void*>& memory);
  void run_recorded(const std::vector<void*>& memory);
  void run_profiled(const std::vector<void*>& memory, Profile& profile);
  bool holds_nan(const BufferUse& use, std::vector<std::byte>& copy);

  std::shared_ptr<const Program> program_;
  Device& device_;
  std::shared_ptr<void> code_;
  DeviceMemory arena_, fault_;
  Device::Moment begun_, ended_;
  // Runs that were recorded, by the memory they were given; null for one that was seen once.
  std::map<std::vector<void*>, std::shared_ptr<void>> recordings_;
  std::vector<std::byte*> bases_;  // of Program::buffers
  Preparation preparation_;
  std::vector<void*> parameters_;
};

// Inputs and outputs of a program in the memory of its device.
class DeviceValues {
 public:
  // `sets`: of memory for data.
  explicit DeviceValues(const Program& program, std::size_t sets = 1);
  ~DeviceValues();
  void put(std::size_t input, const void* from);
  // Data inputs in their order, into one of the sets, beside what is under way; the last run that used the set must have ended. Another
  // thread than that of the runs may call it.
  void put_ahead(std::size_t set, std::span<const void* const> data);
  void choose(std::size_t set);  // the next runs use it, and wait for what was put there ahead
  void get_input(std::size_t input, void* to) const;
  void get_output(std::size_t output, void* to) const;
  // Updates that are not in place become the inputs of the next run.
  void take_updates();
  std::span<void* const> inputs() const { return input_pointers_; }
  std::span<void* const> outputs() const { return output_pointers_; }

 private:
  void point();
  const Program& program_;
  Device& device_;
  struct DataSet {
    std::vector<DeviceMemory> memory;  // by data input
    Device::Moment copied;             // null: nothing that a run has not waited for
  };
  std::vector<DataSet> sets_;
  std::size_t chosen_ = 0;
  std::vector<std::size_t> data_;               // which inputs are data
  std::vector<DeviceMemory> inputs_, outputs_;  // none for data, and for updates in place
  std::vector<void*> input_pointers_, output_pointers_;
};

}  // namespace heed
