// Runs compiled programs: binds memory to their buffers and calls their kernels in order.
#include "runtime/execute.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <stdexcept>
#include <utility>

#include "runtime/device_execute.h"
#include "runtime/faults.h"
#include "runtime/memory.h"
#include "runtime/tensor.h"

namespace heed {
namespace {

using Clock = std::chrono::steady_clock;
double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

template <typename... Ts>
struct Overloaded : Ts... {
  using Ts::operator()...;
};

std::int64_t largest_scratch(const std::vector<ProgramStep>& steps) {
  std::int64_t bytes = 0;
  for (const auto& step : steps) {
    std::visit(Overloaded{[&](const Launch& launch) { bytes = std::max(bytes, launch.scratch_bytes); }, [](const Copy&) {},
                          [&](const std::shared_ptr<BlockedWork>& work) {
                            for (const auto& body : work->bodies)
                              for (const Launch& launch : body) bytes = std::max(bytes, work->local_bytes + launch.scratch_bytes);
                          },
                          [&](const std::shared_ptr<Loop>& loop) { bytes = std::max(bytes, largest_scratch(loop->steps)); }},
               step);
  }
  return bytes;
}

// Two threads never write to one cache line, nor to lines that are fetched in pairs.
std::int64_t scratch_stride(const Program& program) {
  return whole_units(std::max(largest_scratch(program.preparation), largest_scratch(program.steps)), 256);
}

// Waking the other threads takes longer than this much work.
bool is_small(const Program& program, const Launch& launch) {
  if (launch.tasks <= 1) return true;
  if (launch.region < 0) return false;
  const auto& region = program.regions.at(static_cast<std::size_t>(launch.region));
  return region.flop + region.bytes > 0 && region.flop < 50e3 * region.times && region.bytes < 50e3 * region.times;
}

void check_count(const char* what, std::size_t given, std::size_t wanted) {
  if (given != wanted) throw std::logic_error(fmt::format("execute: {} {} were given to a program that has {}", given, what, wanted));
}

}  // namespace

std::int64_t BlockedWork::tasks() const {
  std::int64_t count = parallel_rows ? static_cast<std::int64_t>(of_rows.size()) : 1;
  for (std::int32_t unit = 0; unit < parallel_units; ++unit) count *= units[static_cast<std::size_t>(unit)];
  return count;
}

std::int64_t working_memory(const Program& program, int threads) { return program.arena_bytes + scratch_stride(program) * threads; }

void check_memory(const Program& program, int threads) {
  if (program.device) return;  // says what it lacks when it is asked for memory
  double bytes = static_cast<double>(working_memory(program, threads));
  for (const ProgramValue& input : program.inputs) bytes += static_cast<double>(input.type.bytes());
  for (const ProgramValue& output : program.outputs)
    if (output.in_place < 0) bytes += static_cast<double>(output.type.bytes());
  check_available(bytes, "running this");
}

Executor::Executor(std::shared_ptr<const Program> program, ThreadPool& pool)
    : program_(std::move(program)),
      pool_(pool),
      device_(program_->device ? std::make_unique<DeviceExecutor>(program_) : nullptr),
      arena_(device_ ? 0 : program_->arena_bytes),
      scratch_(scratch_stride(*program_) * pool.size()),
      scratch_stride_(scratch_stride(*program_)),
      bases_(program_->buffers.size()),
      preparation_(*program_),
      arguments_(static_cast<std::size_t>(pool.size())) {}

Executor::~Executor() = default;

void Executor::bind(std::span<void* const> inputs, std::span<void* const> outputs) {
  check_count("inputs", inputs.size(), program_->inputs.size());
  check_count("outputs", outputs.size(), program_->outputs.size());
  for (std::size_t b = 0; b < bases_.size(); ++b) {
    const Buffer& buffer = program_->buffers[b];
    const auto place = static_cast<std::size_t>(buffer.offset);
    switch (buffer.kind) {
      case Buffer::Kind::arena:
        bases_[b] = arena_.data() + buffer.offset;
        break;
      case Buffer::Kind::input:
        bases_[b] = static_cast<std::byte*>(inputs[place]);
        break;
      case Buffer::Kind::output:
        bases_[b] = static_cast<std::byte*>(outputs[place]);
        break;
      case Buffer::Kind::local:
        break;
    }
  }
}

// All tasks, by all threads.
template <typename Task>
void Executor::run_tasks(std::int64_t tasks, const Task& task) {
  if (worked_.empty()) return pool_.run(tasks, task);
  pool_.run(tasks, [&](std::int64_t number, int thread) {
    Worked& worked = worked_[static_cast<std::size_t>(thread)];
    if (!worked.any) worked = {Clock::now(), {}, true};
    task(number, thread);
    worked.end = Clock::now();
  });
}

void Executor::keep_spans(std::int32_t region, Profile& profile) {
  const auto since = [&](Clock::time_point time) { return std::chrono::duration<double>(time - profile.start).count(); };
  for (std::size_t thread = 0; thread < worked_.size(); ++thread) {
    const Worked worked = std::exchange(worked_[thread], {});
    if (worked.any && profile.spans.size() < profile.most_spans)
      profile.spans.push_back({region, static_cast<std::int32_t>(thread), since(worked.begin), since(worked.end)});
  }
}

void Executor::launch(const Launch& launch, std::int64_t index, Fault& fault) {
  std::vector<void*>& list = arguments_[0];
  list.clear();
  for (const BufferUse& use : launch.buffers) list.push_back(bases_[static_cast<std::size_t>(use.buffer)] + index * use.stride);
  void* const* arguments = list.data();
  if (is_small(*program_, launch)) {
    const auto begin = worked_.empty() ? Clock::time_point() : Clock::now();
    for (std::int64_t task = 0; task < launch.tasks; ++task) launch.function(arguments, scratch_.data(), task, &fault);
    if (!worked_.empty()) worked_[0] = {begin, Clock::now(), true};
    return;
  }
  run_tasks(launch.tasks, [&, arguments](std::int64_t task, int thread) {
    launch.function(arguments, scratch_.data() + thread * scratch_stride_, task, &fault);
  });
}

void Executor::fill(const BlockedWork::Initial& initial, std::int64_t index) {
  constexpr std::int64_t piece = 1 << 18;
  std::byte* start = bases_[static_cast<std::size_t>(initial.buffer.buffer)] + index * initial.buffer.stride;
  const auto fill_piece = [&](std::int64_t task, int) {
    std::byte* first = start + task * piece;
    const auto bytes = static_cast<std::size_t>(std::min(initial.bytes - task * piece, piece));
    std::size_t done = std::min(bytes, initial.element.size());
    std::memcpy(first, initial.element.data(), done);
    for (; done < bytes; done *= 2) std::memcpy(first + done, first, std::min(done, bytes - done));
  };
  pool_.run((initial.bytes + piece - 1) / piece, fill_piece);
}

Executor::Columns Executor::needed(const BlockedWork& work, std::size_t rows, const std::int64_t* units, std::int64_t index) const {
  std::size_t at = 0;
  for (const std::size_t unit : work.by_data->units)
    at = at * static_cast<std::size_t>(work.units[unit]) + static_cast<std::size_t>(units[unit]);
  at = at * work.of_rows.size() + rows;
  const auto value_of = [&](const BufferUse& use) {
    return reinterpret_cast<const std::int64_t*>(bases_[static_cast<std::size_t>(use.buffer)] + index * use.stride)[at];
  };
  return {value_of(work.by_data->begin), value_of(work.by_data->end)};
}

// The block with the narrowest body that has those of its columns that are needed.
BlockedWork::Block Executor::narrowed(const BlockedWork& work, BlockedWork::Block block, Columns needed) {
  constexpr std::int64_t step = 16;  // columns begin at a multiple of it
  const auto width = [&](std::int32_t body) { return work.widths[static_cast<std::size_t>(body)]; };
  const std::int64_t last = block.column + width(block.body);
  const std::int64_t begin = std::max(block.column, std::min(needed.begin, needed.end) / step * step), end = std::min(needed.end, last);
  std::int32_t body = block.narrowest;
  while (body < block.body && width(body) < end - begin) ++body;
  return {body, block.row, std::min(begin, last - width(body)), block.narrowest};
}

void Executor::run_blocks(const BlockedWork& work, std::int64_t index, Fault& fault, Profile* profile) {
  for (const auto& initial : work.initial) fill(initial, index);
  const std::size_t parallel = static_cast<std::size_t>(work.parallel_units), units = work.units.size();
  std::int64_t turns = 1;  // positions of the units that a task takes in order
  for (std::size_t unit = parallel; unit < units; ++unit) turns *= work.units[unit];
  std::vector<std::vector<double>> inside;  // seconds, by thread and region
  if (profile) inside.assign(static_cast<std::size_t>(pool_.size()), std::vector<double>(profile->seconds.size()));
  run_tasks(work.tasks(), [&](std::int64_t task, int thread) {
    std::byte* local = scratch_.data() + thread * scratch_stride_;
    auto* offsets = reinterpret_cast<std::int64_t*>(local);
    std::vector<void*>& arguments = arguments_[static_cast<std::size_t>(thread)];
    const auto set_digits = [&](std::int64_t number, std::size_t first, std::size_t last) {
      for (std::size_t unit = last; unit-- > first; number /= work.units[unit]) offsets[unit] = number % work.units[unit];
    };
    const auto run_block = [&](const BlockedWork::Block& block) {
      offsets[units] = block.row;
      offsets[units + 1] = block.column;
      for (const Launch& launch : work.bodies[static_cast<std::size_t>(block.body)]) {
        arguments.clear();
        for (const BufferUse& use : launch.buffers) {
          const Buffer& buffer = program_->buffers[static_cast<std::size_t>(use.buffer)];
          arguments.push_back(buffer.kind == Buffer::Kind::local ? local + buffer.offset
                                                                 : bases_[static_cast<std::size_t>(use.buffer)] + index * use.stride);
        }
        const auto start = profile ? Clock::now() : Clock::time_point();
        for (std::int64_t part = 0; part < launch.tasks; ++part) launch.function(arguments.data(), local + work.local_bytes, part, &fault);
        if (profile) inside[static_cast<std::size_t>(thread)][static_cast<std::size_t>(launch.region)] += seconds_since(start);
      }
    };
    // All blocks of some rows. Data may decide which columns they need: one block becomes narrower, of many some are left out.
    const auto run_rows = [&](std::size_t rows) {
      const auto first = static_cast<std::size_t>(work.of_rows[rows]);
      const std::size_t end = rows + 1 < work.of_rows.size() ? static_cast<std::size_t>(work.of_rows[rows + 1]) : work.blocks.size();
      if (!work.by_data) {
        for (std::size_t number = first; number < end; ++number) run_block(work.blocks[number]);
        return;
      }
      const Columns columns = needed(work, rows, offsets, index);
      if (!work.by_data->leaves_out) return run_block(narrowed(work, work.blocks[first], columns));
      for (std::size_t number = first; number < end; ++number) {
        const BlockedWork::Block& block = work.blocks[number];
        const std::int64_t width = work.widths[static_cast<std::size_t>(block.body)];
        if (width == 0 || (block.column < columns.end && block.column + width > columns.begin)) run_block(block);
      }
    };
    const auto rows = static_cast<std::int64_t>(work.of_rows.size());
    set_digits(work.parallel_rows ? task / rows : task, 0, parallel);
    for (std::int64_t turn = 0; turn < turns; ++turn) {
      set_digits(turn, parallel, units);
      if (work.parallel_rows)
        run_rows(static_cast<std::size_t>(task % rows));
      else
        for (std::size_t number = 0; number < work.of_rows.size(); ++number) run_rows(number);
    }
  });
  for (const auto& seconds : inside)
    for (std::size_t region = 0; region < seconds.size(); ++region) profile->seconds[region] += seconds[region];
}

bool Executor::run_steps(const std::vector<ProgramStep>& steps, std::int64_t index, Fault& fault, const AfterLaunch* after,
                         Profile* profile) {
  const auto add_time = [&](std::int32_t region, Clock::time_point start) {
    if (!profile || region < 0) return;
    profile->seconds.at(static_cast<std::size_t>(region)) += seconds_since(start);
    keep_spans(region, *profile);
  };
  const auto run_launch = [&](const Launch& next) {
    const auto start = profile ? Clock::now() : Clock::time_point();
    launch(next, index, fault);
    add_time(next.region, start);
    return !after || (*after)(next.region, next.buffers);
  };
  const auto run_blocked = [&](const std::shared_ptr<BlockedWork>& work) {
    const auto start = profile ? Clock::now() : Clock::time_point();
    run_blocks(*work, index, fault, profile);
    add_time(work->region, start);
    return !after || (*after)(work->region, work->results);
  };
  const auto run_copy = [&](const Copy& copy) {
    std::memmove(bases_[static_cast<std::size_t>(copy.to.buffer)] + index * copy.to.stride,
                 bases_[static_cast<std::size_t>(copy.from.buffer)] + index * copy.from.stride, static_cast<std::size_t>(copy.bytes));
    return true;
  };
  const auto run_loop = [&](const std::shared_ptr<Loop>& loop) {
    for (std::int64_t trip = 0; trip < loop->trips; ++trip) {
      if (!run_steps(loop->steps, loop->reverse ? loop->trips - 1 - trip : trip, fault, after, profile)) return false;
    }
    return true;
  };
  return std::all_of(steps.begin(), steps.end(),
                     [&](const ProgramStep& step) { return std::visit(Overloaded{run_launch, run_copy, run_blocked, run_loop}, step); });
}

std::optional<double> Executor::device_seconds() const { return device_ ? std::optional(device_->seconds()) : std::nullopt; }

std::int64_t Executor::memory_bytes() const { return device_ ? device_->memory_bytes() : arena_.bytes() + scratch_.bytes(); }

void Executor::run(std::span<void* const> inputs, std::span<void* const> outputs, Profile* profile) {
  if (profile) profile->seconds.resize(program_->regions.size()), ++profile->runs;
  if (device_) return device_->run(inputs, outputs, profile);
  const FlushDenormals flush;
  bind(inputs, outputs);
  const bool keeps = profile && profile->spans.size() < profile->most_spans;
  worked_.assign(keeps ? static_cast<std::size_t>(pool_.size()) : 0, {});
  Fault fault;
  if (!preparation_.is_made_for(inputs)) {
    forget();
    run_steps(program_->preparation, 0, fault, nullptr, profile);
    throw_fault(fault, *program_);
    preparation_.made_for(inputs);
  }
  run_steps(program_->steps, 0, fault, nullptr, profile);
  worked_.clear();
  throw_fault(fault, *program_);
}

void Executor::forget() {
  preparation_.forget();
  if (device_) device_->forget();
}

std::optional<NanOrigin> Executor::run_and_find_nan(std::span<void* const> inputs, std::span<void* const> outputs) {
  if (device_) return device_->run_and_find_nan(inputs, outputs);
  const FlushDenormals flush;
  bind(inputs, outputs);
  for (std::size_t k = 0; k < inputs.size(); ++k) {
    const auto& type = program_->inputs[k].type;
    if (holds_nan(type.dtype, static_cast<const std::byte*>(inputs[k]), type.bytes())) return NanOrigin{-1, static_cast<std::int32_t>(k)};
  }
  // What an earlier run left must not be taken for a value of this one.
  std::memset(arena_.data(), 0, static_cast<std::size_t>(arena_.bytes()));
  for (std::size_t k = 0; k < outputs.size(); ++k) {
    const auto& output = program_->outputs[k];
    if (output.in_place < 0) std::memset(outputs[k], 0, static_cast<std::size_t>(output.type.bytes()));
  }
  std::optional<NanOrigin> found;
  Fault fault;
  const AfterLaunch look = [&](std::int32_t region, const std::vector<BufferUse>& buffers) {
    for (const BufferUse& use : buffers) {
      const auto b = static_cast<std::size_t>(use.buffer);
      if (!holds_nan(program_->buffers[b].dtype, bases_[b], program_->buffers[b].bytes)) continue;
      found = NanOrigin{region, -1};
      return false;
    }
    return true;
  };
  forget();
  if (run_steps(program_->preparation, 0, fault, &look, nullptr)) run_steps(program_->steps, 0, fault, &look, nullptr);
  return found;
}

}  // namespace heed
