// A linear model whose kernels are C++ functions, with data to train it on.
#pragma once
#include <atomic>
#include <cmath>
#include <cstring>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include "runtime/train.h"
#include "tests/runtime/folder.h"

namespace heed {

constexpr std::int64_t linear_width = 3;

template <typename T>
T* as(void* buffer) {
  return static_cast<T*>(buffer);
}

// 0 x, 1 y, 2 w, 3 m, 4 seed, 5 step, 6 loss, 7 new w, 8 new m.
template <std::int64_t batch>
void update(void* const* buffers, void*, std::int64_t, Fault*) {
  const auto *x = as<const float>(buffers[0]), *y = as<const float>(buffers[1]), *w = as<const float>(buffers[2]),
             *m = as<const float>(buffers[3]);
  float gradient[linear_width] = {}, loss = 0;
  for (std::int64_t b = 0; b < batch; ++b) {
    float error = -y[b];
    for (std::int64_t k = 0; k < linear_width; ++k) error += x[b * linear_width + k] * w[k];
    loss += error * error / batch;
    for (std::int64_t k = 0; k < linear_width; ++k) gradient[k] += 2 * error * x[b * linear_width + k] / batch;
  }
  *as<float>(buffers[6]) = loss;
  for (std::int64_t k = 0; k < linear_width; ++k) {
    const float next = 0.9F * m[k] + gradient[k];
    as<float>(buffers[8])[k] = next;
    as<float>(buffers[7])[k] = w[k] - 0.05F * next;
  }
}

template <std::int64_t batch>
void test_loss(void* const* buffers, void*, std::int64_t, Fault*) {
  const auto *x = as<const float>(buffers[0]), *y = as<const float>(buffers[1]), *w = as<const float>(buffers[2]);
  float loss = 0;
  for (std::int64_t b = 0; b < batch; ++b) {
    float error = -y[b];
    for (std::int64_t k = 0; k < linear_width; ++k) error += x[b * linear_width + k] * w[k];
    loss += error * error / batch;
  }
  *as<float>(buffers[3]) = loss;
}

inline void start(void* const* buffers, void*, std::int64_t, Fault*) {
  for (std::int64_t k = 0; k < linear_width; ++k) {
    as<float>(buffers[1])[k] = 0.1F * static_cast<float>(*as<const std::int64_t>(buffers[0]));
    as<float>(buffers[2])[k] = 0;
  }
}

inline ProgramValue value(const char* name, ProgramValue::Role role, const char* dtype, std::vector<std::int64_t> shape,
                          std::int32_t in_place = -1) {
  return {name, role, {dtype, std::move(shape)}, in_place, {}};
}

inline std::shared_ptr<Program> with_buffers(Program program, KernelFunction function) {
  Launch launch{function, 1, {}, 0, 0};
  const auto add = [&](Buffer::Kind kind, const std::vector<ProgramValue>& values) {
    for (std::size_t k = 0; k < values.size(); ++k) {
      launch.buffers.push_back({static_cast<std::int32_t>(program.buffers.size())});
      program.buffers.push_back({kind, static_cast<std::int64_t>(k), values[k].type.bytes(), values[k].type.dtype});
    }
  };
  add(Buffer::Kind::input, program.inputs);
  add(Buffer::Kind::output, program.outputs);
  program.regions = {{"squared error", "linear (model.heed:4)"}};
  program.steps = {launch};
  return std::make_shared<Program>(std::move(program));
}

inline std::shared_ptr<Program> evaluation(std::int64_t batch) {
  Program program;
  program.inputs = {value("x", ProgramValue::Role::data, "f32", {batch, linear_width}),
                    value("y", ProgramValue::Role::data, "f32", {batch}), value("w", ProgramValue::Role::parameter, "f32", {linear_width})};
  program.outputs = {value("loss", ProgramValue::Role::result, "f32", {})};
  const std::map<std::int64_t, KernelFunction> kernels = {{4, test_loss<4>}, {2, test_loss<2>}, {3, test_loss<3>}};
  return with_buffers(program, kernels.at(batch));
}

inline TrainPrograms programs(bool in_place = false) {
  Program initial, step;
  initial.inputs = {value("seed", ProgramValue::Role::seed, "i64", {})};
  initial.outputs = {value("w", ProgramValue::Role::update, "f32", {linear_width}),
                     value("w.m", ProgramValue::Role::update, "f32", {linear_width})};
  step.inputs = {value("x", ProgramValue::Role::data, "f32", {4, linear_width}),
                 value("y", ProgramValue::Role::data, "f32", {4}),
                 value("w", ProgramValue::Role::parameter, "f32", {linear_width}),
                 value("w.m", ProgramValue::Role::state, "f32", {linear_width}),
                 value("seed", ProgramValue::Role::seed, "i64", {}),
                 value("step", ProgramValue::Role::step, "i64", {})};
  step.outputs = {value("loss", ProgramValue::Role::result, "f32", {}),
                  value("w", ProgramValue::Role::update, "f32", {linear_width}, in_place ? 2 : -1),
                  value("w.m", ProgramValue::Role::update, "f32", {linear_width}, in_place ? 3 : -1)};
  return {with_buffers(initial, start), with_buffers(step, update<4>), evaluation};
}

// y = 1 x0 - 2 x1 + 0.5 x2; `bad` rows hold NaN.
inline DataSet points(std::int64_t rows, std::int64_t bad = -1) {
  const auto x = [](std::int64_t row, std::int64_t k) {
    return static_cast<float>(std::sin(static_cast<double>(row * (7 + k) + k * 3 + 1)));
  };
  DataSet data{"points", rows};
  data.columns = {{"x",
                   {"f32", {linear_width}},
                   [=](std::int64_t row, std::byte* to) {
                     for (std::int64_t k = 0; k < linear_width; ++k) {
                       const float v = row == bad ? NAN : x(row, k);
                       std::memcpy(to + 4 * k, &v, 4);
                     }
                   }},
                  {"y", {"f32", {}}, [=](std::int64_t row, std::byte* to) {
                     const float y = x(row, 0) - 2 * x(row, 1) + 0.5F * x(row, 2);
                     std::memcpy(to, &y, 4);
                   }}};
  return data;
}

struct TestRun {
  TestFolder folder;
  TrainSettings settings;
  std::atomic<bool> stop{false};
  TestRun() { settings = {"linear", "loss", 4, 5, {}, {}, 3, folder / "out", false, false, false}; }
  TrainResult train(const TrainPrograms& with = programs(), const DataSet& data = points(22),
                    const std::optional<DataSet>& test = points(6), int threads = 2) {
    ThreadPool pool(threads);
    return heed::train(with, data, test ? &*test : nullptr, settings, pool, stop);
  }
  std::string message(const TrainPrograms& with = programs(), const DataSet& data = points(22)) {
    return message_of([&] { train(with, data); }, folder.path());
  }
  std::string file(const char* name) const { return read_text(settings.folder + "/" + name); }
};

// Lines of a log without what depends on the clock.
inline std::string timeless(const std::string& log) {
  std::istringstream lines(log);
  std::string result;
  for (std::string line; std::getline(lines, line);) {
    auto json = nlohmann::ordered_json::parse(line);
    json.erase("seconds");
    json.erase("rate");
    result += json.dump() + "\n";
  }
  return result;
}

}  // namespace heed
