// The training loop: batches, epochs, tests, the log, checkpoints.
#pragma once
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "runtime/data.h"
#include "runtime/execute.h"
#include "runtime/tensor.h"

namespace heed {

// Compiled programs of one model. The first axis of every data input is the batch.
struct TrainPrograms {
  // Inputs: the seed. Outputs, by name: the first value of every parameter and state of `step`.
  std::shared_ptr<const Program> initial;
  // Inputs: data, parameters, states, seed, step. Outputs: results (scalars are logged) and the update of every parameter and state.
  std::shared_ptr<const Program> step;
  // The model without training at some batch size: data, parameters and states in, scalars out. Called for the batch and for what
  // is left of the test set.
  std::function<std::shared_ptr<const Program>(std::int64_t batch)> evaluation;
};

struct TrainSettings {
  std::string model;     // its name, kept in checkpoints
  std::string minimize;  // the result that is the loss
  std::int64_t batch = 0;
  std::optional<std::int64_t> epochs, steps;  // the run ends at the first that is reached
  std::optional<std::int64_t> until;          // stops at this step without a test, to be resumed: a cut, where `steps` is an end
  std::int64_t seed = 0;
  std::string folder;    // checkpoint.safetensors, weights.safetensors, log.jsonl and curve.svg go there
  bool resume = false;   // go on from the folder's checkpoint
  bool json = false;     // the lines of the log go to standard output as well
  bool profile = false;  // print where the time went
  std::string trace;     // a file for the trace of the first steps; empty: none
};

using Metrics = std::vector<std::pair<std::string, double>>;  // in the order of the program's outputs

struct TrainResult {
  bool interrupted = false;  // a checkpoint was written
  std::int64_t step = 0;
  Metrics test;  // of the last test; empty without test data
};

// Trains until the end or until `stop` becomes true: then the step is finished and a checkpoint written. Throws InputError.
TrainResult train(const TrainPrograms& programs, const DataSet& data, const DataSet* test, const TrainSettings& settings, ThreadPool& pool,
                  const std::atomic<bool>& stop);

// The scalar results over a whole data set, means weighted by rows. `values` holds the parameters and states by name.
Metrics evaluate(const std::function<std::shared_ptr<const Program>(std::int64_t batch)>& evaluation, const DataSet& data,
                 std::int64_t batch, const NamedTensors& values, std::int64_t seed, ThreadPool& pool);

// Weights for `heed eval` and `heed run`: those of a checkpoint or of a weights file, checked against what a program takes (its
// parameters and states). Throws InputError that names what is missing, of another shape, or too much.
NamedTensors load_weights(const std::string& path, const Program& program);

}  // namespace heed
