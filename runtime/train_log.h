// What training tells: a line of JSON a step in a file, and a line of progress for people.
#pragma once
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <string>

#include "runtime/curve.h"
#include "runtime/train.h"

namespace heed {

class TrainLog {
 public:
  // Keeps the lines of an earlier run up to `step` (tests of that very step only if `tested`); 0 starts a new file.
  TrainLog(std::string path, std::int64_t step, bool tested, bool also_to_output);
  ~TrainLog();
  TrainLog(const TrainLog&) = delete;
  TrainLog& operator=(const TrainLog&) = delete;

  // `rate` in rows a second.
  void step(std::int64_t step, std::int64_t epoch, const Metrics& metrics, double seconds, double rate);
  void test(std::int64_t step, std::int64_t epoch, const Metrics& metrics);
  void flush();  // throws InputError when the file cannot be written

  // What was logged of one metric, from the beginning of the first run.
  std::vector<Curve> curves(const std::string& metric) const;

 private:
  void line(const std::string& text);
  std::string path_;
  std::FILE* file_ = nullptr;
  bool also_to_output_;
  std::vector<std::pair<std::string, std::vector<CurvePoint>>> points_;  // "loss", "test loss"
  void note(const std::string& name, double step, double value);
};

// One line on standard error that is written over on a terminal; elsewhere a line from time to time.
class Progress {
 public:
  Progress(std::int64_t first, std::int64_t total, std::int64_t steps_of_epoch);
  void step(std::int64_t step, const Metrics& metrics, double rate);
  void test(std::int64_t rows, std::int64_t of);
  void say(const std::string& line);  // a line that stays
  void finish();

 private:
  using Clock = std::chrono::steady_clock;
  std::int64_t first_, total_, steps_of_epoch_;
  bool terminal_, shown_ = false;
  void show(const std::string& line);
  Clock::time_point start_, last_;
};

std::string text_of(const Metrics& metrics);  // "loss 0.4312, accuracy 0.85"

}  // namespace heed
