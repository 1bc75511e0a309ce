// heed build: writes the compiled kernels and the plan.
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <optional>

#include "codegen/compile.h"
#include "codegen/parallel.h"
#include "ir/integer.h"
#include "ir/print.h"
#include "passes/pipeline.h"
#include "runtime/cores.h"
#include "runtime/files.h"
#include "tools/command.h"
#include "tools/devices.h"
#include "tools/machines.h"
#include "tools/programs.h"
#include "tools/ptxas.h"

namespace heed {

namespace {

struct Options {
  ModelOptions model;
  PurposeOptions purpose;
  PipelineOptions plan;
  std::string target = "cpu", cpu = "host", precision, folder;
};

// Kernels for the processor: LLVM IR and assembly.
int build_for_processor(const Plan& plan, const Target& target, const std::string& precision, const std::filesystem::path& folder) {
  CompileOptions options;
  options.target = target;
  set_precision(options, precision);
  int number = 0;
  for (const ListedKernel& kernel : kernel_sources(plan, options)) {
    KernelText text = kernel_text(kernel.source, options.target);
    std::string name = fmt::format("kernel-{:03}", number++);
    replace_file((folder / (name + ".ll")).string(), text.ir);
    replace_file((folder / (name + ".s")).string(), text.assembly);
  }
  fmt::print("{} kernels for {} in {}\n", number, options.target.cpu, folder.string());
  return success;
}

// Thread blocks that a multiprocessor holds at once.
std::int64_t blocks_at_once(const CudaTarget& target, const AssemblyReport& report, const BlockLimits& limits) {
  std::int64_t of_a_warp = round_up(report.registers, 8) * warp_threads;
  std::int64_t by_registers = of_a_warp > 0 ? target.registers / of_a_warp / (limits.threads / warp_threads) : 32;
  std::int64_t by_shared = target.shared_of_multiprocessor / (limits.shared_bytes + 1024);
  return std::min({std::int64_t{target.threads_of_multiprocessor / limits.threads}, by_registers, by_shared});
}

// Kernels for a GPU: LLVM IR and PTX, and a report where there is an assembler.
int build_for_gpu(const Plan& plan, const CudaTarget& target, const std::string& precision, const std::filesystem::path& folder) {
  CompileOptions options;
  options.cuda = target;
  set_precision(options, precision);
  std::vector<ListedKernel> kernels = kernel_sources(plan, options);
  std::string ptxas = find_ptxas();
  std::vector<std::string> lines(kernels.size());
  auto name_of = [](std::size_t k) { return fmt::format("kernel_{:03}", k); };
  in_parallel(kernels.size(), usable_threads(), [&](std::size_t k) {
    KernelText text = device_text(kernels[k].source, name_of(k), target);
    std::string ptx = (folder / (name_of(k) + ".ptx")).string();
    replace_file((folder / (name_of(k) + ".ll")).string(), text.ir);
    replace_file(ptx, text.assembly);
    if (ptxas.empty()) return;
    AssemblyReport report = assemble(ptxas, target.name, ptx);
    std::int64_t blocks = blocks_at_once(target, report, kernels[k].limits);
    lines[k] =
        fmt::format("{}  {:>4}  {:>9}  {:>8}  {:>8}  {:>8} %  {}{}\n", name_of(k), report.registers, kernels[k].limits.shared_bytes,
                    report.spill_stores, report.spill_loads, 100 * blocks * kernels[k].limits.threads / target.threads_of_multiprocessor,
                    kernels[k].region.label, kernels[k].region.source.empty() ? "" : ", " + kernels[k].region.source);
    for (const std::string& note : report.notes) lines[k] += fmt::format("{}  {}\n", name_of(k), note);
  });
  fmt::print("{} kernels for {} in {}\n", kernels.size(), target.name, folder.string());
  for (const Plan::Step& step : plan.steps)
    if (const auto* region = std::get_if<Region>(&step); region && region->blocks && !region->blocks->not_in_registers.empty())
      fmt::print("{}: its values do not stay in registers: {}\n", region->label, region->blocks->not_in_registers);
    else if (region && region->blocks && !region->blocks->not_wide.empty())
      fmt::print("{}: its warps multiply each by itself: {}\n", region->label, region->blocks->not_wide);
  if (ptxas.empty()) {
    fmt::print(stderr,
               "note: no ptxas here, so no report of registers and spills; it comes with the CUDA toolkit and the Python package "
               "nvidia-cuda-nvcc\n");
    return success;
  }
  std::string report = fmt::format("{} by {}\nkernel     registers  shared  spilled  reloaded  occupancy  region\n", target.name, ptxas);
  for (const std::string& line : lines) report += line;
  replace_file((folder / "report.txt").string(), report);
  return success;
}

int build_model(const Options& options) {
  std::optional<CudaTarget> gpu;
  if (options.target != "cpu") try {
      gpu = cuda_target_named(options.target);
    } catch (const std::runtime_error& error) {
      throw UserError(fmt::format("--target {}: {}; cpu is the processor", options.target, error.what()));
    }
  if (gpu && options.cpu != "host")
    throw UserError(fmt::format("--cpu {}: that is for --target cpu, and this one is {}", options.cpu, options.target));
  const Target processor = named_cpu_target(options.cpu);
  Model model(options.model);
  PipelineOptions plan_options = options.plan;
  plan_options.machine = gpu ? machine_of(*gpu) : machine_of(processor);
  const Purpose purpose = purpose_of(model, options.purpose, false);
  const Graph graph = elaborate_for(model, purpose).graph;
  const std::string precision = choose_precision(model, purpose, options.precision, plan_options);
  Plan plan = make_plan(graph, plan_options);
  make_folder(options.folder);
  std::filesystem::path folder(options.folder);
  replace_file((folder / "plan.heed").string(), print(plan));
  return gpu ? build_for_gpu(plan, *gpu, precision, folder) : build_for_processor(plan, processor, precision, folder);
}

}  // namespace

Command build_command() {
  return {"build", "writes the compiled kernels: LLVM IR, assembly or PTX, the plan",
          "heed build examples/gpt.heed --target cpu --train -o out", [](CLI::App& app) -> std::function<int()> {
            auto options = std::make_shared<Options>();
            add_model_options(app, options->model);
            add_plan_options(app, options->plan, options->precision);
            app.add_flag("--grad", options->purpose.grad, "with gradients");
            app.add_flag("--train", options->purpose.train, "the whole training step");
            app.add_option("--target", options->target,
                           "cpu (default), or a GPU: sm_75, sm_80, sm_86, sm_89, sm_90, sm_90a, sm_100, sm_120");
            app.add_option("--cpu", options->cpu,
                           "with --target cpu, the instructions: host (default), avx512, avx512bf16, amx, avx2, plain; on aarch64 neon");
            app.add_option("-o,--output", options->folder, "folder for the files")->required();
            return [options] { return build_model(*options); };
          }};
}

}  // namespace heed
