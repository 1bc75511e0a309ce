// heed check: every mistake and warning of a file.
#include <fmt/format.h>

#include <cstdio>
#include <nlohmann/json.hpp>

#include "passes/pipeline.h"
#include "tools/command.h"
#include "tools/options.h"

namespace heed {

namespace {

nlohmann::ordered_json as_json(const Diagnostic& diagnostic) {
  nlohmann::ordered_json json = {{"severity", diagnostic.severity == Diagnostic::Severity::error ? "error" : "warning"},
                                 {"file", diagnostic.span.file ? diagnostic.span.file->name : ""},
                                 {"line", diagnostic.span.line},
                                 {"column", diagnostic.span.column},
                                 {"length", diagnostic.span.length},
                                 {"message", diagnostic.message}};
  if (!diagnostic.help.empty()) json["help"] = diagnostic.help;
  return json;
}

// Up to where weights that add up to 1 are seen to.
Graph simplified(const Graph& graph) { return run_passes(graph, {.to = "order_products"}); }

}  // namespace

Command check_command() {
  return {"check", "reports every mistake and warning of a file", "heed check examples/gpt.heed",
          [](CLI::App& app) -> std::function<int()> {
            struct Options {
              std::string file;
              std::vector<std::string> settings;
              bool json = false;
            };
            auto options = std::make_shared<Options>();
            app.add_option("FILE", options->file, "a .heed file")->required();
            app.add_option("--set", options->settings, "name=value: overrides a top-level `let`")->allow_extra_args(false);
            app.add_flag("--json", options->json, "one JSON object a mistake or warning");
            return [options] {
              Diagnostics diagnostics;
              auto module = load_module(options->file, diagnostics);
              if (module) check_module(*module, settings_of(options->settings), diagnostics, simplified);
              if (!options->json) {
                report(diagnostics);
                return success;
              }
              for (const Diagnostic& diagnostic : diagnostics.all()) fmt::print("{}\n", as_json(diagnostic).dump());
              return diagnostics.has_errors() ? user_mistake : success;
            };
          }};
}

}  // namespace heed
