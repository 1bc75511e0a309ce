// From rows of a data set to the data inputs of a program: order, conversion, checks, and a thread that works ahead.
#pragma once
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "runtime/data.h"
#include "runtime/tensor.h"

namespace heed {

// The rows of one epoch of training in their order: a function of seed and epoch (from 0) alone.
std::vector<std::int64_t> shuffled_rows(const DataSet& data, std::int64_t seed, std::int64_t epoch);
// Every row once, in the order of the file; of overlapping rows those that together cover all.
std::vector<std::int64_t> rows_in_order(const DataSet& data);

struct BoundInput {
  std::size_t input;  // of the program
  const Column* column;
  ProgramValue value;
  TensorType row;  // of the input
};

// Finds a column for every data input of a program that takes `batch` rows. Throws InputError.
std::vector<BoundInput> bind_columns(const DataSet& data, const Program& program, std::int64_t batch);

// Rows for one run of a program.
struct Batch {
  std::vector<HostTensor> tensors;  // its data inputs in its order
  std::size_t number = 0;           // of the batches that are held at once
  bool is_ahead = false;            // on its way to the device, or there (BoundProgram::put_ahead)
};

// Memory for one batch, in the order of the bound inputs.
std::vector<HostTensor> make_batch(const std::vector<BoundInput>& inputs);

// Reads rows into a batch. Throws InputError for an integer outside of its input's range, or that its type does not hold.
void fill_batch(const DataSet& data, const std::vector<BoundInput>& inputs, std::span<const std::int64_t> rows,
                std::vector<HostTensor>& batch);

// Where in a batch an integer stands, in words: "points: label 12 in row 7; "; empty if it is not there.
std::string find_value(const DataSet& data, const std::vector<BoundInput>& inputs, std::span<const std::int64_t> rows,
                       const std::vector<HostTensor>& batch, std::int64_t value);

// Fills batch after batch in a thread of its own, a few ahead of their use.
class Prefetcher {
 public:
  using Fill = std::function<bool(Batch& batch)>;  // false: there are no more
  Prefetcher(const std::vector<BoundInput>& inputs, Fill fill);
  ~Prefetcher();
  Prefetcher(const Prefetcher&) = delete;
  Prefetcher& operator=(const Prefetcher&) = delete;

  // The next batch, valid until the next call; null when there are no more. Throws what `fill` threw.
  const Batch* next();

  static constexpr std::size_t batches = 3;  // held at once

 private:
  void work();
  Fill fill_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Batch> empty_, full_;
  std::optional<Batch> lent_;
  bool stopping_ = false, ended_ = false;
  std::exception_ptr error_;
  std::thread thread_;
};

}  // namespace heed
