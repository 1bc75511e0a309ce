// heed opt: prints the graph after passes.
#include <fmt/format.h>

#include <cstdio>
#include <filesystem>

#include "ir/print.h"
#include "passes/pipeline.h"
#include "runtime/files.h"
#include "tools/command.h"
#include "tools/machines.h"
#include "tools/programs.h"

namespace heed {

namespace {

struct Options {
  ModelOptions model;
  PurposeOptions purpose;
  PipelineOptions plan;
  std::vector<std::string> passes;
  std::string precision, to, dump;
};

std::string pass_list() {
  std::string text = "Passes, in order:\n";
  for (const auto& [name, purpose] : pass_names()) text += fmt::format("  {:<20} {}\n", name, purpose);
  return text;
}

int run_opt(const Options& options) {
  Model model(options.model);
  const Purpose purpose = purpose_of(model, options.purpose, true);
  Elaborated elaborated = elaborate_for(model, purpose);
  PipelineOptions pipeline = options.plan;
  pipeline.machine = machine_of(host_target());
  choose_precision(model, purpose, options.precision, pipeline);
  pipeline.to = options.to;
  pipeline.only = options.passes;
  if (!options.dump.empty()) {
    make_folder(options.dump);
    pipeline.watch = [&](int number, std::string_view name, const Graph& graph) {
      replace_file((std::filesystem::path(options.dump) / fmt::format("{:02}-{}.heed", number, name)).string(), print(graph));
    };
  }
  if (options.to == "elaborate") {
    fmt::print("{}", print(elaborated.graph));
    return success;
  }
  bool planned = options.passes.empty() && (options.to == "fuse" || options.to == "plan_memory");
  if (!planned) {
    fmt::print("{}", print(run_passes(elaborated.graph, pipeline)));
    return success;
  }
  pipeline.to.clear();
  Plan plan = make_plan(elaborated.graph, pipeline);
  std::string text = print(plan);
  if (!options.dump.empty()) replace_file((std::filesystem::path(options.dump) / "99-plan.heed").string(), text);
  fmt::print("{}", text);
  return success;
}

}  // namespace

Command opt_command() {
  return {"opt", "prints the graph in flat form after the passes", "heed opt examples/gpt.heed --grad --dump passes",
          [](CLI::App& app) -> std::function<int()> {
            auto options = std::make_shared<Options>();
            add_model_options(app, options->model);
            add_plan_options(app, options->plan, options->precision);
            app.add_flag("--grad", options->purpose.grad, "the whole training step, or the gradient of the sum of the outputs");
            app.add_flag("--train", options->purpose.train, "the whole training step");
            app.add_option("--passes", options->passes, "runs these alone: a,b,c")->delimiter(',')->allow_extra_args(false);
            app.add_option("--to", options->to, "the last pass to run; `elaborate`: none");
            app.add_option("--dump", options->dump, "folder for the graph after each pass");
            app.footer(pass_list() + "\nExample:\n  heed opt examples/gpt.heed --grad --dump passes");
            return [options] { return run_opt(*options); };
          }};
}

}  // namespace heed
