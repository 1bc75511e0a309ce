// Tests a model on a data set: every row once, means weighted by rows.
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <optional>

#include "runtime/bound_program.h"
#include "runtime/data.h"

namespace heed {

class Evaluator {
 public:
  using Compile = std::function<std::shared_ptr<const Program>(std::int64_t batch)>;
  Evaluator(Compile compile, const DataSet& data, std::int64_t batch, ThreadPool& pool);
  // `go_on` is asked after every batch; nothing comes back once it says no.
  using GoOn = std::function<bool(std::int64_t rows, std::int64_t of)>;
  std::optional<Metrics> run(const NamedTensors& values, std::int64_t seed, const GoOn& go_on);

 private:
  BoundProgram& program_for(std::int64_t batch);
  Compile compile_;
  const DataSet& data_;
  std::int64_t batch_;
  ThreadPool& pool_;
  std::map<std::int64_t, std::unique_ptr<BoundProgram>> programs_;  // by batch: the full one and what is left at the end
};

}  // namespace heed
