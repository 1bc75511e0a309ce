// What a training run leaves to go on from: values, optimizer states and its place in the data.
#include "runtime/checkpoint.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <ranges>

#include "input_error.h"
#include "runtime/files.h"
#include "runtime/safetensors.h"
#include "runtime/train.h"

namespace heed {
namespace {

constexpr std::int64_t version = 1;

bool is_value(const ProgramValue& value) { return value.role == ProgramValue::Role::parameter || value.role == ProgramValue::Role::state; }

std::int64_t number(const Safetensors& file, const std::string& key, const std::string& path) {
  const auto entry = file.metadata.find(key);
  std::int64_t value = 0;
  if (entry == file.metadata.end()) throw InputError(fmt::format("{} is no checkpoint of heed's: it has no {}", path, key));
  const auto& text = entry->second;
  if (std::from_chars(text.data(), text.data() + text.size(), value).ptr != text.data() + text.size() || text.empty()) {
    throw InputError(fmt::format("{} is damaged: its {} is \"{}\"", path, key, text));
  }
  return value;
}

void check_version(const Safetensors& file, const std::string& path) {
  if (const std::int64_t found = number(file, "heed.version", path); found > version) {
    throw InputError(
        fmt::format("{} was written by a newer version of heed: its format is {} and this one reads up to {}", path, found, version));
  }
}

// What differs, a few of them by name.
void fail_on(const std::vector<std::string>& differences, const std::string& path) {
  if (differences.empty()) return;
  const auto shown = std::min<std::size_t>(differences.size(), 5);
  throw InputError(fmt::format("{} is of another model: {}{}", path,
                               fmt::join(differences.begin(), differences.begin() + static_cast<std::ptrdiff_t>(shown), "; "),
                               differences.size() > shown ? fmt::format("; and {} more differences", differences.size() - shown) : ""));
}

std::vector<std::string> lacking(const NamedTensors& values, const Program& program) {
  std::vector<std::string> differences;
  for (const auto& input : program.inputs) {
    if (!is_value(input)) continue;
    const auto found = values.find(input.name);
    if (found == values.end()) {
      differences.push_back(fmt::format("it lacks {}: {}", input.name, text_of(input.type)));
    } else if (found->second.type != input.type) {
      differences.push_back(
          fmt::format("{} is {} in it and {} in the model", input.name, text_of(found->second.type), text_of(input.type)));
    }
  }
  return differences;
}

bool takes(const Program& program, std::string_view name) {
  return std::ranges::any_of(program.inputs, [&](const auto& input) { return is_value(input) && input.name == name; });
}

}  // namespace

void write_checkpoint(const std::string& path, const Checkpoint& checkpoint, const std::vector<std::string>& parameters) {
  std::vector<std::pair<std::string, const HostTensor*>> tensors;
  for (const auto& [name, tensor] : checkpoint.values) tensors.emplace_back(name, &tensor);
  write_safetensors(path, tensors,
                    {{"heed", "checkpoint"},
                     {"heed.version", std::to_string(version)},
                     {"model", checkpoint.model},
                     {"step", std::to_string(checkpoint.step)},
                     {"seed", std::to_string(checkpoint.seed)},
                     {"batch", std::to_string(checkpoint.batch)},
                     {"rows", std::to_string(checkpoint.rows)},
                     {"tested", checkpoint.tested ? "1" : "0"},
                     {"parameters", fmt::format("{}", fmt::join(parameters, " "))}});
}

Checkpoint read_checkpoint(const std::string& path) {
  Safetensors file = read_safetensors(path);
  check_version(file, path);
  Checkpoint checkpoint;
  checkpoint.step = number(file, "step", path);
  checkpoint.seed = number(file, "seed", path);
  checkpoint.batch = number(file, "batch", path);
  checkpoint.rows = number(file, "rows", path);
  checkpoint.tested = number(file, "tested", path) != 0;
  checkpoint.model = file.metadata["model"];
  checkpoint.values = std::move(file.tensors);
  return checkpoint;
}

void check_values(const std::string& path, const NamedTensors& values, const Program& program) {
  auto differences = lacking(values, program);
  for (const auto& [name, tensor] : values) {
    if (!takes(program, name)) differences.push_back(fmt::format("the model has no {}: {}", name, text_of(tensor.type)));
  }
  fail_on(differences, path);
}

void write_weights(const std::string& path, const NamedTensors& values, const Program& program) {
  std::vector<std::pair<std::string, const HostTensor*>> tensors;
  for (const auto& [name, tensor] : values) {
    if (takes(program, name)) tensors.emplace_back(name, &tensor);
  }
  write_safetensors(path, tensors, {{"heed", "weights"}, {"heed.version", std::to_string(version)}});
}

NamedTensors load_weights(const std::string& path, const Program& program) {
  Safetensors file = read_safetensors(path);
  if (file.metadata.contains("heed")) check_version(file, path);
  // A checkpoint holds the optimizer's states too: of what is too much, only parameters tell of another model.
  std::vector<std::string> differences = lacking(file.tensors, program), parameters;
  for (const auto part : std::views::split(file.metadata["parameters"], ' ')) parameters.emplace_back(part.begin(), part.end());
  for (auto entry = file.tensors.begin(); entry != file.tensors.end();) {
    const auto& [name, tensor] = *entry;
    const bool known = takes(program, name);
    const bool state = file.metadata["heed"] == "checkpoint" && std::ranges::find(parameters, name) == parameters.end();
    if (!known && !state) differences.push_back(fmt::format("the model has no {}: {}", name, text_of(tensor.type)));
    entry = known ? std::next(entry) : file.tensors.erase(entry);
  }
  fail_on(differences, path);
  return std::move(file.tensors);
}

}  // namespace heed
