// What train, eval and bench make of a model's train block.
#pragma once
#include <memory>
#include <optional>

#include "runtime/data.h"
#include "runtime/train.h"
#include "tools/programs.h"

namespace heed {

// A data set as the block names it. Throws InputError with the place in the file.
DataSet open_data(const DataCall& call);

// A row of the data is a row of the model's inputs: what that says of symbols.
void bind_data(Model& model, const TrainBlock& block, const DataSet& data);

// The model without training, at any batch size: compiled when it is first asked for.
std::function<std::shared_ptr<const Program>(std::int64_t)> evaluation_programs(const Model& model, const RunOptions& options,
                                                                                bool verbose);

}  // namespace heed
