// Tests a model on a data set: every row once, means weighted by rows.
#pragma once
#include <functional>
#include <map>
#include <memory>

#include "runtime/bound_program.h"
#include "runtime/data.h"

namespace heed {

class Evaluator {
 public:
  using Compile = std::function<std::shared_ptr<const Program>(std::int64_t batch)>;
  Evaluator(Compile compile, const DataSet& data, std::int64_t batch, ThreadPool& pool);
  Metrics run(const NamedTensors& values, std::int64_t seed);

 private:
  BoundProgram& program_for(std::int64_t batch);
  Compile compile_;
  const DataSet& data_;
  std::int64_t batch_;
  ThreadPool& pool_;
  std::map<std::int64_t, std::unique_ptr<BoundProgram>> programs_;  // by batch: the full one and what is left at the end
};

}  // namespace heed
