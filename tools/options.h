// Options that several subcommands share, and the model file they work on.
#pragma once
#include <CLI/CLI.hpp>
#include <memory>
#include <optional>
#include <string>

#include "ir/language/elaborate.h"
#include "passes/pipeline.h"
#include "runtime/cores.h"

namespace heed {

// As given on the command line.
struct ModelOptions {
  std::string target;                        // FILE or FILE:NAME
  std::vector<std::string> settings, sizes;  // name=value
  bool verbose = false;
};
void add_model_options(CLI::App& app, ModelOptions& options);

Settings settings_of(const std::vector<std::string>& written);  // --set name=value

// Of every command that plans. `precision` stays empty where --precision is not given. Returns the option --memory.
CLI::Option* add_plan_options(CLI::App& app, PipelineOptions& options, std::string& precision);
// What came of --memory, a line or nothing. Throws UserError where the program does not fit.
std::string memory_note(std::int64_t limit, const MemoryFit& fit);

struct RunOptions {
  PipelineOptions plan;
  std::string device = "cpu", precision;
  std::string cpu = "host";  // the instructions that a processor's code may use
  std::string cache;         // folder of compiled programs and kernels, or "off"
  int threads = 0;           // as given; 0: it was not
  std::int64_t seed = 0;
  int thread_count() const { return threads > 0 ? threads : usable_threads(); }
};
void add_run_options(CLI::App& app, RunOptions& options);

// A parsed file and which of its programs is meant. Diagnostics go to standard error; mistakes end the command.
class Model {
 public:
  explicit Model(const ModelOptions& options);

  const Module& module() const { return *module_; }
  const std::string& path() const { return path_; }
  // Shapes of inputs that are at hand bind the symbols that --size leaves open.
  void bind_shapes(const std::map<std::string, std::vector<std::int64_t>>& shapes);
  ElaborateRequest request(bool training = false) const;
  // The forward program; `nominal` sizes are named on standard error.
  Elaborated elaborate(bool training = false) const;
  Elaborated elaborate_training() const;
  // The forward program of a trained model at another batch size: that of the first axis of its data.
  Elaborated elaborate_at_batch(std::int64_t batch) const;
  TrainBlock train_block() const;

 private:
  std::string path_, entry_;
  Settings settings_;
  Sizes sizes_;
  std::shared_ptr<const Module> module_;
};

// Prints what was found; throws UserError if there is a mistake.
void report(const Diagnostics& diagnostics);
bool standard_error_is_terminal();
bool standard_output_is_terminal();

}  // namespace heed
