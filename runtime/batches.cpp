// From rows of a data set to the data inputs of a program: order, conversion, checks, and a thread that works ahead.
#include "runtime/batches.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <numeric>

#include "input_error.h"
#include "runtime/random.h"

namespace heed {
namespace {

// Integers that an input takes: its own range within that of its type.
IndexRange allowed(const ProgramValue& value) {
  const auto& type = element_type(value.type.dtype);
  const IndexRange own = value.range.value_or(IndexRange{type.lowest, type.highest});
  return {std::max(own.low, type.lowest), std::min(own.high, type.highest)};
}

void check_range(const DataSet& data, const BoundInput& input, std::int64_t row, const std::byte* from) {
  const IndexRange range = allowed(input.value);
  const auto& type = element_type(input.column->row.dtype);
  if (type.lowest >= range.low && type.highest <= range.high) return;
  const std::int64_t count = element_count(input.column->row.shape);
  for (std::int64_t k = 0; k < count; ++k) {
    const std::int64_t value = integer_at(type.name, from + k * type.bytes);
    if (value >= range.low && value <= range.high) continue;
    throw InputError(fmt::format("{}: {} {} in row {} is out of range: the model's input {} takes {} … {}", data.description,
                                 input.column->name, value, row, input.value.name, range.low, range.high));
  }
}

}  // namespace

std::vector<std::int64_t> shuffled_rows(const DataSet& data, std::int64_t seed, std::int64_t epoch) {
  const std::uint64_t key = random_bits(random_bits(static_cast<std::uint64_t>(seed), 0x6f72646572), static_cast<std::uint64_t>(epoch));
  const auto count = static_cast<std::uint64_t>(rows_of_epoch(data));
  const auto first = static_cast<std::int64_t>(random_below(key, count, static_cast<std::uint64_t>(std::min(data.stride, data.rows))));
  std::vector<std::int64_t> rows(count);
  for (std::uint64_t k = 0; k < count; ++k) rows[k] = first + static_cast<std::int64_t>(k) * data.stride;
  for (std::uint64_t k = count; k > 1; --k) std::swap(rows[k - 1], rows[random_below(key, k - 2, k)]);
  return rows;
}

std::vector<std::int64_t> rows_in_order(const DataSet& data) {
  std::vector<std::int64_t> rows;
  for (std::int64_t row = 0; row < data.rows; row += data.stride) rows.push_back(row);
  return rows;
}

std::vector<BoundInput> bind_columns(const DataSet& data, const Program& program, std::int64_t batch) {
  std::vector<BoundInput> inputs;
  for (std::size_t k = 0; k < program.inputs.size(); ++k) {
    const ProgramValue& value = program.inputs[k];
    if (value.role != ProgramValue::Role::data) continue;
    const Column& column = column_for(data, value.name);
    if (value.type.shape.empty() || value.type.shape[0] != batch) {
      throw InputError(fmt::format("the model's input {}: {} cannot take a batch of {} rows: its first axis must be the batch", value.name,
                                   text_of(value.type), batch));
    }
    const TensorType row{value.type.dtype, {value.type.shape.begin() + 1, value.type.shape.end()}};
    check_fits(data, column, value.name, row);
    inputs.push_back({k, &column, value, row});
  }
  return inputs;
}

std::vector<HostTensor> make_batch(const std::vector<BoundInput>& inputs) {
  std::vector<HostTensor> batch;
  batch.reserve(inputs.size());
  for (const auto& input : inputs) batch.emplace_back(input.value.type);
  return batch;
}

void fill_batch(const DataSet& data, const std::vector<BoundInput>& inputs, std::span<const std::int64_t> rows,
                std::vector<HostTensor>& batch) {
  std::vector<std::byte> read;
  for (std::size_t k = 0; k < inputs.size(); ++k) {
    const BoundInput& input = inputs[k];
    const TensorType& from = input.column->row;
    const std::int64_t bytes = input.row.bytes(), count = element_count(from.shape);
    const bool integers = !element_type(from.dtype).floating && !element_type(input.row.dtype).floating;
    read.resize(static_cast<std::size_t>(from.bytes()));
    std::byte* to = batch[k].data();
    for (const std::int64_t row : rows) {
      std::byte* const target = from.dtype == input.row.dtype ? to : read.data();
      input.column->read(row, target);
      if (integers) check_range(data, input, row, target);
      if (target != to) convert_elements(from.dtype, target, input.row.dtype, to, count);
      to += bytes;
    }
  }
}

std::string find_value(const DataSet& data, const std::vector<BoundInput>& inputs, std::span<const std::int64_t> rows,
                       const std::vector<HostTensor>& batch, std::int64_t value) {
  for (std::size_t k = 0; k < inputs.size(); ++k) {
    const auto& type = element_type(inputs[k].row.dtype);
    const std::int64_t in_row = element_count(inputs[k].row.shape);
    if (!type.integer) continue;
    for (std::int64_t at = 0; at < static_cast<std::int64_t>(rows.size()) * in_row; ++at) {
      if (integer_at(type.name, batch[k].data() + at * type.bytes) != value) continue;
      return fmt::format("{}: {} {} in row {}; ", data.description, inputs[k].column->name, value,
                         rows[static_cast<std::size_t>(at / in_row)]);
    }
  }
  return "";
}

Prefetcher::Prefetcher(const std::vector<BoundInput>& inputs, Fill fill) : fill_(std::move(fill)) {
  for (std::size_t k = 0; k < batches; ++k) empty_.push_back({make_batch(inputs), k});
  thread_ = std::thread([this] { work(); });
}

Prefetcher::~Prefetcher() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void Prefetcher::work() {
  while (true) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return stopping_ || !empty_.empty(); });
    if (stopping_) return;
    auto batch = std::move(empty_.front());
    empty_.pop_front();
    lock.unlock();
    batch.is_ahead = false;
    bool more = false;
    std::exception_ptr error;
    try {
      more = fill_(batch);
    } catch (...) {
      error = std::current_exception();
    }
    lock.lock();
    if (more) full_.push_back(std::move(batch));
    error_ = error;
    ended_ = !more;
    changed_.notify_all();
    if (!more) return;
  }
}

const Batch* Prefetcher::next() {
  std::unique_lock lock(mutex_);
  if (lent_) {
    empty_.push_back(std::move(*lent_));
    lent_.reset();
    changed_.notify_all();
  }
  changed_.wait(lock, [&] { return ended_ || !full_.empty(); });
  if (full_.empty()) {
    if (error_) std::rethrow_exception(error_);
    return nullptr;
  }
  lent_ = std::move(full_.front());
  full_.pop_front();
  return &*lent_;
}

}  // namespace heed
