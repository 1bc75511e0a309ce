// NumPy's arrays as columns: rows along the first axis.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <filesystem>

#include "input_error.h"
#include "runtime/npy.h"
#include "runtime/readers/table.h"

namespace heed {
namespace {

void add_column(DataSet& data, const std::string& name, HostTensor tensor) {
  if (tensor.type.shape.empty()) throw InputError(fmt::format("{}: {} is a single number and has no rows", data.description, name));
  const std::int64_t rows = tensor.type.shape[0];
  if (!data.columns.empty() && rows != data.rows) {
    throw InputError(fmt::format("{}: {} has {} rows and {} has {}", data.description, data.columns[0].name, data.rows, name, rows));
  }
  data.rows = rows;
  const TensorType row{tensor.type.dtype, {tensor.type.shape.begin() + 1, tensor.type.shape.end()}};
  const auto bytes = static_cast<std::size_t>(row.bytes());
  const auto values = std::make_shared<const HostTensor>(std::move(tensor));
  data.columns.push_back({name, row, [values, bytes](std::int64_t k, std::byte* to) {
                            std::memcpy(to, values->data() + static_cast<std::size_t>(k) * bytes, bytes);
                          }});
}

// Every tenth row for testing, the others for training.
void take_split(DataSet& data, const std::string& split) {
  if (split == "all") return;
  const bool test = split == "test";
  const std::int64_t tested = data.rows / 10;
  for (Column& column : data.columns) {
    column.read = [test, read = std::move(column.read)](std::int64_t k, std::byte* to) { read(test ? k * 10 + 9 : k + k / 9, to); };
  }
  data.rows = test ? tested : data.rows - tested;
}

DataSet open_npy(const ReaderArguments& arguments) {
  const std::string &path = arguments.text("path"), &split = arguments.text("split");
  check_split("npy", split, {"train", "test", "all"});
  DataSet data{fmt::format("npy {}, {}", path, split)};
  std::vector<std::filesystem::path> files;
  std::error_code none;
  if (std::filesystem::is_directory(path, none)) {
    for (const auto& entry : std::filesystem::directory_iterator(path)) {
      if (entry.path().extension() == ".npy") files.push_back(entry.path());
    }
    std::sort(files.begin(), files.end());
    if (files.empty()) throw InputError(fmt::format("the folder {} holds no .npy file", path));
    for (const auto& file : files) add_column(data, file.stem().string(), read_npy(file.string()));
  } else {
    add_column(data, "x", read_npy(path));
  }
  take_split(data, split);
  check_not_empty(data);
  return data;
}

DataSet open_npz(const ReaderArguments& arguments) {
  const std::string &path = arguments.text("file"), &split = arguments.text("split");
  auto tensors = read_npz(path);
  const auto starts = [&](const std::string& prefix) {
    return std::ranges::any_of(tensors, [&](const auto& item) { return item.first.starts_with(prefix); });
  };
  // A file that holds several sets names them: train_images, test_images.
  const bool named = starts("train_") && starts("test_");
  check_split("npz", split,
              named && starts("val_") ? std::vector<std::string>{"train", "val", "test"}
              : named                 ? std::vector<std::string>{"train", "test"}
                                      : std::vector<std::string>{"train", "test", "all"});
  DataSet data{fmt::format("npz {}, {}", path, split)};
  for (auto& [name, tensor] : tensors) {
    if (named && !name.starts_with(split + "_")) continue;
    add_column(data, named ? name.substr(split.size() + 1) : name, std::move(tensor));
  }
  if (data.columns.empty()) throw InputError(fmt::format("{} holds no arrays", path));
  if (!named) take_split(data, split);
  check_not_empty(data);
  return data;
}

}  // namespace

Reader npy_reader() {
  using Kind = ReaderArgument::Kind;
  return {"npy",
          {{Kind::path, "path", std::string(), true, "a .npy file, or a folder of them"},
           {Kind::text, "split", std::string("all"), false, "all, test (every tenth row) or train (the others)"}},
          "NumPy's arrays, a row for each index of the first axis, values as they are. Columns: x, or of a folder one for each file by its "
          "name",
          open_npy};
}

Reader npz_reader() {
  using Kind = ReaderArgument::Kind;
  return {"npz",
          {{Kind::path, "file", std::string(), true, "the .npz file"},
           {Kind::text, "split", std::string("train"), false, "train, test or all; of a file with arrays named train_… and test_… those"}},
          "Several of NumPy's arrays in one file, values as they are. Columns: one for each array by its name, without train_ or test_; "
          "where no names "
          "tell the split, test is every tenth row",
          open_npz};
}

}  // namespace heed
