// Where a NaN came from: the values of some steps ago are kept, and from there the steps are run again, looking into every kernel.
#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "runtime/batches.h"
#include "runtime/bound_program.h"

namespace heed {

class NanSearch {
 public:
  NanSearch(BoundProgram& program, const std::vector<BoundInput>& inputs, const NamedTensors& values, std::int64_t step, std::int64_t seed);

  // After each step: copies the values from time to time, so that a search has few steps to repeat.
  void keep(NamedTensors& values, std::int64_t step);

  // Runs the steps after the kept values again, up to `step`, and says in words where the first NaN came from.
  std::string find(std::int64_t step, const std::function<void(std::int64_t step, Batch& batch)>& fill);

 private:
  BoundProgram& program_;
  const std::vector<BoundInput>& inputs_;
  NamedTensors kept_;
  std::int64_t kept_step_, seed_;
};

}  // namespace heed
