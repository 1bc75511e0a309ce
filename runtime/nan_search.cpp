// Where a NaN came from: the values of some steps ago are kept, and from there the steps are run again, looking into every kernel.
#include "runtime/nan_search.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cmath>
#include <cstring>

namespace heed {
namespace {

constexpr std::int64_t steps_between = 64;

bool has_nan(const HostTensor& tensor) {
  const auto& type = element_type(tensor.type.dtype);
  if (!type.floating) return false;
  const std::int64_t count = element_count(tensor.type.shape);
  for (std::int64_t k = 0; k < count; ++k) {
    if (std::isnan(floating_at(type.name, tensor.data() + k * type.bytes))) return true;
  }
  return false;
}

}  // namespace

NanSearch::NanSearch(BoundProgram& program, const std::vector<BoundInput>& inputs, const NamedTensors& values, std::int64_t step,
                     std::int64_t seed)
    : program_(program), inputs_(inputs), kept_step_(step), seed_(seed) {
  for (const auto& [name, tensor] : values) kept_.emplace(name, tensor.copy());
}

void NanSearch::keep(NamedTensors& values, std::int64_t step) {
  if (step - kept_step_ < steps_between) return;
  program_.fetch(values);
  for (const auto& [name, tensor] : values) {
    if (has_nan(tensor)) return;  // The loss will show it; what is kept is from before.
  }
  for (const auto& [name, tensor] : values)
    std::memcpy(kept_.at(name).data(), tensor.data(), static_cast<std::size_t>(tensor.type.bytes()));
  kept_step_ = step;
}

std::string NanSearch::find(std::int64_t step, const std::function<void(std::int64_t step, Batch& batch)>& fill) {
  Batch batch{make_batch(inputs_)};
  program_.forget();
  for (std::int64_t at = kept_step_ + 1; at <= step; ++at) {
    fill(at, batch);
    const auto found = program_.run_and_find_nan(kept_, batch, seed_, at);
    if (!found) continue;
    const std::string when = at == step ? "" : fmt::format(" at step {}", at);
    if (found->input >= 0) {
      const auto& input = program_.program().inputs[static_cast<std::size_t>(found->input)];
      return input.role == ProgramValue::Role::data ? fmt::format("the input {} held NaN{}: mend the data", input.name, when)
                                                    : fmt::format("{} held NaN{} already", input.name, when);
    }
    if (found->region < 0) break;
    const auto& region = program_.program().regions.at(static_cast<std::size_t>(found->region));
    const std::string suspects = region.not_always_finite.empty() ? "a logarithm, a root or a quotient"
                                                                  : fmt::format("{}", fmt::join(region.not_always_finite, ", "));
    return fmt::format("the first NaN came{} from {}{}: look there at {}, or make the learning rate smaller", when, region.label,
                       region.source.empty() ? "" : fmt::format(", {}", region.source), suspects);
  }
  return "no single operation could be found that made the first NaN: make the learning rate smaller";
}

}  // namespace heed
