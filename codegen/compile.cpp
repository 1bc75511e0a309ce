// From lowered plans to code.
#include "codegen/compile.h"

#include <algorithm>
#include <chrono>
#include <set>
#include <stdexcept>
#include <utility>

#include "codegen/lower_plan.h"
#include "codegen/program_bytes.h"

namespace heed {
namespace {

double seconds_since(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

// The launch that each source is of.
std::vector<Launch*> launches_by_source(LoweredPlan& lowered) {
  std::vector<Launch*> launches(lowered.sources.size());
  for (Launch* launch : launches_of(lowered.program)) launches.at(static_cast<std::size_t>(launch->kernel)) = launch;
  if (std::ranges::find(launches, nullptr) != launches.end()) throw std::logic_error("compile: kernels and launches differ in number");
  return launches;
}

}  // namespace

Compilation compile(const Plan& plan, const CompileOptions& options) {
  auto begin = std::chrono::steady_clock::now();
  LoweredPlan lowered = lower_plan(plan, options);
  Compilation result;
  result.lower_seconds = seconds_since(begin);
  const std::vector<Launch*> launches = launches_by_source(lowered);
  auto take = [&](auto& code) {
    for (std::size_t source : code.built) {
      const std::int32_t region = launches[source]->region;
      const std::string label = region < 0 ? "" : lowered.program.regions[static_cast<std::size_t>(region)].label;
      if (!label.empty() && std::ranges::find(result.built, label) == result.built.end()) result.built.push_back(label);
    }
    result.program = std::move(lowered.program);
    result.program.code = code.owner;
    result.compiled = code.compiled, result.from_cache = code.from_cache;
    result.compile_seconds = code.seconds;
  };
  if (options.cuda) {
    DeviceCode code = options.simulator ? simulated_code(lowered.sources, lowered.limits, *options.simulator, options.settings)
                                        : device_code(lowered.sources, lowered.limits, *options.cuda, options.settings);
    for (std::size_t k = 0; k < launches.size(); ++k) launches[k]->kernel = code.index[k];
    take(code);
    result.program.kernels = std::move(code.kernels);
    return result;
  }
  CompiledKernels kernels = compile_kernels(lowered.sources, options.target, options.settings);
  take(kernels);
  for (Launch* launch : launches_of(result.program)) {
    const auto source = static_cast<std::size_t>(std::exchange(launch->kernel, -1));
    launch->function = kernels.functions[source];
    result.kernels.push_back(std::move(kernels.names[source]));
  }
  result.codes = kernels.codes;
  return result;
}

Program program_without_code(const Plan& plan, const CompileOptions& options) {
  LoweredPlan lowered = lower_plan(plan, options);
  return std::move(lowered.program);
}

std::vector<ListedKernel> kernel_sources(const Plan& plan, const CompileOptions& options) {
  LoweredPlan lowered = lower_plan(plan, options);
  const std::vector<Launch*> launches = launches_by_source(lowered);
  std::vector<ListedKernel> distinct;
  std::set<std::string> keys;
  for (std::size_t k = 0; k < lowered.sources.size(); ++k) {
    if (!keys.insert(lowered.sources[k].key).second) continue;
    auto region = launches[k]->region < 0 ? RegionInfo{} : lowered.program.regions[static_cast<std::size_t>(launches[k]->region)];
    KernelSource source = std::move(lowered.sources[k]);
    source.build = [build = std::move(source.build), made = lowered.made](llvm::Module& module, const std::string& symbol) {
      build(module, symbol);
    };
    distinct.push_back({std::move(source), options.cuda ? lowered.limits[k] : BlockLimits{}, region});
  }
  return distinct;
}

}  // namespace heed
