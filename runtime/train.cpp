// The training loop: batches, epochs, tests, the log, checkpoints.
#include "runtime/train.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <limits>
#include <memory>
#include <span>

#include "input_error.h"
#include "runtime/batches.h"
#include "runtime/bound_program.h"
#include "runtime/checkpoint.h"
#include "runtime/evaluate.h"
#include "runtime/files.h"
#include "runtime/memory.h"
#include "runtime/nan_search.h"
#include "runtime/profile.h"
#include "runtime/train_log.h"

namespace heed {
namespace {

using Role = ProgramValue::Role;
using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

bool is_value(const ProgramValue& value) { return value.role == Role::parameter || value.role == Role::state; }

void check_settings(const DataSet& data, const TrainSettings& settings) {
  if (settings.batch < 1) throw InputError(fmt::format("a batch has at least 1 row, not {}", settings.batch));
  if (rows_of_epoch(data) < settings.batch) {
    throw InputError(fmt::format("a batch of {} rows is larger than the data set: {} has {}: make batch smaller", settings.batch,
                                 data.description, rows_of_epoch(data)));
  }
  if (!settings.epochs && !settings.steps) throw InputError("the train block says neither epochs nor steps: add one of them");
}

// What a program takes beside parameters and states: batches on their way, results, and what lies between its kernels.
double bytes_beside_values(const Program& program, int threads) {
  double bytes = static_cast<double>(working_memory(program, threads));
  for (const auto& input : program.inputs)
    if (input.role == Role::data) bytes += static_cast<double>(input.type.bytes()) * (static_cast<double>(Prefetcher::batches) + 1);
  for (const auto& output : program.outputs)
    if (output.in_place < 0) bytes += static_cast<double>(output.type.bytes());
  return bytes;
}

// Before anything is allocated: what training and testing need together, and what there is. Values are held once to be trained, once
// as they were some steps ago, and once more by a test.
void check_memory(const TrainPrograms& programs, const DataSet* test, std::int64_t batch, int threads) {
  if (programs.step->device) return;  // says what it lacks when it is asked for memory
  const auto& step = *programs.step;
  double values = 0;
  for (const auto& input : step.inputs) values += is_value(input) ? static_cast<double>(input.type.bytes()) : 0;
  const double between = bytes_beside_values(step, threads);
  const double initial = values + static_cast<double>(working_memory(*programs.initial, threads));
  auto check = [&](double needed, const std::string& more) {
    check_available(needed, "training this model",
                    fmt::format(" ({} of parameters and optimizer states, {} between the layers{})", readable_bytes(values),
                                readable_bytes(between), more));
  };
  check(std::max(2 * values + between, initial), "");
  if (!test || !programs.evaluation) return;
  const double testing = values + bytes_beside_values(*programs.evaluation(std::min(batch, test->rows)), threads);
  check(2 * values + between + testing, fmt::format(", {} for the test", readable_bytes(testing)));
}

// Keeps what an earlier run left in the folder when another one begins there.
void set_aside(const std::string& folder, const std::string& name, const std::string& ending) {
  const std::string path = folder + "/" + name + ending;
  std::error_code none;
  if (std::filesystem::exists(path, none)) std::filesystem::rename(path, folder + "/" + name + ".previous" + ending, none);
}

class Training {
 public:
  Training(const TrainPrograms& programs, const DataSet& data, const DataSet* test, const TrainSettings& settings, ThreadPool& pool)
      : programs_(programs), data_(data), settings_(settings), pool_(pool), steps_of_epoch_(rows_of_epoch(data) / settings.batch) {
    total_ = std::numeric_limits<std::int64_t>::max();
    if (settings.steps) total_ = *settings.steps;
    if (settings.epochs) total_ = std::min(total_, *settings.epochs * steps_of_epoch_);
    end_ = std::min(total_, settings.until.value_or(total_));
    inputs_ = bind_columns(data, *programs.step, settings.batch);
    if (test) {
      evaluator_.emplace(programs.evaluation, *test, settings.batch, pool);
    }
    make_folder(settings.folder);
    lock_.emplace(settings.folder);
    settings.resume ? resume() : begin();
  }

  TrainResult run(const std::atomic<bool>& stop);

 private:
  std::string path(const char* name) const { return settings_.folder + "/" + name; }
  void begin();
  void resume();
  bool fill(std::int64_t step, Batch& batch);
  void test(const std::atomic<bool>& stop);
  void save();
  void save_weights();
  void draw() const;
  bool is_lost(const Metrics& metrics) const;
  bool is_profiled() const { return settings_.profile || !settings_.trace.empty(); }
  [[noreturn]] void fail_on_nan();
  [[noreturn]] void fail_on_index(const IndexFault& fault, const Batch& batch);
  void tell_profile(const Program& program);

  const TrainPrograms& programs_;
  const DataSet& data_;
  const TrainSettings& settings_;
  ThreadPool& pool_;
  std::int64_t steps_of_epoch_;
  std::int64_t total_, end_;  // steps of the whole training, and of it those up to where this run stops
  std::vector<BoundInput> inputs_;
  std::optional<FolderLock> lock_;
  std::optional<Evaluator> evaluator_;
  Checkpoint state_;
  std::optional<TrainLog> log_;
  std::optional<Progress> progress_;
  std::optional<BoundProgram> step_;
  std::optional<NanSearch> nan_search_;
  Metrics tested_;
  Profile profile_;
  std::int64_t epoch_of_rows_ = -1;  // whose order is in rows_; used by one thread at a time
  std::vector<std::int64_t> rows_;
  Clock::time_point saved_ = Clock::now();
  double save_seconds_ = 0;
};

void Training::begin() {
  state_ = {settings_.model, 0, settings_.seed, settings_.batch, rows_of_epoch(data_), false, {}};
  NamedTensors nothing;
  BoundProgram initial(programs_.initial, pool_);
  initial.run(nothing, {}, settings_.seed, 0);
  state_.values = initial.take_outputs();
  set_aside(settings_.folder, "checkpoint", ".safetensors");
  set_aside(settings_.folder, "log", ".jsonl");
}

void Training::resume() {
  const auto file = path("checkpoint.safetensors");
  std::error_code none;
  if (!std::filesystem::exists(file, none))
    throw InputError(fmt::format("{} is missing: there is no run to resume; start one without --resume", file));
  state_ = read_checkpoint(file);
  check_values(file, state_.values, *programs_.step);
  const auto same = [&](const char* what, std::int64_t then, std::int64_t now) {
    if (then != now)
      throw InputError(fmt::format("{} was written with {} {} and this run has {}: a resumed run needs the same", file, what, then, now));
  };
  same("seed", state_.seed, settings_.seed);
  same("batch", state_.batch, settings_.batch);
  same("an epoch of rows", state_.rows, rows_of_epoch(data_));
}

// The batch of update `step` (from 1). False after the last one.
bool Training::fill(std::int64_t step, Batch& batch) {
  if (step > end_) return false;
  const std::int64_t epoch = (step - 1) / steps_of_epoch_, place = (step - 1) % steps_of_epoch_;
  if (epoch != epoch_of_rows_) rows_ = shuffled_rows(data_, settings_.seed, epoch);
  epoch_of_rows_ = epoch;
  fill_batch(data_, inputs_,
             std::span(rows_).subspan(static_cast<std::size_t>(place * settings_.batch), static_cast<std::size_t>(settings_.batch)),
             batch.tensors);
  return true;
}

void Training::test(const std::atomic<bool>& stop) {
  if (evaluator_) {
    step_->fetch(state_.values);
    const auto metrics = evaluator_->run(state_.values, settings_.seed, [&](std::int64_t rows, std::int64_t of) {
      progress_->test(rows, of);
      return !stop;
    });
    if (!metrics) return;  // A resumed run begins with this test.
    const std::int64_t epoch = (state_.step - 1) / steps_of_epoch_ + 1;
    tested_ = *metrics;
    log_->test(state_.step, epoch, tested_);
    progress_->say(fmt::format("epoch {}, step {}: test {}", epoch, state_.step, text_of(tested_)));
  }
  state_.tested = true;
}

void Training::save() {
  const auto start = Clock::now();
  step_->fetch(state_.values);
  std::vector<std::string> parameters;
  for (const auto& input : programs_.step->inputs) {
    if (input.role == Role::parameter) parameters.push_back(input.name);
  }
  log_->flush();
  write_checkpoint(path("checkpoint.safetensors"), state_, parameters);
  saved_ = Clock::now();
  save_seconds_ = std::chrono::duration<double>(saved_ - start).count();
}

void Training::save_weights() {
  const auto program = programs_.evaluation ? programs_.evaluation(settings_.batch) : programs_.step;
  write_weights(path("weights.safetensors"), state_.values, *program);
}

void Training::draw() const {
  const auto curves = log_->curves(settings_.minimize);
  if (!curves.empty()) replace_file(path("curve.svg"), draw_curves(fmt::format("{}: {}", settings_.model, settings_.minimize), curves));
}

bool Training::is_lost(const Metrics& metrics) const {
  return std::any_of(metrics.begin(), metrics.end(),
                     [&](const auto& metric) { return metric.first == settings_.minimize && std::isnan(metric.second); });
}

void Training::fail_on_nan() {
  progress_->finish();
  log_->flush();
  const std::string where = nan_search_->find(state_.step, [&](std::int64_t step, auto& batch) { fill(step, batch); });
  throw InputError(fmt::format("{} became NaN at step {}: {}", settings_.minimize, state_.step, where));
}

void Training::fail_on_index(const IndexFault& fault, const Batch& batch) {
  progress_->finish();
  log_->flush();
  const auto order = shuffled_rows(data_, settings_.seed, (state_.step - 1) / steps_of_epoch_);
  const auto place = static_cast<std::size_t>((state_.step - 1) % steps_of_epoch_ * settings_.batch);
  const auto rows = std::span(order).subspan(place, static_cast<std::size_t>(settings_.batch));
  throw InputError(
      fmt::format("{}{}, at step {}", find_value(data_, inputs_, rows, batch.tensors, fault.index), fault.what(), state_.step));
}

void Training::tell_profile(const Program& program) {
  if (settings_.profile) progress_->say(profile_text(program, profile_));
  if (!settings_.trace.empty()) replace_file(settings_.trace, trace_json(program, profile_));
}

TrainResult Training::run(const std::atomic<bool>& stop) {
  if (!settings_.trace.empty()) profile_.most_spans = most_spans;
  log_.emplace(path("log.jsonl"), state_.step, state_.tested, settings_.json);
  progress_.emplace(state_.step, end_, steps_of_epoch_);
  step_.emplace(programs_.step, pool_, Prefetcher::batches);
  BoundProgram& step = *step_;
  nan_search_.emplace(step, inputs_, state_.values, state_.step, settings_.seed);
  const auto ends_epoch = [&] { return state_.step > 0 && state_.step % steps_of_epoch_ == 0; };
  if ((ends_epoch() || state_.step >= total_) && state_.step > 0 && !state_.tested) test(stop);
  const std::int64_t first = state_.step;
  const auto start = Clock::now();
  double testing = 0, rate = 0, last = 0;
  {
    std::int64_t next = state_.step;
    Prefetcher batches(inputs_, [&, this](Batch& batch) {
      const bool more = fill(++next, batch);
      if (more) step.put_ahead(batch);
      return more;
    });
    while (!stop) {
      const auto* batch = batches.next();
      if (!batch) break;
      state_.tested = false;
      try {
        step.run(state_.values, *batch, settings_.seed, ++state_.step, is_profiled() ? &profile_ : nullptr);
      } catch (const IndexFault& fault) {
        fail_on_index(fault, *batch);
      }
      const double now = seconds_since(start) - testing, took = std::max(now - last, 1e-9);
      const double instant = static_cast<double>(settings_.batch) / took, weight = std::min(1.0, std::max(took, 0.05));
      rate = rate == 0 ? instant : rate + weight * (instant - rate);
      last = now;
      const Metrics metrics = step.scalars();
      log_->step(state_.step, (state_.step - 1) / steps_of_epoch_ + 1, metrics, now, rate);
      if (is_lost(metrics)) break;
      nan_search_->keep(state_.values, state_.step);
      progress_->step(state_.step, metrics, rate);
      const auto begin = Clock::now();
      if (ends_epoch() || state_.step == total_) test(stop);
      const double unsaved = seconds_since(saved_);
      if (state_.step != end_ && unsaved > 20 * save_seconds_ && unsaved > (ends_epoch() ? 10 : 60)) {
        save();
        draw();
      }
      testing += seconds_since(begin);
    }
  }
  if (is_lost(step.scalars())) fail_on_nan();  // After the loop: the other thread is at rest then.
  progress_->finish();
  const bool interrupted = stop && (state_.step < end_ || (state_.step == total_ && !state_.tested));
  save();
  draw();
  if (!interrupted) save_weights();
  if (is_profiled() && state_.step > first) tell_profile(*programs_.step);
  return {interrupted, state_.step, tested_};
}

}  // namespace

TrainResult train(const TrainPrograms& programs, const DataSet& data, const DataSet* test, const TrainSettings& settings, ThreadPool& pool,
                  const std::atomic<bool>& stop) {
  check_settings(data, settings);
  check_memory(programs, test, settings.batch, pool.size());
  return Training(programs, data, test, settings, pool).run(stop);
}

}  // namespace heed
