// heed dot: draws a program; Graphviz makes the picture, as a process with a time limit.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <thread>

#include "passes/draw.h"
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
  std::string precision, to, output;
  int time_limit = 60;
};

// Runs `dot` on the text; its picture comes to be at `picture`. Throws UserError if there is no Graphviz, or it takes too long.
void run_graphviz(const std::string& text, const std::string& format, const std::string& picture, int time_limit) {
  std::string source = picture + ".dot";
  replace_file(source, text);
  pid_t child = fork();
  if (child < 0) throw UserError("no process can be started for Graphviz");
  if (child == 0) {
    std::string kind = "-T" + format;
    execlp("dot", "dot", kind.c_str(), "-o", picture.c_str(), source.c_str(), static_cast<char*>(nullptr));
    _exit(127);
  }
  auto end = std::chrono::steady_clock::now() + std::chrono::seconds(time_limit);
  int status = 0;
  while (waitpid(child, &status, WNOHANG) == 0) {
    if (std::chrono::steady_clock::now() > end) {
      kill(child, SIGKILL);
      waitpid(child, &status, 0);
      throw UserError(fmt::format("Graphviz did not finish in {} s; its input is in {}, --time-limit gives it longer", time_limit, source));
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  int code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  if (code == 127)
    throw UserError(fmt::format("there is no Graphviz here (`dot` was not found): apt-get install graphviz; its input is in {}", source));
  if (code != 0) throw UserError(fmt::format("Graphviz failed on {}", source));
  std::filesystem::remove(source);
}

int draw_model(const Options& options) {
  Model model(options.model);
  const Purpose purpose = purpose_of(model, options.purpose, true);
  Graph graph = elaborate_for(model, purpose).graph;
  PipelineOptions pipeline = options.plan;
  pipeline.machine = machine_of(host_target());
  choose_precision(model, purpose, options.precision, pipeline);
  std::string text;
  if (options.to == "fuse" || options.to == "plan_memory") {
    text = draw(make_plan(graph, pipeline));
  } else {
    pipeline.to = options.to;
    text = draw(options.to.empty() || options.to == "elaborate" ? graph : run_passes(graph, pipeline));
  }
  if (options.output.empty()) {
    fmt::print("{}", text);
    return success;
  }
  std::filesystem::path path(options.output);
  if (path.has_parent_path()) make_folder(path.parent_path().string());
  std::string format = path.extension().string();
  if (format == ".dot") {
    replace_file(options.output, text);
  } else if (format == ".svg" || format == ".png" || format == ".pdf") {
    run_graphviz(text, format.substr(1), options.output, options.time_limit);
  } else {
    throw UserError(fmt::format("-o {}: pictures are .dot, .svg, .png or .pdf", options.output));
  }
  return success;
}

}  // namespace

Command dot_command() {
  return {"dot", "draws a program", "heed dot examples/gpt.heed --grad -o gpt.svg", [](CLI::App& app) -> std::function<int()> {
            auto options = std::make_shared<Options>();
            add_model_options(app, options->model);
            add_plan_options(app, options->plan, options->precision);
            app.add_flag("--grad", options->purpose.grad, "the whole training step, or with the gradients of the sum of the outputs");
            app.add_flag("--train", options->purpose.train, "the whole training step");
            app.add_option("--to", options->to, "after this pass; `fuse`: the regions. Without it the program as written");
            app.add_option("-o,--output", options->output, "F.dot, .svg, .png or .pdf; without it Graphviz text to standard output");
            app.add_option("--time-limit", options->time_limit, "seconds for Graphviz (default 60)")->check(CLI::Range(1, 3600));
            return [options] { return draw_model(*options); };
          }};
}

}  // namespace heed
