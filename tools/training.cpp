// Data sets and evaluation programs of a train block.
#include "tools/training.h"

#include <fmt/format.h>

#include <map>

#include "input_error.h"
#include "runtime/readers.h"
#include "tools/command.h"

namespace heed {

DataSet open_data(const DataCall& call) {
  std::vector<std::pair<std::string, ReaderValue>> arguments(call.arguments.begin(), call.arguments.end());
  try {
    return open_data(call.reader, arguments, call.folder);
  } catch (const InputError& error) {
    throw UserError(fmt::format("{}:{}: {}", call.span.file ? call.span.file->name : "", call.span.line, error.what()));
  }
}

void bind_data(Model& model, const TrainBlock& block, const DataSet& data) {
  std::map<std::string, std::vector<std::int64_t>> shapes;
  for (const EntryInfo& entry : entries(model.module())) {
    if (entry.name != block.model) continue;
    for (const std::string& input : entry.inputs) {
      std::vector<std::int64_t>& shape = shapes[input];
      shape = column_for(data, input).row.shape;
      shape.insert(shape.begin(), block.batch);
    }
  }
  model.bind_shapes(shapes);
}

std::function<std::shared_ptr<const Program>(std::int64_t)> evaluation_programs(const Model& model, const RunOptions& options,
                                                                                bool verbose) {
  auto made = std::make_shared<std::map<std::int64_t, std::shared_ptr<const Program>>>();
  return [&model, options, verbose, made](std::int64_t batch) {
    std::shared_ptr<const Program>& program = (*made)[batch];
    if (!program) program = compile_graph(model.elaborate_at_batch(batch).graph, options, verbose).program;
    return program;
  };
}

}  // namespace heed
