// Text as bytes, each to be foretold from those before it.
#include <fmt/format.h>

#include <cstring>

#include "input_error.h"
#include "runtime/files.h"
#include "runtime/readers/table.h"

namespace heed {
namespace {

DataSet open(const ReaderArguments& arguments) {
  const std::string &file = arguments.text("file"), &split = arguments.text("split");
  const std::int64_t length = arguments.whole_number("length");
  check_split("text", split, {"train", "test", "all"});
  if (length < 1) throw InputError(fmt::format("the length of a sequence of text is at least 1, not {}", length));
  const auto bytes = std::make_shared<Bytes>(read_packed(file));
  const auto size = static_cast<std::int64_t>(bytes->size());
  const std::int64_t cut = size - size / 10;  // The last tenth is for testing.
  const std::int64_t begin = split == "test" ? cut : 0, end = split == "train" ? cut : size;
  if (size == 0) throw InputError(fmt::format("{} is an empty data set: the file has no bytes", file));
  if (end - begin < length + 1) {
    throw InputError(
        fmt::format("a sequence of length {} needs {} bytes and the {} split of {} has {}: make length smaller or the text longer", length,
                    length + 1, split, file, end - begin));
  }
  const auto read_from = [bytes, length](std::int64_t start, std::byte* to) {
    for (std::int64_t k = 0; k < length; ++k) {
      const auto value = static_cast<std::int32_t>((*bytes)[static_cast<std::size_t>(start + k)]);
      std::memcpy(to + k * 4, &value, 4);
    }
  };
  DataSet data{fmt::format("text {}, {}", file, split), end - begin - length, length};
  data.columns = {
      {"tokens", {"i32", {length}}, [=](std::int64_t row, std::byte* to) { read_from(begin + row, to); }},
      {"next", {"i32", {length}}, [=](std::int64_t row, std::byte* to) { read_from(begin + row + 1, to); }},
  };
  return data;
}

}  // namespace

Reader text_reader() {
  using Kind = ReaderArgument::Kind;
  return {
      "text",
      {{Kind::path, "file", std::string(), true, "the text, plain, .gz or .xz"},
       {Kind::whole_number, "length", std::int64_t{0}, true, "bytes of a sequence"},
       {Kind::text, "split", std::string("train"), false, "train (all but the last tenth of the file), test (the last tenth) or all"}},
      "A text as bytes. Columns: tokens i32[length] and next i32[length], the bytes one further on. An epoch goes once through the text, "
      "beginning at another byte each time",
      open};
}

}  // namespace heed
