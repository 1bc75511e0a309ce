// Runs compiled programs: binds memory to their buffers and calls their kernels in order.
#pragma once
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "input_error.h"
#include "runtime/memory.h"
#include "runtime/preparation.h"
#include "runtime/profile.h"
#include "runtime/program.h"
#include "runtime/thread_pool.h"

namespace heed {

// A data-dependent index left its range. Says where; who knows the data can say which row it was.
class IndexFault : public InputError {
 public:
  IndexFault(const std::string& message, std::int64_t index) : InputError(message), index(index) {}
  std::int64_t index;
};

// The first region of a run that made a NaN out of values without any.
struct NanOrigin {
  std::int32_t region = -1;  // of Program::regions; -1 when an input held it already
  std::int32_t input = -1;   // of Program::inputs then
};

class DeviceExecutor;

// One program made ready to run: it owns the arena and a scratch for each thread. For one run at a time.
class Executor {
 public:
  // Throws InputError when there is no memory for the arena.
  Executor(std::shared_ptr<const Program> program, ThreadPool& pool);
  ~Executor();

  // One pointer an input and an output of the program, in its order, each to memory of its type's bytes, aligned to 64; of a program
  // for a device, to memory of the device. An update
  // in place is given the memory of its input. What follows from parameters and states that no output updates is kept from run to run: when
  // their values have changed in the same memory, `forget` must be called. Throws IndexFault when a data-dependent index leaves its range;
  // what was written is then of no use.
  void run(std::span<void* const> inputs, std::span<void* const> outputs, Profile* profile = nullptr);

  // Runs the program and looks into the buffers of every kernel after it: slow, to be called after a NaN was seen.
  std::optional<NanOrigin> run_and_find_nan(std::span<void* const> inputs, std::span<void* const> outputs);

  void forget();

  const Program& program() const { return *program_; }
  std::int64_t memory_bytes() const;
  // Of the last run, by the device's own clock: without what the host does before and after. None on the processor.
  std::optional<double> device_seconds() const;

 private:
  using Clock = std::chrono::steady_clock;
  // Called with the region and the buffers of each kernel that has run; false ends the run.
  using AfterLaunch = std::function<bool(std::int32_t region, const std::vector<BufferUse>& buffers)>;
  void bind(std::span<void* const> inputs, std::span<void* const> outputs);
  template <typename Task>
  void run_tasks(std::int64_t tasks, const Task& task);
  void keep_spans(std::int32_t region, Profile& profile);
  bool run_steps(const std::vector<ProgramStep>& steps, std::int64_t index, Fault& fault, const AfterLaunch* after, Profile* profile);
  void launch(const Launch& launch, std::int64_t index, Fault& fault);
  struct Columns {
    std::int64_t begin, end;
  };
  // What a block of rows needs by data at these positions of the units.
  Columns needed(const BlockedWork& work, std::size_t rows, const std::int64_t* units, std::int64_t index) const;
  static BlockedWork::Block narrowed(const BlockedWork& work, BlockedWork::Block block, Columns needed);
  void run_blocks(const BlockedWork& work, std::int64_t index, Fault& fault, Profile* profile);
  void fill(const BlockedWork::Initial& initial, std::int64_t index);

  std::shared_ptr<const Program> program_;
  ThreadPool& pool_;
  std::unique_ptr<DeviceExecutor> device_;  // of a program for a device: it does everything
  Memory arena_, scratch_;
  std::int64_t scratch_stride_ = 0;
  std::vector<std::byte*> bases_;  // of Program::buffers, but local ones
  Preparation preparation_;
  std::vector<std::vector<void*>> arguments_;  // of the launch under way, by thread
  // While spans are kept: of the launch under way, when each thread began its first task and ended its last.
  struct Worked {
    Clock::time_point begin, end;
    bool any = false;
  };
  std::vector<Worked> worked_;
};

// Bytes of memory that running a program takes besides its inputs and outputs.
std::int64_t working_memory(const Program& program, int threads);

// Throws InputError, before anything is allocated, if that and inputs and outputs are more than there is.
void check_memory(const Program& program, int threads);

}  // namespace heed
