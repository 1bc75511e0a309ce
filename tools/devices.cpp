// From names of devices to devices.
#include "tools/devices.h"

#include <fmt/format.h>

#include <charconv>
#include <map>

#include "codegen/cpu/matrix_use.h"
#include "codegen/cuda/peak.h"
#include "input_error.h"
#include "runtime/cuda/cuda_device.h"
#include "runtime/cuda/driver.h"
#include "runtime/cuda/simulated_device.h"
#include "tools/command.h"

namespace heed {
namespace {

struct DeviceName {
  enum class Kind { cpu, cuda, simulated } kind = Kind::cpu;
  std::uint64_t number = 0;  // of a GPU; the seed of a simulated one
  CudaTarget simulated;      // the chip that is simulated
};

bool is_number(std::string_view text, std::uint64_t& number) {
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size() && number <= 1000000;
}

DeviceName parse(const std::string& name) {
  std::string_view rest = name;
  DeviceName out;
  if (name == "cpu") return out;
  if (rest.starts_with("cuda-sim")) {
    out.kind = DeviceName::Kind::simulated, out.number = 1;
    rest.remove_prefix(8);
  } else if (rest.starts_with("cuda")) {
    out.kind = DeviceName::Kind::cuda;
    rest.remove_prefix(4);
  } else {
    throw UserError(fmt::format("--device {}: known are cpu, cuda, cuda:N, cuda-sim, cuda-sim:sm_90a", name));
  }
  if (!rest.empty() && out.kind == DeviceName::Kind::simulated && rest.starts_with(":sm_")) {
    const std::size_t end = std::min(rest.find(':', 1), rest.size());
    try {
      out.simulated = cuda_target_named(rest.substr(1, end - 1));
    } catch (const std::runtime_error& error) {
      throw UserError(fmt::format("--device {}: {}", name, error.what()));
    }
    rest.remove_prefix(end);
  }
  if (rest.empty()) return out;
  if (rest[0] != ':' || !is_number(rest.substr(1), out.number))
    throw UserError(fmt::format("--device {}: {}", name,
                                out.kind == DeviceName::Kind::cuda
                                    ? "after cuda comes `:` and the number of a GPU, as in cuda:1"
                                    : "after cuda-sim come `:` and a chip, `:` and a seed, or both, as in cuda-sim:sm_90a:7"));
  return out;
}

}  // namespace

GpuPeaks peaks_of(const cuda::DeviceFigures& figures) {
  const auto flop = [&](Precision precision) {
    return peak_flop_per_second(10 * figures.major + figures.minor, figures.multiprocessors, 1e3 * figures.clock_khz, precision);
  };
  return {flop(Precision::f32), flop(Precision::tf32), flop(Precision::bf16),
          peak_bytes_per_second(1e3 * figures.memory_clock_khz, figures.memory_bits)};
}
GpuPeaks peaks_of_gpu(const std::string& name) { return peaks_of(cuda::device_figures().at(parse(name).number)); }

bool is_gpu(const std::string& name) { return parse(name).kind == DeviceName::Kind::cuda; }

std::shared_ptr<Device> open_device(const std::string& name, const CacheOptions& cache) {
  DeviceName parsed = parse(name);
  if (parsed.kind == DeviceName::Kind::cpu) return nullptr;
  static std::map<std::string, std::shared_ptr<Device>> opened;
  std::shared_ptr<Device>& device = opened[name];
  if (!device && parsed.kind == DeviceName::Kind::cuda) {
    const std::string folder = cache_folder(cache);
    cuda::keep_machine_code(folder.empty() ? "" : folder + "/driver", cache.limit_bytes);
  }
  try {
    if (!device)
      device = parsed.kind == DeviceName::Kind::cuda ? open_cuda_device(static_cast<int>(parsed.number)) : simulated_device(parsed.number);
  } catch (const InputError& error) {
    throw UserError(fmt::format("--device {}: {}", name, error.what()));
  }
  return device;
}

void set_precision(CompileOptions& options, const std::string& precision) {
  options.precision = precision == "tf32"   ? Precision::tf32
                      : precision == "bf16" ? Precision::bf16
                      : precision == "f16"  ? Precision::f16
                                            : Precision::f32;
  if (!options.cuda) {
    if (options.precision == Precision::tf32)
      throw UserError(
          "precision tf32: processors multiply no such factors, tensor cores of GPUs do; bf16 is for both, and f32 is the default");
    return;
  }
  if (!multiplies(*options.cuda, options.precision))
    throw UserError(fmt::format("precision {}: {} has no such tensor cores, it has those of f16; sm_80 and later have all", precision,
                                options.cuda->name));
}

Target named_cpu_target(const std::string& name) {
  try {
    return target_named(name);
  } catch (const std::runtime_error& error) {
    throw UserError(fmt::format("--cpu {}: {}", name, error.what()));
  }
}

Target cpu_target(const std::string& name) {
  Target target = named_cpu_target(name);
  if (!runs_here(target))
    throw UserError(fmt::format("--cpu {}: this machine ({}) lacks such instructions{}; --cpu host takes all that it has", name,
                                host_target().cpu, target.multiplies_matrices ? ": " + matrix_use().why_not : ""));
  return target;
}

void set_target(CompileOptions& options, const std::string& name, const std::string& cpu_name) {
  DeviceName parsed = parse(name);
  options.target = cpu_target(cpu_name);
  if (parsed.kind == DeviceName::Kind::cpu) return;
  if (parsed.kind == DeviceName::Kind::simulated) {
    static const SimulatorBuiltins builtins = simulated_builtins();
    options.cuda = parsed.simulated;
    options.simulator = &builtins;
    return;
  }
  auto figures = cuda::device_figures();
  const auto& device = figures.at(static_cast<std::size_t>(parsed.number));
  try {
    options.cuda = cuda_target_of(device.major, device.minor);
  } catch (const std::runtime_error& error) {
    throw UserError(fmt::format("--device {}: {}: {}", name, device.name, error.what()));
  }
}

}  // namespace heed
