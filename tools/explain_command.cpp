// heed explain: what became of a program.
#include <fmt/format.h>

#include <cstdio>
#include <nlohmann/json.hpp>

#include "passes/explain.h"
#include "passes/pipeline.h"
#include "tools/command.h"
#include "tools/explain_memory.h"
#include "tools/machines.h"
#include "tools/programs.h"

namespace heed {

namespace {

struct Options {
  ModelOptions model;
  PurposeOptions purpose;
  PipelineOptions plan;
  std::string precision;
  bool json = false, memory = false;
  int threads = 0;
};

nlohmann::ordered_json as_json(const RegionRow& row) {
  return {{"region", row.region},
          {"label", row.label},
          {"source", row.source},
          {"axes", row.axes},
          {"passes", row.passes},
          {"products", row.products},
          {"flop", row.flop},
          {"bytes_read", row.bytes_read},
          {"bytes_written", row.bytes_written},
          {"scratch_bytes", row.scratch_bytes},
          {"blocks", row.blocks},
          {"blocks_skipped", row.blocks_skipped},
          {"kernel", row.kernel}};
}

int explain_model(const Options& options) {
  Model model(options.model);
  const Purpose purpose = purpose_of(model, options.purpose, false);
  const Graph graph = elaborate_for(model, purpose).graph;
  PipelineOptions plan_options = options.plan;
  plan_options.machine = machine_of(host_target());
  choose_precision(model, purpose, options.precision, plan_options);
  Plan plan = make_plan(graph, plan_options);
  if (options.memory) return explain_memory(plan, options.threads, options.json);
  Explanation explanation = explain(plan);
  if (!options.json) {
    fmt::print("{}", text_of(explanation));
    return success;
  }
  for (const RegionRow& row : explanation.regions) fmt::print("{}\n", as_json(row).dump());
  nlohmann::ordered_json unfused = nlohmann::ordered_json::array();
  for (const Unfused& each : explanation.unfused) unfused.push_back({{"source", each.source}, {"why", each.why}});
  nlohmann::ordered_json summary = {{"regions", explanation.regions.size()},
                                    {"stored_bytes", explanation.stored_bytes},
                                    {"largest_stored", explanation.largest_stored},
                                    {"unfused", unfused}};
  fmt::print("{}\n", summary.dump());
  return success;
}

}  // namespace

Command explain_command() {
  return {"explain", "a table of regions: what was fused, and what stayed apart and why", "heed explain examples/gpt.heed --train",
          [](CLI::App& app) -> std::function<int()> {
            auto options = std::make_shared<Options>();
            add_model_options(app, options->model);
            CLI::Option* memory = add_plan_options(app, options->plan, options->precision);
            memory->expected(0, 1);
            memory->description("alone: the memory of a run at its peak, and who holds it; 2GB, 500MB: the plan that takes no more");
            app.add_flag("--grad", options->purpose.grad, "with gradients");
            app.add_flag("--train", options->purpose.train, "of a training step");
            app.add_option("--threads", options->threads, "whose scratch --memory counts (default: all that the machine has)")
                ->check(CLI::Range(1, 4096));
            app.add_flag("--json", options->json, "one JSON object a region, then a summary; one object with --memory");
            return [options, memory] {
              options->memory = memory->count() > 0 && options->plan.memory == 0;
              return explain_model(*options);
            };
          }};
}

}  // namespace heed
