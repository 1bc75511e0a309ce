// CIFAR-10's binary batches: records of one byte of label and 3 x 32 x 32 bytes of colour planes.
#include <fmt/format.h>

#include <future>

#include "input_error.h"
#include "runtime/files.h"
#include "runtime/readers/pixels.h"
#include "runtime/readers/table.h"

namespace heed {
namespace {

constexpr std::int64_t pixels = 3072, record = 1 + pixels;

Bytes read_batch(const std::string& path) {
  Bytes bytes = read_packed(path);
  if (bytes.size() % record != 0) {
    throw InputError(
        fmt::format("{} is truncated or no CIFAR-10 batch: its {} bytes are no multiple of a record's {}", path, bytes.size(), record));
  }
  for (std::size_t k = 0; k < bytes.size(); k += record) {
    if (const auto label = static_cast<int>(bytes[k]); label > 9) {
      throw InputError(fmt::format("{}: label {} of record {} is out of range 0 … 9: this is no CIFAR-10 batch", path, label, k / record));
    }
  }
  return bytes;
}

DataSet open(const ReaderArguments& arguments) {
  const std::string &folder = arguments.text("folder"), &split = arguments.text("split");
  check_split("cifar10", split, {"train", "test"});
  static const std::vector<std::string> training = {"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin",
                                                    "data_batch_5.bin"};
  static const std::vector<std::string> testing = {"test_batch.bin"};
  std::vector<std::future<Bytes>> batches;  // Unpacking takes seconds: all at once.
  for (const auto& name : split == "train" ? training : testing) {
    batches.push_back(std::async(std::launch::async, read_batch, fmt::format("{}/{}", folder, name)));
  }
  const auto records = std::make_shared<Bytes>();
  for (auto& batch : batches) {
    const Bytes bytes = batch.get();
    records->insert(records->end(), bytes.begin(), bytes.end());
  }
  DataSet data{fmt::format("cifar10 {}, {}", folder, split), static_cast<std::int64_t>(records->size()) / record};
  check_not_empty(data);
  data.columns = {
      {"image",
       {"f32", {3, 32, 32}},
       [records](std::int64_t row, std::byte* to) { scale_pixels(records->data() + row * record + 1, pixels, to); }},
      {"label",
       {"i32", {}},
       [records](std::int64_t row, std::byte* to) { widen_label((*records)[static_cast<std::size_t>(row * record)], to); }},
  };
  return data;
}

}  // namespace

Reader cifar10_reader() {
  using Kind = ReaderArgument::Kind;
  return {"cifar10",
          {{Kind::path, "folder", std::string(), true,
            "the folder with data_batch_1.bin … data_batch_5.bin and test_batch.bin, plain, .gz or .xz"},
           {Kind::text, "split", std::string("train"), false, "train or test"}},
          "CIFAR-10 in its binary format. Columns: image f32[3, 32, 32] from 0 to 1, label i32",
          open};
}

}  // namespace heed
