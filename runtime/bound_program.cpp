// A program with memory for all that it takes and gives; parameters and states go in by name and come out updated.
#include "runtime/bound_program.h"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>

namespace heed {

using Role = ProgramValue::Role;

BoundProgram::BoundProgram(std::shared_ptr<const Program> program, ThreadPool& pool, std::size_t batches)
    : executor_(std::move(program), pool) {
  for (const auto& output : this->program().outputs) outputs_.push_back(output.in_place < 0 ? HostTensor(output.type) : HostTensor());
  if (this->program().device) device_.emplace(this->program(), batches);
  there_.resize(this->program().inputs.size());
}

void BoundProgram::bind(NamedTensors& values, const Batch& batch, std::int64_t seed, std::int64_t step) {
  seed_ = seed;
  step_ = step;
  input_pointers_.clear();
  std::size_t next = 0;
  for (const auto& input : program().inputs) {
    switch (input.role) {
      case Role::data:
        input_pointers_.push_back(batch.tensors.at(next++).data());
        break;
      case Role::seed:
        input_pointers_.push_back(&seed_);
        break;
      case Role::step:
        input_pointers_.push_back(&step_);
        break;
      default: {
        const auto found = values.find(input.name);
        if (found == values.end() || found->second.type != input.type) {
          throw std::logic_error(fmt::format("train: no value {}: {} for the program", input.name, text_of(input.type)));
        }
        input_pointers_.push_back(found->second.data());
      }
    }
  }
  output_pointers_.clear();
  for (std::size_t k = 0; k < outputs_.size(); ++k) {
    const auto in_place = program().outputs[k].in_place;
    output_pointers_.push_back(in_place < 0 ? outputs_[k].data() : input_pointers_.at(static_cast<std::size_t>(in_place)));
  }
}

void BoundProgram::keep_updates(NamedTensors& values) {
  for (std::size_t k = 0; k < outputs_.size(); ++k) {
    const auto& output = program().outputs[k];
    if (output.role != Role::update || output.in_place >= 0) continue;
    const auto value = values.find(output.name);  // First values replace nothing.
    if (value != values.end()) std::swap(value->second.memory, outputs_[k].memory);
  }
}

void BoundProgram::run(NamedTensors& values, const Batch& batch, std::int64_t seed, std::int64_t step, Profile* profile) {
  bind(values, batch, seed, step);
  if (device_) {
    put_inputs(batch);
    executor_.run(device_->inputs(), device_->outputs(), profile);
    return take_updates();
  }
  executor_.run(input_pointers_, output_pointers_, profile);
  keep_updates(values);
}

void BoundProgram::put_ahead(Batch& batch) {
  if (!device_) return;
  std::vector<const void*> data;
  for (const HostTensor& tensor : batch.tensors) data.push_back(tensor.data());
  device_->put_ahead(batch.number, data);
  batch.is_ahead = true;
}

void BoundProgram::put_inputs(const Batch& batch) {
  if (batch.is_ahead) device_->choose(batch.number);
  for (std::size_t k = 0; k < there_.size(); ++k) {
    const Role role = program().inputs[k].role;
    if (!there_[k] && !(batch.is_ahead && role == Role::data)) device_->put(k, input_pointers_[k]);
    there_[k] = role == Role::parameter || role == Role::state;
  }
}

void BoundProgram::take_updates() {
  device_->take_updates();
  is_newer_ = true;
}

void BoundProgram::fetch(NamedTensors& values) {
  if (!device_ || !is_newer_) return;
  for (std::size_t k = 0; k < there_.size(); ++k)
    if (there_[k]) device_->get_input(k, values.at(program().inputs[k].name).data());
  is_newer_ = false;
}

void BoundProgram::forget() {
  there_.assign(there_.size(), false);
  executor_.forget();
}
void BoundProgram::forget(const std::string& name) {
  const auto updates_it = [&](const ProgramValue& output) { return output.role == Role::update && output.name == name; };
  if (std::ranges::none_of(program().outputs, updates_it)) executor_.forget();  // nothing is kept of what each run changes
  for (std::size_t k = 0; k < there_.size(); ++k)
    if (program().inputs[k].name == name) there_[k] = false;
}

std::optional<NanOrigin> BoundProgram::run_and_find_nan(NamedTensors& values, const Batch& batch, std::int64_t seed, std::int64_t step) {
  bind(values, batch, seed, step);
  if (device_) {
    put_inputs(batch);
    const auto found = executor_.run_and_find_nan(device_->inputs(), device_->outputs());
    if (!found) take_updates();
    return found;
  }
  const auto found = executor_.run_and_find_nan(input_pointers_, output_pointers_);
  if (!found) keep_updates(values);
  return found;
}

Metrics BoundProgram::scalars() const {
  Metrics metrics;
  for (std::size_t k = 0; k < outputs_.size(); ++k) {
    const auto& output = program().outputs[k];
    if (output.role == Role::result && output.type.shape.empty()) {
      if (device_) device_->get_output(k, outputs_[k].data());
      metrics.emplace_back(output.name, floating_at(output.type.dtype, outputs_[k].data()));
    }
  }
  return metrics;
}

NamedTensors BoundProgram::take_outputs() {
  NamedTensors result;
  for (std::size_t k = 0; k < outputs_.size(); ++k) {
    if (device_ && program().outputs[k].in_place < 0) device_->get_output(k, outputs_[k].data());
    result.insert_or_assign(program().outputs[k].name, std::move(outputs_[k]));
    outputs_[k] = HostTensor(program().outputs[k].type);
  }
  return result;
}

}  // namespace heed
