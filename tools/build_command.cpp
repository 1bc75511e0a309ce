// heed build: writes the compiled kernels and the plan.
#include <fmt/format.h>

#include <cstdio>
#include <filesystem>

#include "codegen/compile.h"
#include "ir/print.h"
#include "passes/pipeline.h"
#include "runtime/files.h"
#include "tools/command.h"
#include "tools/programs.h"

namespace heed {

namespace {

struct Options {
  ModelOptions model;
  PurposeOptions purpose;
  PipelineOptions plan;
  std::string target = "cpu", folder;
};

int build_model(const Options& options) {
  if (options.target != "cpu") throw UserError(fmt::format("--target {}: this heed compiles for cpu", options.target));
  Model model(options.model);
  Plan plan = make_plan(elaborate_for(model, purpose_of(model, options.purpose, false)).graph, options.plan);
  Target target = host_target();
  make_folder(options.folder);
  std::filesystem::path folder(options.folder);
  replace_file((folder / "plan.heed").string(), print(plan));
  int number = 0;
  for (const KernelSource& source : kernel_sources(plan, target)) {
    KernelText text = kernel_text(source, target);
    std::string name = fmt::format("kernel-{:03}", number++);
    replace_file((folder / (name + ".ll")).string(), text.ir);
    replace_file((folder / (name + ".s")).string(), text.assembly);
  }
  fmt::print("{} kernels for {} in {}\n", number, target.cpu, options.folder);
  return success;
}

}  // namespace

Command build_command() {
  return {"build", "writes the compiled kernels: LLVM IR, assembly, the plan", "heed build examples/gpt.heed --target cpu --train -o out",
          [](CLI::App& app) -> std::function<int()> {
            auto options = std::make_shared<Options>();
            add_model_options(app, options->model);
            add_plan_options(app, options->plan);
            app.add_flag("--grad", options->purpose.grad, "with gradients");
            app.add_flag("--train", options->purpose.train, "the whole training step");
            app.add_option("--target", options->target, "cpu (default)");
            app.add_option("-o,--output", options->folder, "folder for the files")->required();
            return [options] { return build_model(*options); };
          }};
}

}  // namespace heed
