// heed explain: what became of a program.
#include <fmt/format.h>

#include <cstdio>
#include <nlohmann/json.hpp>

#include "passes/explain.h"
#include "passes/pipeline.h"
#include "tools/command.h"
#include "tools/programs.h"

namespace heed {

namespace {

struct Options {
  ModelOptions model;
  PurposeOptions purpose;
  PipelineOptions plan;
  bool json = false;
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
  Explanation explanation = explain(make_plan(elaborate_for(model, purpose_of(model, options.purpose, false)).graph, options.plan));
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
            add_plan_options(app, options->plan);
            app.add_flag("--grad", options->purpose.grad, "with gradients");
            app.add_flag("--train", options->purpose.train, "of a training step");
            app.add_flag("--json", options->json, "one JSON object a region, then a summary");
            return [options] { return explain_model(*options); };
          }};
}

}  // namespace heed
