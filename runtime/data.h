// A data set: rows of named columns, each row to be had at any time and from any thread.
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "runtime/program.h"

namespace heed {

struct Column {
  std::string name;
  TensorType row;                                             // of one row: image f32[3, 32, 32], label i32
  std::function<void(std::int64_t row, std::byte* to)> read;  // writes row.bytes()
};

struct DataSet {
  std::string description;  // for messages: "cifar10 data/cifar10, train"
  std::int64_t rows = 0;    // more than 0
  // Rows that overlap (windows of a text): an epoch takes every stride-th, from a first one drawn for each epoch.
  std::int64_t stride = 1;
  std::vector<Column> columns;
};

// Rows that one epoch visits.
std::int64_t rows_of_epoch(const DataSet& data);

// The column that feeds a model's input: the one of its name; else `labels`, `y`, `target`, `targets`, `class` for `label` and the
// other way round, `images` for `image`; else, for an input named x, input or image, the only column besides label.
// Throws InputError that lists what there is.
const Column& column_for(const DataSet& data, const std::string& input);

// Whether a column's rows can be rows of an input: as many elements (the shape may differ), integers to any numbers, floating
// values to floating ones. Throws InputError that names both types.
void check_fits(const DataSet& data, const Column& column, const std::string& input, const TensorType& row);

}  // namespace heed
