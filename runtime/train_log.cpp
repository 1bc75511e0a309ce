// What training tells: a line of JSON a step in a file, and a line of progress for people.
#include "runtime/train_log.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>

#include "input_error.h"
#include "runtime/files.h"

namespace heed {
namespace {

using Json = nlohmann::ordered_json;

// The shortest text that gives the value back, as the type that it is of.
double shortest(double value) {
  const auto single = static_cast<float>(value);
  return static_cast<double>(single) == value ? std::strtod(fmt::format("{}", single).c_str(), nullptr) : value;
}

double rounded(double value, double unit) { return std::round(value / unit) * unit; }

std::string duration(double seconds) {
  const auto whole = std::llround(seconds);
  if (whole < 60) return fmt::format("{} s", whole);
  if (whole < 3600) return fmt::format("{} min {:02} s", whole / 60, whole % 60);
  return fmt::format("{} h {:02} min", whole / 3600, whole / 60 % 60);
}

}  // namespace

std::string text_of(const Metrics& metrics) {
  std::string text;
  for (const auto& [name, value] : metrics) text += fmt::format("{}{} {:.4g}", text.empty() ? "" : ", ", name, value);
  return text;
}

TrainLog::TrainLog(std::string path, std::int64_t step, bool tested, bool also_to_output)
    : path_(std::move(path)), also_to_output_(also_to_output) {
  std::string kept;
  std::ifstream earlier(step > 0 ? path_ : "");
  for (std::string text; std::getline(earlier, text);) {
    const Json json = Json::parse(text, nullptr, false);
    if (!json.is_object() || !json.contains("step") || !json["step"].is_number()) continue;
    const auto at = json["step"].get<double>();
    const bool test = json.contains("split");
    if (at > static_cast<double>(step) || (test && !tested && at == static_cast<double>(step))) continue;
    kept += text + "\n";
    for (const auto& [name, value] : json.items()) {
      if (value.is_number()) note(test ? "test " + name : name, at, value.get<double>());
    }
  }
  earlier.close();
  replace_file(path_, kept);
  file_ = std::fopen(path_.c_str(), "ae");
  if (!file_) throw InputError(fmt::format("cannot write {}: {}", path_, std::strerror(errno)));
}

TrainLog::~TrainLog() {
  if (file_) std::fclose(file_);
}

void TrainLog::note(const std::string& name, double step, double value) {
  const auto found = std::find_if(points_.begin(), points_.end(), [&](const auto& entry) { return entry.first == name; });
  auto& points = found == points_.end() ? points_.emplace_back(name, std::vector<CurvePoint>()).second : found->second;
  points.push_back({step, value});
}

void TrainLog::line(const std::string& text) {
  std::fprintf(file_, "%s\n", text.c_str());
  if (also_to_output_) {
    std::printf("%s\n", text.c_str());
    std::fflush(stdout);
  }
}

void TrainLog::step(std::int64_t step, std::int64_t epoch, const Metrics& metrics, double seconds, double rate) {
  Json json = {{"step", step}, {"epoch", epoch}};
  for (const auto& [name, value] : metrics) {
    json[name] = shortest(value);
    note(name, static_cast<double>(step), value);
  }
  json["seconds"] = rounded(seconds, 1e-3);
  json["rate"] = rounded(rate, 0.1);
  line(json.dump());
}

void TrainLog::test(std::int64_t step, std::int64_t epoch, const Metrics& metrics) {
  Json json = {{"split", "test"}, {"step", step}, {"epoch", epoch}};
  for (const auto& [name, value] : metrics) {
    json[name] = shortest(value);
    note("test " + name, static_cast<double>(step), value);
  }
  line(json.dump());
}

void TrainLog::flush() {
  if (std::fflush(file_) != 0) throw InputError(fmt::format("cannot write {}: {}", path_, std::strerror(errno)));
}

std::vector<Curve> TrainLog::curves(const std::string& metric) const {
  std::vector<Curve> curves;
  for (const auto& name : {metric, "test " + metric}) {
    const auto found = std::find_if(points_.begin(), points_.end(), [&](const auto& entry) { return entry.first == name; });
    if (found != points_.end()) curves.push_back({name, found->second, name != metric});
  }
  return curves;
}

Progress::Progress(std::int64_t first, std::int64_t total, std::int64_t steps_of_epoch)
    : first_(first),
      total_(total),
      steps_of_epoch_(steps_of_epoch),
      terminal_(isatty(STDERR_FILENO) == 1),
      start_(Clock::now()),
      last_(start_) {}

void Progress::step(std::int64_t step, const Metrics& metrics, double rate) {
  const auto now = Clock::now();
  const std::chrono::duration<double> pause(terminal_ ? 0.2 : 10);
  if (step != total_ && now - last_ < pause) return;
  last_ = now;
  const double done = std::chrono::duration<double>(now - start_).count();
  const double left = done / static_cast<double>(step - first_) * static_cast<double>(total_ - step);
  const auto line = fmt::format("step {}/{}, epoch {}: {}, {:.0f} rows/s, {} left", step, total_, (step - 1) / steps_of_epoch_ + 1,
                                text_of(metrics), rate, duration(left));
  show(line);
}

void Progress::test(std::int64_t rows, std::int64_t of) {
  const auto now = Clock::now();
  if (!terminal_ || now - last_ < std::chrono::duration<double>(0.2)) return;
  last_ = now;
  show(fmt::format("test: {} of {} rows", rows, of));
}

void Progress::show(const std::string& line) {
  std::fprintf(stderr, terminal_ ? "\r\x1b[K%s" : "%s\n", line.c_str());
  std::fflush(stderr);
  shown_ = terminal_;
}

void Progress::say(const std::string& line) {
  std::fprintf(stderr, shown_ ? "\r\x1b[K%s\n" : "%s\n", line.c_str());
  shown_ = false;
}

void Progress::finish() {
  if (shown_) std::fprintf(stderr, "\n");
  shown_ = false;
}

}  // namespace heed
