// Which column of a data set feeds which input of a model.
#include "runtime/data.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <ranges>

#include "input_error.h"
#include "runtime/tensor.h"

namespace heed {
namespace {

constexpr std::array label_names = {"label", "labels", "y", "target", "targets", "class"};
constexpr std::array whole_names = {"x", "input", "image", "images"};

bool one_of(const auto& names, const std::string& name) { return std::ranges::find(names, name) != names.end(); }

std::string list(const DataSet& data) {
  std::vector<std::string> texts;
  texts.reserve(data.columns.size());
  for (const Column& column : data.columns) texts.push_back(fmt::format("{}: {}", column.name, text_of(column.row)));
  return fmt::format("{}", fmt::join(texts, ", "));
}

}  // namespace

std::int64_t rows_of_epoch(const DataSet& data) { return std::max<std::int64_t>(data.rows / data.stride, 1); }

const Column& column_for(const DataSet& data, const std::string& input) {
  const Column* alias = nullptr;
  const Column* rest = nullptr;
  std::size_t others = 0;
  for (const Column& column : data.columns) {
    if (column.name == input) return column;
    const bool label = one_of(label_names, column.name);
    if (one_of(label_names, input) && label) alias = &column;
    if (input.size() + 1 == column.name.size() && column.name.starts_with(input) && column.name.back() == 's') alias = &column;
    if (label) continue;
    rest = &column;
    ++others;
  }
  if (alias) return *alias;
  if (one_of(whole_names, input) && others == 1) return *rest;
  throw InputError(fmt::format("{} has no column for the model's input {}; it has {}: name the input after one of them", data.description,
                               input, list(data)));
}

void check_fits(const DataSet& data, const Column& column, const std::string& input, const TensorType& row) {
  const auto fail = [&](const char* why) {
    throw InputError(fmt::format("{}: the column {} has rows of {} and the model's input {} takes rows of {}: {}", data.description,
                                 column.name, text_of(column.row), input, text_of(row), why));
  };
  if (element_count(column.row.shape) != element_count(row.shape)) fail("they must have as many elements");
  if (element_type(column.row.dtype).floating && !element_type(row.dtype).floating) fail("floating values do not become integers");
}

}  // namespace heed
