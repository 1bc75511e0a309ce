// Which inputs of a program stay as they are from run to run, and where they lay when its preparation ran.
#include "runtime/preparation.h"

#include <set>
#include <string_view>

namespace heed {

using Role = ProgramValue::Role;

Preparation::Preparation(const Program& program) {
  std::set<std::string_view> updated;
  for (const ProgramValue& output : program.outputs)
    if (output.role == Role::update) updated.insert(output.name);
  for (std::size_t k = 0; k < program.inputs.size(); ++k) {
    const ProgramValue& input = program.inputs[k];
    if ((input.role == Role::parameter || input.role == Role::state) && !updated.contains(input.name)) kept_.push_back(k);
  }
}

std::vector<void*> Preparation::those_of(std::span<void* const> inputs) const {
  std::vector<void*> memory;
  for (const std::size_t k : kept_) memory.push_back(inputs[k]);
  return memory;
}

}  // namespace heed
