// Tests a model on a data set: every row once, means weighted by rows.
#include "runtime/evaluate.h"

#include <algorithm>
#include <span>

#include "input_error.h"
#include "runtime/batches.h"

namespace heed {

Evaluator::Evaluator(Compile compile, const DataSet& data, std::int64_t batch, ThreadPool& pool)
    : compile_(std::move(compile)), data_(data), batch_(batch), pool_(pool) {}

BoundProgram& Evaluator::program_for(std::int64_t batch) {
  auto& program = programs_[batch];
  if (!program) program = std::make_unique<BoundProgram>(compile_(batch), pool_, Prefetcher::batches);
  return *program;
}

std::optional<Metrics> Evaluator::run(const NamedTensors& values, std::int64_t seed, const GoOn& go_on) {
  NamedTensors kept;  // A test changes no state of the model: every batch starts from the same.
  for (const auto& [name, tensor] : values) kept.emplace(name, tensor.copy());
  const auto rows = rows_in_order(data_);
  const auto count = static_cast<std::int64_t>(rows.size());
  Metrics sums;
  std::int64_t tested = 0;
  const auto test = [&](std::int64_t begin, std::int64_t end, std::int64_t batch) {  // false: stopped
    if (begin == end) return true;
    BoundProgram& program = program_for(batch);
    program.forget();
    const auto inputs = bind_columns(data_, program.program(), batch);
    std::int64_t next = begin, done = 0;
    Prefetcher batches(inputs, [&](Batch& filled) {
      if (next == end) return false;
      fill_batch(data_, inputs, std::span(rows).subspan(static_cast<std::size_t>(next), static_cast<std::size_t>(batch)), filled.tensors);
      program.put_ahead(filled);
      next += batch;
      return true;
    });
    while (const auto* filled = batches.next()) {
      try {
        program.run(kept, *filled, seed, 0);
      } catch (const IndexFault& fault) {
        const auto these = std::span(rows).subspan(static_cast<std::size_t>(begin + done), static_cast<std::size_t>(batch));
        throw InputError(find_value(data_, inputs, these, filled->tensors, fault.index) + fault.what());
      }
      done += batch;
      for (const auto& output : program.program().outputs) {
        if (output.role != ProgramValue::Role::update) continue;
        kept.insert_or_assign(output.name, values.at(output.name).copy());
        program.forget(output.name);
      }
      const Metrics metrics = program.scalars();
      if (sums.empty()) {
        for (const auto& metric : metrics) sums.emplace_back(metric.first, 0.0);
      }
      for (std::size_t k = 0; k < metrics.size(); ++k) sums[k].second += metrics[k].second * static_cast<double>(batch);
      tested += batch;
      if (!go_on(tested, count)) return false;
    }
    return true;
  };
  const std::int64_t whole = count / batch_ * batch_;
  if (!test(0, whole, batch_) || !test(whole, count, count - whole)) return std::nullopt;
  for (auto& sum : sums) sum.second /= static_cast<double>(count);
  return sums;
}

Metrics evaluate(const std::function<std::shared_ptr<const Program>(std::int64_t batch)>& evaluation, const DataSet& data,
                 std::int64_t batch, const NamedTensors& values, std::int64_t seed, ThreadPool& pool) {
  return *Evaluator(evaluation, data, batch, pool).run(values, seed, [](std::int64_t, std::int64_t) { return true; });
}

}  // namespace heed
