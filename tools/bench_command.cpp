// heed bench: compile time, and the time of a run, of a run with gradients, or of a training step.
#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "codegen/cpu/peak.h"
#include "passes/differentiate.h"
#include "runtime/files.h"
#include "runtime/memory.h"
#include "tools/command.h"
#include "tools/devices.h"
#include "tools/execution.h"
#include "tools/given_values.h"

namespace heed {

namespace {

struct Options {
  ModelOptions model;
  RunOptions run;
  PurposeOptions purpose;
  int repeat = 20;
  std::string compare;
  std::vector<std::string> inputs, cotangents;
  bool json = false, profile = false;
};

double median(std::vector<double> values) {
  std::ranges::sort(values);
  std::size_t middle = values.size() / 2;
  return values.size() % 2 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

std::int64_t peak_memory() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss * 1024;
}

// An earlier measurement. Throws UserError for what is none.
nlohmann::ordered_json measurement(const std::string& path) {
  nlohmann::ordered_json before = nlohmann::ordered_json::parse(text_of(read_file(path)), nullptr, /*allow_exceptions=*/false);
  auto has_time = [&](const char* key) { return before.contains(key) && before[key].is_number(); };
  if (!before.is_object() || !has_time("median_s") || !has_time("mad_s"))
    throw UserError(fmt::format("{}: not the JSON of `heed bench --json`", path));
  before.emplace("device", "cpu");  // of measurements from before there were others
  before.emplace("precision", "f32");
  return before;
}

// Throws UserError if it measured something else than what `now` names.
void check_is_of_the_same(const nlohmann::ordered_json& before, const nlohmann::ordered_json& now, const std::string& path) {
  for (const auto& [key, value] : now.items())
    if (before.value(key, nlohmann::ordered_json()) != value)
      throw UserError(fmt::format("{} measured {} {}, this run {}: nothing to compare", path, key,
                                  before.value(key, nlohmann::ordered_json()).dump(), value.dump()));
}

// Slower beyond the noise of both measurements.
int compared(const nlohmann::ordered_json& before, double new_time, double new_deviation) {
  const double old_time = before["median_s"], noise = 3 * std::max(before["mad_s"].get<double>(), new_deviation);
  fmt::print(stderr, "{:.4g} s, before {:.4g} s: {:.2f} times as fast\n", new_time, old_time, old_time / new_time);
  if (new_time > old_time + noise && new_time > 1.02 * old_time) {
    fmt::print(stderr, "slower beyond the noise ({:.2g} s)\n", noise);
    return user_mistake;
  }
  return success;
}

// What one run does, as its regions count it.
struct Work {
  double flop = 0, bytes = 0;
};
Work work_of(const Program& program) {
  Work work;
  for (const RegionInfo& region : program.regions)
    if (region.whole < 0) work.flop += region.flop, work.bytes += region.bytes;
  return work;
}

// What the device of a run does at most in a second; zeros where that says nothing.
struct Peaks {
  double flop = 0, bytes = 0;
  const char* kind = "";
};
Peaks peaks_for(const RunOptions& run, const Target& target, int threads) {
  if (run.device == "cpu") {
    const MachinePeaks measured = measure_peaks(target, threads);
    return {measured.flop_per_second, measured.bytes_per_second, "the measured"};
  }
  if (!is_gpu(run.device)) return {};
  const GpuPeaks nominal = peaks_of_gpu(run.device);
  return {run.precision == "f32" ? nominal.f32 : run.precision == "tf32" ? nominal.tf32 : nominal.half, nominal.bytes, "its nominal"};
}

int bench(Options options) {
  using Clock = std::chrono::steady_clock;
  Model model(options.model);
  Purpose purpose = purpose_of(model, options.purpose, false);
  model.bind_shapes(given_shapes(options.inputs));
  Graph graph = elaborate_for(model, purpose, !options.cotangents.empty()).graph;
  choose_precision(model, purpose, options.run);
  const int threads = options.run.thread_count();
  const Target target = cpu_target(options.run.cpu);
  nlohmann::ordered_json sizes = nlohmann::ordered_json::object();
  for (const auto& [name, size] : graph.sizes) sizes[name] = size;
  const char* what = purpose == Purpose::training ? "train" : purpose == Purpose::forward ? "run" : "grad";
  nlohmann::ordered_json before;
  if (!options.compare.empty()) {
    before = measurement(options.compare);
    check_is_of_the_same(before,
                         {{"what", what},
                          {"name", graph.name},
                          {"sizes", sizes},
                          {"threads", threads},
                          {"cpu", target.cpu},
                          {"device", options.run.device},
                          {"precision", options.run.precision}},
                         options.compare);
  }
  CompiledProgram compiled = compile_graph(graph, options.run, options.model.verbose);
  ThreadPool pool(threads);
  Execution execution(compiled.program, pool);
  NamedTensors given = given_inputs(graph, options.inputs, options.run.seed);
  give_cotangents(graph, options.cotangents, options.run.seed, given);
  NamedTensors inputs = complete_inputs(graph, std::move(given), options.run.seed, false, options.run);
  for (auto& [name, value] : inputs) execution.set(name, std::move(value));

  const bool on_gpu = is_gpu(options.run.device);
  // Cleared before each run on a GPU: the run finds nothing in caches, and is asked for while this goes on, so that it begins when it ends.
  std::optional<DeviceMemory> between;
  if (on_gpu) between.emplace(*compiled.program->device, std::int64_t{256} << 20, "what is cleared between runs");
  execution.run();              // Pages and caches.
  if (on_gpu) execution.run();  // This one is recorded.
  std::vector<double> seconds;
  Clock::time_point begin = Clock::now();
  for (int k = 0; k < options.repeat; ++k) {
    if (between) compiled.program->device->clear(between->data(), between->bytes());
    Clock::time_point start = Clock::now();
    execution.run();
    seconds.push_back(on_gpu ? *execution.device_seconds() : std::chrono::duration<double>(Clock::now() - start).count());
    if (std::chrono::duration<double>(Clock::now() - begin).count() > 60 && seconds.size() >= 3) break;
  }
  Profile profile;
  constexpr int profiled = 5;  // apart from the runs that are measured
  for (int k = 0; options.profile && k < profiled; ++k) execution.run(&profile);
  double middle = median(seconds);
  std::vector<double> deviations;
  for (double each : seconds) deviations.push_back(std::abs(each - middle));
  const double deviation = median(deviations);
  const Work work = work_of(*compiled.program);
  const Peaks peaks = peaks_for(options.run, target, threads);
  auto share = [&](double of_a_run, double peak) {
    return peak > 0 ? nlohmann::ordered_json(of_a_run / middle / peak) : nlohmann::ordered_json();
  };
  nlohmann::ordered_json json = {{"what", what},
                                 {"name", graph.name},
                                 {"sizes", sizes},
                                 {"compile_s", compiled.seconds},
                                 {"median_s", middle},
                                 {"min_s", std::ranges::min(seconds)},
                                 {"mad_s", deviation},
                                 {"runs", seconds.size()},
                                 {"gflop", work.flop / 1e9},
                                 {"peak_share", share(work.flop, peaks.flop)},
                                 {"gbytes", work.bytes / 1e9},
                                 {"bandwidth_share", share(work.bytes, peaks.bytes)},
                                 {"scratch_bytes", execution.memory_bytes()},
                                 {"peak_rss_bytes", peak_memory()},
                                 {"threads", threads},
                                 {"cpu", target.cpu},
                                 {"device", options.run.device},
                                 {"precision", options.run.precision},
                                 {"clock", on_gpu ? "device" : "host"}};
  if (options.json) {
    fmt::print("{}\n", json.dump());
  } else {
    fmt::print("{} {} of {}\n", what, sizes.dump(), graph.name);
    fmt::print("compiled in    {:.3f} s ({} kernels, {} from the cache)\n", compiled.seconds, compiled.compiled + compiled.from_cache,
               compiled.from_cache);
    fmt::print("median         {:.6g} s of {} runs, least {:.6g} s, spread {:.2g} s\n", middle, seconds.size(), std::ranges::min(seconds),
               deviation);
    auto share_text = [&](double of_a_run, double peak) {
      return peak > 0 ? fmt::format(", {:.0f} % of {} {:.4g}", 100 * of_a_run / middle / peak, peaks.kind, peak / 1e9) : "";
    };
    fmt::print("arithmetic     {:.4g} GFLOP, {:.4g} GFLOP/s{}\n", work.flop / 1e9, work.flop / middle / 1e9,
               share_text(work.flop, peaks.flop));
    fmt::print("traffic        {:.4g} GB, {:.4g} GB/s{}\n", work.bytes / 1e9, work.bytes / middle / 1e9,
               share_text(work.bytes, peaks.bytes));
    fmt::print("memory         {} besides inputs and outputs, {} at most in the process\n",
               readable_bytes(static_cast<double>(execution.memory_bytes())), readable_bytes(static_cast<double>(peak_memory())));
    if (options.profile) fmt::print("\n{}", profile_text(*compiled.program, profile));
  }
  return options.compare.empty() ? success : compared(before, middle, deviation);
}

}  // namespace

Command bench_command() {
  return {"bench", "compile time and the time of a run", "heed bench examples/gpt.heed --train --size B=8,T=256",
          [](CLI::App& app) -> std::function<int()> {
            auto options = std::make_shared<Options>();
            add_model_options(app, options->model);
            add_run_options(app, options->run);
            app.add_flag("--grad", options->purpose.grad, "of a run with gradients");
            app.add_flag("--train", options->purpose.train, "of a training step");
            app.add_option("--repeat", options->repeat, "runs to measure (default 20)")->check(CLI::Range(1, 100000));
            app.add_option("--compare", options->compare,
                           "JSON of an earlier measurement; exit status 1 if this one is slower beyond the noise");
            app.add_option("--input", options->inputs, "x=FILE.npy|FILE.npz|FILE.safetensors|random|zeros|iota|VALUE; others are random")
                ->allow_extra_args(false);
            app.add_option("--cotangent", options->cotangents, "with --grad, y=random: as for `heed run`; without it ones")
                ->allow_extra_args(false);
            app.add_flag("--profile", options->profile, "also prints where the time goes, by region and the steps inside of it");
            app.add_flag("--json", options->json, "one JSON object");
            return [options] { return bench(*options); };
          }};
}

}  // namespace heed
