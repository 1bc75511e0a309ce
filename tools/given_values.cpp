// Files, patterns and numbers as values of inputs.
#include "tools/given_values.h"

#include <fmt/format.h>

#include <charconv>
#include <cstring>
#include <numeric>

#include "nearest_name.h"
#include "runtime/npy.h"
#include "runtime/safetensors.h"
#include "tools/command.h"
#include "tools/execution.h"

namespace heed {

namespace {

std::string listed(const std::vector<std::string>& names) { return names.empty() ? "none" : fmt::format("{}", fmt::join(names, ", ")); }

HostTensor filled(const TensorType& type, double value, bool counting) {
  HostTensor tensor(type);
  std::int64_t count = element_count(type.shape);
  std::vector<double> values(static_cast<std::size_t>(count), value);
  if (counting) std::iota(values.begin(), values.end(), 0.0);
  convert_elements("f64", reinterpret_cast<const std::byte*>(values.data()), type.dtype, tensor.data(), count);
  return tensor;
}

HostTensor member_of(const NamedTensors& tensors, const std::string& name, const std::string& path) {
  if (auto found = tensors.find(name); found != tensors.end()) return found->second.copy();
  if (tensors.size() == 1) return tensors.begin()->second.copy();
  std::vector<std::string> names;
  for (const auto& [each, tensor] : tensors) names.push_back(each);
  throw UserError(fmt::format("{} has no tensor `{}`; it has {}", path, name, listed(names)));
}

HostTensor from_file(const std::string& path, const std::string& name) {
  if (path.ends_with(".npy")) return read_npy(path);
  if (path.ends_with(".npz")) return member_of(read_npz(path), name, path);
  return member_of(read_safetensors(path).tensors, name, path);
}

bool is_file_name(const std::string& what) { return what.ends_with(".npy") || what.ends_with(".npz") || what.ends_with(".safetensors"); }

// Integers of one width read as another where every value fits: NumPy's default is i64.
HostTensor fitted(HostTensor value, const TensorType& type) {
  if (value.type == type || value.type.shape != type.shape) return value;
  const ElementType &from = element_type(value.type.dtype), &to = element_type(type.dtype);
  if (!from.integer || !to.integer) return value;
  for (std::int64_t k = 0; k < element_count(type.shape); ++k) {
    std::int64_t x = integer_at(value.type.dtype, value.data() + k * from.bytes);
    if (x < to.lowest || x > to.highest) return value;
  }
  HostTensor result(type);
  convert_elements(value.type.dtype, value.data(), type.dtype, result.data(), element_count(type.shape));
  return result;
}

HostTensor value_of(const Graph& graph, ArrayRef input, const std::string& name, const std::string& what, std::int64_t seed) {
  TensorType type = type_of(input);
  if (what == "random") return random_tensor(graph, input, static_cast<std::uint64_t>(seed));
  if (what == "zeros") return filled(type, 0, false);
  if (what == "iota") return filled(type, 0, true);
  if (is_file_name(what)) {
    HostTensor value = fitted(from_file(what, name), type);
    if (value.type != type) {
      std::string mend = value.type.shape == type.shape ? "convert the file" : "--size sets the sizes of the run";
      throw UserError(fmt::format("{}: `{}` is {}, the file holds {}; {}", what, name, text_of(type), text_of(value.type), mend));
    }
    return value;
  }
  double number = 0;
  auto [end, error] = std::from_chars(what.data(), what.data() + what.size(), number);
  if (error != std::errc() || end != what.data() + what.size())
    throw UserError(fmt::format("`{}={}`: not a .npy, .npz or .safetensors file, random, zeros, iota or a number", name, what));
  return filled(type, number, false);
}

void give(const Graph& graph, const std::string& written, const std::string& option, const std::string& prefix, std::int64_t seed,
          NamedTensors& given) {
  std::size_t equals = written.find('=');
  if (equals == std::string::npos || equals == 0) throw UserError(fmt::format("{} needs name=value, got `{}`", option, written));
  std::string name = written.substr(0, equals);
  std::vector<std::string> known;
  for (const GraphInput& input : graph.inputs) {
    const std::string& full = input.array->name;
    bool is_cotangent = full.starts_with("cotangent.");
    if (prefix.empty() == is_cotangent) continue;
    if (full == prefix + name) {
      given[full] = value_of(graph, input.array, name, written.substr(equals + 1), seed);
      return;
    }
    if (input.role != GraphInput::Role::seed && input.role != GraphInput::Role::step) known.push_back(full.substr(prefix.size()));
  }
  std::string nearest = nearest_name(name, known);
  throw UserError(fmt::format("{} names `{}`, which there is not{}; there is {}", option, name,
                              nearest.empty() ? "" : fmt::format(", did you mean `{}`?", nearest), listed(known)));
}

}  // namespace

std::map<std::string, std::vector<std::int64_t>> given_shapes(const std::vector<std::string>& written) {
  std::map<std::string, std::vector<std::int64_t>> shapes;
  for (const std::string& each : written) {
    std::size_t equals = each.find('=');
    if (equals == std::string::npos || !is_file_name(each.substr(equals + 1))) continue;
    std::string name = each.substr(0, equals);
    shapes[name] = from_file(each.substr(equals + 1), name).type.shape;
  }
  return shapes;
}

NamedTensors given_inputs(const Graph& graph, const std::vector<std::string>& written, std::int64_t seed) {
  NamedTensors given;
  for (const std::string& each : written) give(graph, each, "--input", "", seed, given);
  return given;
}

void give_cotangents(const Graph& graph, const std::vector<std::string>& written, std::int64_t seed, NamedTensors& given) {
  for (const std::string& each : written) give(graph, each, "--cotangent", "cotangent.", seed, given);
  for (const GraphInput& input : graph.inputs)
    if (input.array->name.starts_with("cotangent.") && !given.contains(input.array->name))
      given[input.array->name] = filled(type_of(input.array), 1, false);
}

void give_weights(const Graph& graph, const std::string& path, NamedTensors& given) {
  NamedTensors weights = read_safetensors(path).tensors;
  for (const GraphInput& input : graph.inputs) {
    if (input.role != GraphInput::Role::parameter && input.role != GraphInput::Role::state) continue;
    const std::string& name = input.array->name;
    auto found = weights.find(name);
    if (found == weights.end()) throw UserError(fmt::format("{} has no weights `{}`: it is of another model", path, name));
    if (found->second.type != type_of(input.array))
      throw UserError(
          fmt::format("{}: `{}` is {}, the file holds {}", path, name, text_of(type_of(input.array)), text_of(found->second.type)));
    given[name] = std::move(found->second);
  }
}

}  // namespace heed
