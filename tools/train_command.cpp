// heed train: trains as the train block says.
#include <fmt/format.h>

#include <cstdio>

#include "runtime/interrupt.h"
#include "tools/command.h"
#include "tools/training.h"

namespace heed {

namespace {

struct Options {
  ModelOptions model;
  RunOptions run;
  std::optional<std::int64_t> steps;
  std::string folder = "run", trace;
  bool resume = false, json = false, profile = false;
};

// As a shell reads it back.
std::string quoted(const std::string& argument) {
  constexpr std::string_view plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:=,+@%";
  if (!argument.empty() && argument.find_first_not_of(plain) == std::string::npos) return argument;
  std::string text = "'";
  for (char c : argument) text += c == '\'' ? "'\\''" : std::string(1, c);
  return text + "'";
}

// What the user types to go on: the same command with --resume.
std::string resuming_command(const Options& options) {
  std::string command = "heed train " + quoted(options.model.target);
  for (const std::string& setting : options.model.settings) command += " --set " + quoted(setting);
  for (const std::string& size : options.model.sizes) command += " --size " + quoted(size);
  if (!options.run.precision.empty()) command += " --precision " + options.run.precision;
  if (options.run.device != "cpu") command += " --device " + quoted(options.run.device);
  if (options.run.seed != 0) command += fmt::format(" --seed {}", options.run.seed);
  if (options.steps) command += fmt::format(" --steps {}", *options.steps);
  return command + fmt::format(" --out {} --resume", quoted(options.folder));
}

int train_model(Options options) {
  Model model(options.model);
  TrainBlock block = model.train_block();
  DataSet data = open_data(*block.train);
  std::optional<DataSet> test;
  if (block.test) test = open_data(*block.test);

  bind_data(model, block, data);
  Graph step = model.elaborate_training().graph;
  const std::string resuming = resuming_command(options);
  choose_precision(model, Purpose::training, options.run);
  CompiledProgram compiled = compile_graph(step, options.run, options.model.verbose);
  fmt::print(stderr, "compiled in {:.2f} s ({} kernels, {} from the cache)\n", compiled.seconds, compiled.compiled + compiled.from_cache,
             compiled.from_cache);

  TrainPrograms programs;
  programs.initial = compile_graph(initial_values(step), in_f32(options.run), options.model.verbose).program;
  programs.step = compiled.program;
  programs.evaluation = evaluation_programs(model, options.run, options.model.verbose);
  TrainSettings settings;
  settings.model = block.model;
  settings.minimize = block.minimize;
  settings.batch = block.batch;
  settings.epochs = block.epochs;
  settings.steps = block.steps;
  settings.until = options.steps;
  settings.seed = options.run.seed != 0 ? options.run.seed : block.seed;
  settings.folder = options.folder;
  settings.resume = options.resume;
  settings.json = options.json;
  settings.profile = options.profile;
  settings.trace = options.trace;
  ThreadPool pool(options.run.thread_count());
  InterruptFlag stop;
  TrainResult result = train(programs, data, test ? &*test : nullptr, settings, pool, stop.raised());
  if (!result.interrupted) return success;
  fmt::print(stderr, "stopped after step {} with a checkpoint; go on with: {}\n", result.step, resuming);
  return interrupted;
}

}  // namespace

Command train_command() {
  return {"train", "trains a model as its train block says", "heed train examples/gpt.heed --set file=input.txt --steps 500 --out run",
          [](CLI::App& app) -> std::function<int()> {
            auto options = std::make_shared<Options>();
            add_model_options(app, options->model);
            add_run_options(app, options->run);
            app.add_option("--steps", options->steps, "ends at this step")->check(CLI::PositiveNumber);
            app.add_option("--out", options->folder, "folder for checkpoint, weights, log and curve (default run)");
            app.add_flag("--resume", options->resume, "goes on from the folder's checkpoint");
            app.add_flag("--json", options->json, "the log's lines to standard output as well");
            app.add_flag("--profile", options->profile, "prints where the time went: by region, line and layer");
            app.add_option("--trace", options->trace, "F.json: the first steps on a time line, for ui.perfetto.dev");
            return [options] { return train_model(*options); };
          }};
}

}  // namespace heed
