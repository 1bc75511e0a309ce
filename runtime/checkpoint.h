// What a training run leaves to go on from: values, optimizer states and its place in the data.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "runtime/program.h"
#include "runtime/tensor.h"

namespace heed {

struct Checkpoint {
  std::string model;
  std::int64_t step = 0;  // updates done; with batch and rows it is the place in the data
  std::int64_t seed = 0, batch = 0;
  std::int64_t rows = 0;  // of an epoch
  bool tested = false;    // whether the test that follows this step was made
  NamedTensors values;    // parameters and states
};

// Replaces the file whole, or throws InputError and leaves what was there.
void write_checkpoint(const std::string& path, const Checkpoint& checkpoint, const std::vector<std::string>& parameters);

// Throws InputError: missing, damaged, newer, or no checkpoint.
Checkpoint read_checkpoint(const std::string& path);

// Throws InputError that names what differs from the parameters and states of a program: lacking, of another type, too many.
void check_values(const std::string& path, const NamedTensors& values, const Program& program);

// Only what a program takes: for running and testing.
void write_weights(const std::string& path, const NamedTensors& values, const Program& program);

}  // namespace heed
