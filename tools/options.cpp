// Reading FILE:NAME, --set and --size, and getting from there to a graph.
#include "tools/options.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cstdio>

#include "nearest_name.h"
#include "runtime/memory.h"
#include "tools/command.h"

namespace heed {

namespace {

// Cuts "B=32,T=1024" at commas after which a name and `=` follow, so that a value may hold commas.
std::vector<std::string> split_list(const std::string& list) {
  std::vector<std::string> parts;
  std::size_t begin = 0;
  for (std::size_t comma = list.find(','); comma != std::string::npos; comma = list.find(',', comma + 1)) {
    std::size_t end = list.find_first_of("=,", comma + 1);
    if (end == std::string::npos || list[end] == ',') continue;
    parts.push_back(list.substr(begin, comma - begin));
    begin = comma + 1;
  }
  parts.push_back(list.substr(begin));
  return parts;
}

// One option with a list, and repeated options alike.
std::vector<std::pair<std::string, std::string>> pairs_of(const std::vector<std::string>& written, const std::string& option) {
  std::vector<std::pair<std::string, std::string>> pairs;
  for (const std::string& list : written)
    for (const std::string& each : split_list(list)) {
      std::size_t equals = each.find('=');
      if (equals == std::string::npos || equals == 0) throw UserError(fmt::format("{} needs name=value, got `{}`", option, each));
      pairs.emplace_back(each.substr(0, equals), each.substr(equals + 1));
    }
  return pairs;
}

std::int64_t size_value(const std::string& name, const std::string& text) {
  std::int64_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < 0)
    throw UserError(fmt::format("--size {} needs a whole number of at least 0, got `{}`", name, text));
  return value;
}

// The last colon separates a name from the file, unless what follows is part of a path.
std::pair<std::string, std::string> split_target(const std::string& target) {
  std::size_t colon = target.rfind(':');
  if (colon == std::string::npos || target.find('/', colon) != std::string::npos || target.ends_with(".heed")) return {target, ""};
  return {target.substr(0, colon), target.substr(colon + 1)};
}

}  // namespace

Settings settings_of(const std::vector<std::string>& written) { return pairs_of(written, "--set"); }

bool standard_error_is_terminal() { return isatty(STDERR_FILENO) != 0; }
bool standard_output_is_terminal() { return isatty(STDOUT_FILENO) != 0; }

void report(const Diagnostics& diagnostics) {
  fmt::print(stderr, "{}", diagnostics.text(standard_error_is_terminal()));
  if (diagnostics.has_errors()) throw UserError("");
}

void add_model_options(CLI::App& app, ModelOptions& options) {
  app.add_option("FILE", options.target, "a .heed file, or FILE:NAME for one model or function in it")->required();
  app.add_option("--set", options.settings, "name=value: overrides a top-level `let` or a setting of `train`")->allow_extra_args(false);
  app.add_option("--size", options.sizes, "B=32,T=1024: binds symbols")->allow_extra_args(false);
  app.add_flag("-v,--verbose", options.verbose, "says what is done and why");
}

namespace {

void add_precision_option(CLI::App& app, std::string& precision) {
  app.add_option_function<std::string>(
      "--precision",
      [&precision](const std::string& given) {
        static const std::vector<std::string> known{"f32", "tf32", "bf16", "f16"};
        if (std::ranges::find(known, given) == known.end()) {
          std::string near = nearest_name(given, known);
          throw UserError(
              fmt::format("--precision {}: known are f32, tf32, bf16, f16{}", given, near.empty() ? "" : "; did you mean " + near + "?"));
        }
        precision = given;
      },
      "in what factors of products and stored values are held: f32, bf16, f16, or on a GPU tf32 (factors alone); sums and parameters are "
      "f32. Default: what the train block of a training step says, or f32");
}

}  // namespace

CLI::Option* add_plan_options(CLI::App& app, PipelineOptions& options, std::string& precision) {
  add_precision_option(app, precision);
  app.add_flag(
      "--exact", options.exact,
      "products and sums keep the order in which they are written, also where another costs less, and masks of -1e9 are no infinities");
  CLI::Option* memory = app.add_option("--memory", options.memory,
                                       "2GB, 500MB: values are made again instead of being stored until the program takes no more")
                            ->transform([](const std::string& given) {
                              std::string bytes = given;
                              bool is_size = std::isdigit(static_cast<unsigned char>(given.empty() ? ' ' : given[0])) != 0;
                              try {
                                is_size = is_size && CLI::AsSizeValue(true)(bytes).empty() && bytes != "0";
                              } catch (const CLI::ValidationError&) {
                                is_size = false;
                              }
                              if (!is_size) throw UserError(fmt::format("--memory {}: a size such as 2GB or 500MB is wanted", given));
                              return bytes;
                            });
  options.fitted = [&options](const MemoryFit& fit) { fmt::print(stderr, "{}", memory_note(options.memory, fit)); };
  return memory;
}

std::string memory_note(std::int64_t limit, const MemoryFit& fit) {
  auto text = [](std::int64_t bytes) { return readable_bytes(static_cast<double>(bytes)); };
  if (fit.bytes > limit)
    throw UserError(
        fmt::format("--memory {}: the program takes at least {} ({} of them inputs and results), {} without a limit; a smaller "
                    "batch or model fits",
                    text(limit), text(fit.bytes), text(fit.fixed_bytes), text(fit.bytes_at_ease)));
  if (fit.bytes >= fit.bytes_at_ease) return "";
  return fmt::format("note: --memory {}: {} instead of {}, for {:.2f} times the arithmetic\n", text(limit), text(fit.bytes),
                     text(fit.bytes_at_ease), fit.flop / fit.flop_at_ease);
}

void add_run_options(CLI::App& app, RunOptions& options) {
  add_plan_options(app, options.plan, options.precision);
  app.add_option("--device", options.device,
                 "cpu (default), cuda, cuda:N, or cuda-sim: a GPU simulated on the processor; cuda-sim:sm_90a simulates that chip");
  app.add_option("--cpu", options.cpu,
                 "instructions that code for the processor may use: host (default), avx512, avx512bf16, amx, avx2, plain; on aarch64 neon");
  app.add_option("--threads", options.threads,
                 "how many (default: one a core that the process may use, of a container no more than its quota)")
      ->check(CLI::Range(1, 1024));
  app.add_option("--seed", options.seed, "of random inputs, parameters and dropout (default 0)");
  app.add_option("--cache", options.cache, "folder of compiled programs and kernels, or `off`");
}

Model::Model(const ModelOptions& options) {
  std::tie(path_, entry_) = split_target(options.target);
  settings_ = settings_of(options.settings);
  for (const auto& [name, text] : pairs_of(options.sizes, "--size")) sizes_[name] = size_value(name, text);
  Diagnostics diagnostics;
  module_ = load_module(path_, diagnostics);
  report(diagnostics);
  if (!module_) throw std::logic_error("load_module: no module and no mistake");
}

void Model::bind_shapes(const std::map<std::string, std::vector<std::int64_t>>& shapes) {
  for (const auto& [name, size] : sizes_of_shapes(*module_, entry_, shapes)) sizes_.emplace(name, size);
}

ElaborateRequest Model::request(bool training) const {
  ElaborateRequest request;
  request.entry = entry_;
  request.settings = settings_;
  request.sizes = sizes_;
  request.training = training;
  return request;
}

namespace {

Elaborated finished(std::optional<Elaborated> elaborated, const Diagnostics& diagnostics) {
  report(diagnostics);
  if (!elaborated) throw std::logic_error("elaborate: no graph and no mistake");
  if (!elaborated->nominal.empty()) {
    std::string sizes;
    for (const auto& [name, size] : elaborated->graph.sizes)
      if (std::ranges::find(elaborated->nominal, name) != elaborated->nominal.end())
        sizes += fmt::format("{}{}={}", sizes.empty() ? "" : ",", name, size);
    fmt::print(stderr, "note: sizes not given are taken as {}; --size {} sets them\n", sizes, sizes);
  }
  return std::move(*elaborated);
}

}  // namespace

Elaborated Model::elaborate(bool training) const {
  Diagnostics diagnostics;
  auto elaborated = heed::elaborate(*module_, request(training), diagnostics);
  return finished(std::move(elaborated), diagnostics);
}

Elaborated Model::elaborate_training() const {
  Diagnostics diagnostics;
  auto elaborated = heed::elaborate_training(*module_, request(true), diagnostics);
  return finished(std::move(elaborated), diagnostics);
}

Elaborated Model::elaborate_at_batch(std::int64_t batch) const {
  ElaborateRequest at = request();
  TrainBlock block = train_block();
  at.entry = block.model;
  for (const EntryInfo& each : entries(*module_))
    if (each.name == block.model && !each.symbols.empty()) at.sizes[each.symbols.front()] = batch;
  Diagnostics diagnostics;
  auto elaborated = heed::elaborate(*module_, at, diagnostics);
  return finished(std::move(elaborated), diagnostics);
}

TrainBlock Model::train_block() const {
  Diagnostics diagnostics;
  auto block = heed::train_block(*module_, entry_, settings_, diagnostics);
  report(diagnostics);
  if (!block) throw std::logic_error("train_block: nothing and no mistake");
  return std::move(*block);
}

}  // namespace heed
