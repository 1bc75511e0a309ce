// Launches in order on the program's device.
#include "runtime/device_execute.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <stdexcept>
#include <utility>

#include "runtime/faults.h"
#include "runtime/tensor.h"

namespace heed {

DeviceExecutor::DeviceExecutor(std::shared_ptr<const Program> program)
    : program_(std::move(program)),
      device_(*program_->device),
      code_(device_.load(*program_)),
      arena_(device_, program_->arena_bytes, "values between kernels"),
      fault_(device_, sizeof(Fault), "the record of faults"),
      bases_(program_->buffers.size()),
      preparation_(*program_) {}

void DeviceExecutor::bind(std::span<void* const> inputs, std::span<void* const> outputs) {
  for (std::size_t b = 0; b < bases_.size(); ++b) {
    const Buffer& buffer = program_->buffers[b];
    const auto place = static_cast<std::size_t>(buffer.offset);
    if (buffer.kind == Buffer::Kind::arena) bases_[b] = arena_.data() + buffer.offset;
    if (buffer.kind == Buffer::Kind::input) bases_[b] = static_cast<std::byte*>(inputs[place]);
    if (buffer.kind == Buffer::Kind::output) bases_[b] = static_cast<std::byte*>(outputs[place]);
  }
}

void DeviceExecutor::launch(const Launch& launch, std::int64_t index) {
  parameters_.clear();
  for (const BufferUse& use : launch.buffers) parameters_.push_back(bases_[static_cast<std::size_t>(use.buffer)] + index * use.stride);
  parameters_.push_back(fault_.data());
  std::string where = program_->kernels[static_cast<std::size_t>(launch.kernel)].name;
  if (launch.region >= 0) {
    const RegionInfo& region = program_->regions[static_cast<std::size_t>(launch.region)];
    where += fmt::format(", {}{}{}", region.label, region.source.empty() ? "" : ", ", region.source);
  }
  device_.launch(code_.get(), *program_, launch, parameters_, where);
}

bool DeviceExecutor::run_steps(const std::vector<ProgramStep>& steps, std::int64_t index, const Watch& watch) {
  for (const ProgramStep& step : steps) {
    if (const auto* next = std::get_if<Launch>(&step)) {
      if (watch.before) watch.before();
      launch(*next, index);
      if (watch.after && !watch.after(*next)) return false;
    } else if (const auto* copy = std::get_if<Copy>(&step)) {
      device_.copy(bases_[static_cast<std::size_t>(copy->to.buffer)] + index * copy->to.stride,
                   bases_[static_cast<std::size_t>(copy->from.buffer)] + index * copy->from.stride, copy->bytes);
    } else if (const auto* loop = std::get_if<std::shared_ptr<Loop>>(&step)) {
      for (std::int64_t trip = 0; trip < (*loop)->trips; ++trip)
        if (!run_steps((*loop)->steps, (*loop)->reverse ? (*loop)->trips - 1 - trip : trip, watch)) return false;
    } else {
      throw std::logic_error("execute: work in blocks is one kernel on a device");
    }
  }
  return true;
}

void DeviceExecutor::run_all(const Watch& watch) {
  device_.clear(fault_.data(), sizeof(Fault));
  run_steps(program_->steps, 0, watch);
}

bool DeviceExecutor::is_first_with(const std::vector<void*>& memory) {
  constexpr std::size_t most = 8;  // batches take turns in their memory, values in theirs where updates are not in place
  return recordings_.size() < most && recordings_.try_emplace(memory).second;
}

// The first run with this memory goes kernel by kernel, each waited for, so that a mistake is found at its own; the next one is recorded.
void DeviceExecutor::run_recorded(const std::vector<void*>& memory) {
  if (is_first_with(memory)) {
    return run_all({{}, [&](const Launch&) {
                      device_.wait();
                      return true;
                    }});
  }
  const auto known = recordings_.find(memory);
  if (known == recordings_.end()) return run_all();
  if (!known->second) known->second = device_.record([&] { run_all(); });
  if (known->second)
    device_.replay(known->second.get());
  else
    run_all();
}

// Kernel by kernel, with a moment before and after each. What passes between two launches counts for neither.
void DeviceExecutor::run_profiled(const std::vector<void*>& memory, Profile& profile) {
  struct Timed {
    std::int32_t region;
    Device::Moment begin, end;
  };
  std::vector<Timed> timed;
  const bool is_first = is_first_with(memory);
  const double host_begin = std::chrono::duration<double>(std::chrono::steady_clock::now() - profile.start).count();
  Device::Moment begin;
  run_all({[&] { begin = device_.mark(); },
           [&](const Launch& launch) {
             timed.push_back({launch.region, begin, device_.mark()});
             if (is_first) device_.wait();
             return true;
           }});
  for (const Timed& each : timed) {
    if (each.region < 0) continue;
    const double seconds = device_.seconds_between(each.begin, each.end);
    profile.seconds.at(static_cast<std::size_t>(each.region)) += seconds;
    if (profile.spans.size() >= profile.most_spans) continue;
    const double at = host_begin + device_.seconds_between(begun_, each.begin);
    profile.spans.push_back({each.region, 0, at, at + seconds});
  }
}

void DeviceExecutor::run(std::span<void* const> inputs, std::span<void* const> outputs, Profile* profile) {
  bind(inputs, outputs);
  std::vector<void*> memory(inputs.begin(), inputs.end());
  memory.insert(memory.end(), outputs.begin(), outputs.end());
  if (!preparation_.is_made_for(inputs)) prepare(inputs);
  begun_ = device_.mark();
  if (profile)
    run_profiled(memory, *profile);
  else
    run_recorded(memory);
  ended_ = device_.mark();
  throw_faults();
}

void DeviceExecutor::throw_faults() {
  Fault fault;
  device_.copy_out(&fault, fault_.data(), sizeof fault);
  throw_fault(fault, *program_);
}

void DeviceExecutor::prepare(std::span<void* const> inputs) {
  forget();
  device_.clear(fault_.data(), sizeof(Fault));
  run_steps(program_->preparation, 0, {});
  throw_faults();
  preparation_.made_for(inputs);
}

bool DeviceExecutor::holds_nan(const BufferUse& use, std::vector<std::byte>& copy) {
  const Buffer& buffer = program_->buffers[static_cast<std::size_t>(use.buffer)];
  const auto* type = find_element_type(buffer.dtype);
  if (!type || !type->floating) return false;
  copy.resize(static_cast<std::size_t>(buffer.bytes));
  device_.copy_out(copy.data(), bases_[static_cast<std::size_t>(use.buffer)], buffer.bytes);
  return heed::holds_nan(buffer.dtype, copy.data(), buffer.bytes);
}

std::optional<NanOrigin> DeviceExecutor::run_and_find_nan(std::span<void* const> inputs, std::span<void* const> outputs) {
  bind(inputs, outputs);
  std::vector<std::byte> copy;
  for (std::size_t k = 0; k < inputs.size(); ++k) {
    const auto& type = program_->inputs[k].type;
    copy.resize(static_cast<std::size_t>(type.bytes()));
    device_.copy_out(copy.data(), inputs[k], type.bytes());
    if (heed::holds_nan(type.dtype, copy.data(), type.bytes())) return NanOrigin{-1, static_cast<std::int32_t>(k)};
  }
  // What an earlier run left must not be taken for a value of this one.
  device_.clear(arena_.data(), program_->arena_bytes);
  for (std::size_t k = 0; k < outputs.size(); ++k)
    if (program_->outputs[k].in_place < 0) device_.clear(outputs[k], program_->outputs[k].type.bytes());
  std::optional<NanOrigin> found;
  const Watch look{{}, [&](const Launch& launch) {
                     for (const BufferUse& use : launch.buffers)
                       if (holds_nan(use, copy)) {
                         found = NanOrigin{launch.region, -1};
                         return false;
                       }
                     return true;
                   }};
  forget();
  if (run_steps(program_->preparation, 0, look)) run_all(look);
  device_.wait();
  return found;
}

DeviceValues::DeviceValues(const Program& program, std::size_t sets) : program_(program), device_(*program.device), sets_(sets) {
  const auto cleared = [&](const ProgramValue& input, std::string_view purpose) {
    DeviceMemory memory(device_, input.type.bytes(), purpose);
    device_.clear(memory.data(), input.type.bytes());
    return memory;
  };
  for (std::size_t k = 0; k < program.inputs.size(); ++k) {
    const ProgramValue& input = program.inputs[k];
    if (input.role == ProgramValue::Role::data) {
      data_.push_back(k);
      inputs_.emplace_back();
      for (DataSet& set : sets_) set.memory.push_back(cleared(input, "data"));
      continue;
    }
    inputs_.push_back(cleared(input, input.role == ProgramValue::Role::parameter ? "parameters"
                                     : input.role == ProgramValue::Role::state   ? "states"
                                                                                 : "the seed and the step"));
  }
  for (const ProgramValue& output : program.outputs) {
    if (output.in_place >= 0)
      outputs_.emplace_back();
    else
      outputs_.emplace_back(device_, output.type.bytes(), "results");
  }
  point();
  if (sets > 1) device_.wait();  // copies ahead do not wait for what cleared this memory, or used it before
}

DeviceValues::~DeviceValues() {
  try {  // who has this memory next comes after copies into it
    for (const DataSet& set : sets_)
      if (set.copied) device_.come_after(set.copied);
  } catch (const std::runtime_error&) {  // the device has failed, and was heard of
  }
}

void DeviceValues::point() {
  input_pointers_.clear(), output_pointers_.clear();
  for (const DeviceMemory& input : inputs_) input_pointers_.push_back(input.data());
  for (std::size_t k = 0; k < data_.size(); ++k) input_pointers_[data_[k]] = sets_[chosen_].memory[k].data();
  for (std::size_t k = 0; k < outputs_.size(); ++k) {
    const std::int32_t in_place = program_.outputs[k].in_place;
    output_pointers_.push_back(in_place >= 0 ? input_pointers_[static_cast<std::size_t>(in_place)] : outputs_[k].data());
  }
}

void DeviceValues::put(std::size_t input, const void* from) {
  device_.copy_in(input_pointers_[input], from, program_.inputs[input].type.bytes());
}

void DeviceValues::put_ahead(std::size_t set, std::span<const void* const> data) {
  DataSet& to = sets_.at(set);
  for (std::size_t k = 0; k < data_.size(); ++k)  // in order: the last one ends last
    to.copied = device_.copy_ahead(to.memory[k].data(), data[k], program_.inputs[data_[k]].type.bytes());
}

void DeviceValues::choose(std::size_t set) {
  if (const Device::Moment copied = std::exchange(sets_.at(set).copied, nullptr)) device_.come_after(copied);
  chosen_ = set;
  point();
}

void DeviceValues::get_input(std::size_t input, void* to) const {
  device_.copy_out(to, input_pointers_[input], program_.inputs[input].type.bytes());
}
void DeviceValues::get_output(std::size_t output, void* to) const {
  device_.copy_out(to, output_pointers_[output], program_.outputs[output].type.bytes());
}

void DeviceValues::take_updates() {
  for (std::size_t k = 0; k < outputs_.size(); ++k) {
    const ProgramValue& output = program_.outputs[k];
    if (output.role != ProgramValue::Role::update || output.in_place >= 0) continue;
    for (std::size_t j = 0; j < inputs_.size(); ++j)
      if (program_.inputs[j].name == output.name) inputs_[j].swap(outputs_[k]);
  }
  point();
}

}  // namespace heed
