// heed eval: the test metrics of trained weights.
#include <fmt/format.h>

#include <cstdio>
#include <nlohmann/json.hpp>

#include "runtime/execute.h"
#include "tools/command.h"
#include "tools/training.h"

namespace heed {

namespace {

struct Options {
  ModelOptions model;
  RunOptions run;
  std::string weights;
  bool json = false;
};

int evaluate_model(Options options) {
  Model model(options.model);
  TrainBlock block = model.train_block();
  if (!block.test) throw UserError(fmt::format("{}: the train block has no `data test = …` to evaluate on", model.path()));
  DataSet data = open_data(*block.test);
  bind_data(model, block, data);
  choose_precision(model, Purpose::training, options.run);  // as the log of training has the metrics
  auto programs = evaluation_programs(model, options.run, options.model.verbose);
  std::int64_t batch = std::min(block.batch, data.rows);
  NamedTensors weights = load_weights(options.weights, *programs(batch));
  ThreadPool pool(options.run.thread_count());
  check_memory(*programs(batch), pool.size());
  Metrics metrics = evaluate(programs, data, batch, weights, block.seed, pool);
  if (options.json) {
    nlohmann::ordered_json json = {{"split", "test"}};
    for (const auto& [name, value] : metrics) json[name] = value;
    fmt::print("{}\n", json.dump());
  } else {
    for (const auto& [name, value] : metrics) fmt::print("{:<12} {:.6g}\n", name, value);
  }
  return success;
}

}  // namespace

Command eval_command() {
  return {"eval", "the test metrics of trained weights",
          "heed eval examples/gpt.heed --set file=input.txt --weights run/weights.safetensors", [](CLI::App& app) -> std::function<int()> {
            auto options = std::make_shared<Options>();
            add_model_options(app, options->model);
            add_run_options(app, options->run);
            app.add_option("--weights", options->weights, "a safetensors file of weights or a checkpoint")->required();
            app.add_flag("--json", options->json, "one JSON object");
            return [options] { return evaluate_model(*options); };
          }};
}

}  // namespace heed
