// Every data reader: what it reads, plain and packed, and what it says of wrong files and arguments.
#include "runtime/readers.h"

#include <lzma.h>
#include <zlib.h>

#include <cstring>

#include "runtime/batches.h"
#include "runtime/npy.h"
#include "tests/runtime/folder.h"

namespace heed {
namespace {

using Arguments = std::vector<std::pair<std::string, ReaderValue>>;

std::string gzipped(const std::string& text) {
  z_stream stream{};
  deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
  std::string packed(text.size() + 100, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(packed.data());
  stream.avail_out = static_cast<uInt>(packed.size());
  deflate(&stream, Z_FINISH);
  packed.resize(stream.total_out);
  deflateEnd(&stream);
  return packed;
}

std::string xz(const std::string& text) {
  std::string packed(text.size() + 1000, '\0');
  std::size_t used = 0;
  EXPECT_EQ(lzma_easy_buffer_encode(6, LZMA_CHECK_CRC64, nullptr, reinterpret_cast<const std::uint8_t*>(text.data()), text.size(),
                                    reinterpret_cast<std::uint8_t*>(packed.data()), &used, packed.size()),
            LZMA_OK);
  packed.resize(used);
  return packed;
}

std::vector<double> row_of(const DataSet& data, const std::string& name, std::int64_t row) {
  const Column& column = column_for(data, name);
  const HostTensor tensor(column.row);
  column.read(row, tensor.data());
  std::vector<double> values;
  const auto& type = element_type(column.row.dtype);
  for (std::int64_t k = 0; k < element_count(column.row.shape); ++k)
    values.push_back(floating_at(type.name, tensor.data() + k * type.bytes));
  return values;
}

std::string message(const TestFolder& folder, const std::string& reader, const Arguments& arguments) {
  return message_of([&] { open_data(reader, arguments, folder.path()); }, folder.path());
}

std::string record(int label, int colour) {
  return std::string(1, static_cast<char>(label)) + std::string(3072, static_cast<char>(colour));
}

TEST(Readers, Cifar10PlainAndPacked) {
  const TestFolder folder;
  const std::string test = record(3, 255) + record(9, 51);
  folder.write("test_batch.bin", test);
  for (int k = 1; k <= 5; ++k) folder.write("data_batch_" + std::to_string(k) + ".bin.xz", xz(record(k, k)));
  const auto data = open_data("cifar10", {{"", folder.path()}, {"split", std::string("test")}}, "");
  EXPECT_EQ(data.rows, 2);
  EXPECT_EQ(row_of(data, "label", 1)[0], 9);
  EXPECT_EQ(row_of(data, "image", 0)[3071], 1.0);
  EXPECT_FLOAT_EQ(static_cast<float>(row_of(data, "image", 1)[0]), 0.2F);
  EXPECT_EQ(column_for(data, "x").row, (TensorType{"f32", {3, 32, 32}}));
  const auto train = open_data("cifar10", {{"", std::string(".")}}, folder.path());
  EXPECT_EQ(train.rows, 5);
  EXPECT_EQ(row_of(train, "label", 4)[0], 5);
  const Arguments here = {{"folder", std::string(".")}, {"split", std::string("test")}};
  folder.write("test_batch.bin", gzipped(test));
  EXPECT_EQ(message(folder, "cifar10", here), "no error");
  folder.write("test_batch.bin", test.substr(0, 4000));
  EXPECT_EQ(message(folder, "cifar10", here),
            "test_batch.bin is truncated or no CIFAR-10 batch: its 4000 bytes are no multiple of a record's 3073");
  folder.write("test_batch.bin", record(1, 0) + record(10, 0));
  EXPECT_EQ(message(folder, "cifar10", here), "test_batch.bin: label 10 of record 1 is out of range 0 … 9: this is no CIFAR-10 batch");
  folder.write("test_batch.bin", "");
  EXPECT_NE(message(folder, "cifar10", here).find("is an empty data set: it has no rows"), std::string::npos);
  std::filesystem::remove(folder / "test_batch.bin");
  EXPECT_EQ(message(folder, "cifar10", here), "test_batch.bin is missing, and so are test_batch.bin.gz and test_batch.bin.xz");
  folder.write("data_batch_3.bin.xz", xz(record(3, 3)).substr(0, 40));
  EXPECT_EQ(message(folder, "cifar10", {{"", std::string(".")}}), "data_batch_3.bin.xz is truncated: its xz data end after 40 bytes");
  std::string damaged = xz(record(3, 3));
  damaged[damaged.size() / 2] ^= 1;
  folder.write("data_batch_3.bin.xz", damaged);
  EXPECT_EQ(message(folder, "cifar10", {{"", std::string(".")}}), "data_batch_3.bin.xz is damaged: its xz data cannot be unpacked");
}

std::string idx(const std::vector<int>& shape, const std::string& data) {
  std::string file = {'\0', '\0', '\x8', static_cast<char>(shape.size())};
  for (const int size : shape) file += {'\0', '\0', static_cast<char>(size >> 8), static_cast<char>(size)};
  return file + data;
}

TEST(Readers, MnistImagesAndLabels) {
  const TestFolder folder;
  folder.write("train-images-idx3-ubyte.gz", gzipped(idx({2, 2, 3}, std::string("\0\1\2\3\4\5\xff\1\2\3\4\5", 12))));
  folder.write("train-labels-idx1-ubyte", idx({2}, "\7\3"));
  const Arguments here = {{"", std::string(".")}};
  const auto data = open_data("mnist", here, folder.path());
  EXPECT_EQ(data.rows, 2);
  EXPECT_EQ(column_for(data, "image").row, (TensorType{"f32", {2, 3}}));
  EXPECT_EQ(row_of(data, "x", 1)[0], 1.0);
  EXPECT_EQ(row_of(data, "label", 0)[0], 7);
  folder.write("train-labels-idx1-ubyte", idx({3}, "\7\3\1"));
  EXPECT_EQ(message(folder, "mnist", here), "train-images-idx3-ubyte has 2 images and train-labels-idx1-ubyte has 3 labels");
  folder.write("train-labels-idx1-ubyte", idx({3}, "\7\3"));
  EXPECT_EQ(message(folder, "mnist", here), "train-labels-idx1-ubyte is truncated: [3] are 3 bytes and 2 are there");
  folder.write("train-labels-idx1-ubyte", idx({3}, "").substr(0, 6));
  EXPECT_EQ(message(folder, "mnist", here), "train-labels-idx1-ubyte is truncated: it ends after 6 bytes, in its header");
  folder.write("train-labels-idx1-ubyte", "label,pixel\n1,2");
  EXPECT_EQ(message(folder, "mnist", here),
            "train-labels-idx1-ubyte is no IDX file of bytes with 1 axes: it begins with 6c 61 62 65, not 00 00 08 01");
  folder.write("train-images-idx3-ubyte.gz", gzipped(idx({0, 2, 3}, "")));
  folder.write("train-labels-idx1-ubyte", idx({0}, ""));
  EXPECT_NE(message(folder, "mnist", here).find("is an empty data set"), std::string::npos);
  folder.write("train-images-idx3-ubyte.gz", gzipped(idx({2, 2, 3}, "")).substr(0, 20));
  EXPECT_EQ(message(folder, "mnist", here), "train-images-idx3-ubyte.gz is truncated: its gzip data end after 20 bytes");
}

TEST(Readers, TextAsBytes) {
  const TestFolder folder;
  std::string text;
  for (int k = 0; k < 100; ++k) text += static_cast<char>(k + 100);
  folder.write("a.txt", text);
  const auto open = [&](const char* split, std::int64_t length) {
    return open_data("text", {{"", std::string("a.txt")}, {"length", length}, {"split", std::string(split)}}, folder.path());
  };
  const auto train = open("train", 8), test = open("test", 4);
  EXPECT_EQ(train.rows, 82);
  EXPECT_EQ(rows_of_epoch(train), 10);
  EXPECT_EQ(row_of(train, "tokens", 81), (std::vector<double>{181, 182, 183, 184, 185, 186, 187, 188}));
  EXPECT_EQ(row_of(train, "next", 81)[7], 189);
  EXPECT_EQ(row_of(test, "tokens", 0)[0], 190);
  EXPECT_EQ(row_of(test, "next", test.rows - 1)[3], 199);
  EXPECT_EQ(rows_in_order(test), (std::vector<std::int64_t>{0, 4}));
  EXPECT_EQ(message(folder, "text", {{"", std::string("a.txt")}, {"length", std::int64_t{90}}}),
            "a sequence of length 90 needs 91 bytes and the train split of a.txt has 90: make length smaller or the text longer");
  EXPECT_EQ(message(folder, "text", {{"", std::string("a.txt")}, {"", std::int64_t{0}}}),
            "the length of a sequence of text is at least 1, not 0");
  folder.write("a.txt", "");
  EXPECT_EQ(message(folder, "text", {{"", std::string("a.txt")}, {"", std::int64_t{4}}}),
            "a.txt is an empty data set: the file has no bytes");
}

TEST(Readers, CsvTables) {
  const TestFolder folder;
  folder.write("a.csv", "\xef\xbb\xbfid,\"sepal, cm\",kind\r\n1,0.5,\"b\"\r\n2,-1e3,a\r\n\r\n3,+2,\"b\"");
  const auto data =
      open_data("csv", {{"", std::string("a.csv")}, {"label", std::string("kind")}, {"ignore", std::string("id")}}, folder.path());
  EXPECT_EQ(data.rows, 3);
  EXPECT_EQ(row_of(data, "sepal__cm", 1)[0], -1000);
  EXPECT_EQ(row_of(data, "label", 0)[0], 1);
  EXPECT_EQ(row_of(data, "label", 1)[0], 0);
  EXPECT_EQ(column_for(data, "x").row, (TensorType{"f32", {1}}));
  std::string many = "v\n";
  for (int k = 0; k < 25; ++k) many += std::to_string(k) + "\n";
  folder.write("many.csv", many);
  const auto split = [&](const char* name) {
    return open_data("csv", {{"", std::string("many.csv")}, {"split", std::string(name)}}, folder.path());
  };
  EXPECT_EQ(split("test").rows, 2);
  EXPECT_EQ(row_of(split("test"), "v", 1)[0], 19);
  EXPECT_EQ(split("train").rows, 23);
  EXPECT_EQ(row_of(split("train"), "v", 9)[0], 10);
  const auto wrong = [&](const std::string& text, Arguments more = {}) {
    folder.write("a.csv", text);
    more.insert(more.begin(), {"", std::string("a.csv")});
    return message(folder, "csv", more);
  };
  EXPECT_EQ(wrong("a,b\n1,2\n3\n"), "a.csv:3: 1 fields in a table of 2 columns");
  EXPECT_EQ(wrong("a,b\n1,\"2\n"), "a.csv:2: a quoted field is not closed");
  EXPECT_EQ(wrong("a,b\n1,2\n3,\n"),
            "a.csv:3: the column b has nothing where others have numbers or names: fill it in, or leave the column out by ignore = \"b\"");
  EXPECT_EQ(wrong("a,b\n1,2\n3,oops\n"),
            "a.csv:3: the column b has \"oops\" where others have numbers or names: fill it in, or leave the column out by ignore = \"b\"");
  EXPECT_EQ(wrong("a,width\n1,2\n", {{"label", std::string("widht")}}),
            "a.csv has no column widht; did you mean `width`? (it has a, width)");
  EXPECT_EQ(wrong("a,b\n"), "csv a.csv, all is an empty data set: it has no rows");
  EXPECT_EQ(wrong("a,a\n1,2\n"), "a.csv has two columns named a: rename one, or leave one out by ignore");
}

TEST(Readers, NumpyArrays) {
  const TestFolder folder;
  HostTensor image(TensorType{"u8", {20, 2, 2}}), label(TensorType{"i64", {20}});
  for (int k = 0; k < 80; ++k) image.data()[k] = static_cast<std::byte>(k);
  for (std::int64_t k = 0; k < 20; ++k) std::memcpy(label.data() + 8 * k, &k, 8);
  write_npy(folder / "images.npy", image);
  write_npy(folder / "label.npy", label);
  const auto data = open_data("npy", {{"", std::string(".")}, {"split", std::string("train")}}, folder.path());
  EXPECT_EQ(data.rows, 18);
  EXPECT_EQ(row_of(data, "label", 9)[0], 10);
  EXPECT_EQ(row_of(data, "image", 9)[0], 40);
  EXPECT_EQ(open_data("npy", {{"", std::string("images.npy")}}, folder.path()).columns[0].name, "x");
  EXPECT_EQ(message_of([&] { column_for(data, "mask"); }),
            "npy " + folder.path() +
                ", train has no column for the model's input mask; it has images: u8[2, 2], label: i64: name the input after one of them");
  write_npy(folder / "label.npy", HostTensor(TensorType{"i64", {19}}));
  EXPECT_NE(message(folder, "npy", {{"", std::string(".")}}).find("images has 20 rows and label has 19"), std::string::npos);
}

TEST(Readers, ArgumentsOfACall) {
  const TestFolder folder;
  EXPECT_EQ(message(folder, "cifar", {}),
            "no data reader is named cifar; did you mean `cifar10`? (there are cifar10, mnist, text, csv, npy, npz)");
  EXPECT_EQ(message(folder, "mnist", {}),
            "mnist needs its argument folder: the folder with train-images-idx3-ubyte and its kin, plain, .gz or .xz");
  EXPECT_EQ(message(folder, "mnist", {{"", std::string("a")}, {"splt", std::string("test")}}),
            "mnist has no argument splt; did you mean `split`? (it has folder, split)");
  EXPECT_EQ(message(folder, "mnist", {{"", std::string("a")}, {"split", std::string("tset")}}),
            "mnist has no split \"tset\"; did you mean `test`? (it has train, test)");
  EXPECT_EQ(message(folder, "mnist", {{"", std::string("a")}, {"folder", std::string("b")}}), "mnist is given its argument folder twice");
  EXPECT_EQ(message(folder, "mnist", {{"", std::int64_t{3}}}), "the argument folder of mnist is a path, as a text");
  EXPECT_EQ(message(folder, "mnist", {{"", std::string("a")}, {"", std::string("test")}, {"", std::string("b")}}),
            "mnist takes 2 arguments at most");
}

// Whole sets as they are published, where they are at hand.
TEST(Readers, PublishedData) {
  const std::string folder = std::string(HEED_SOURCE_DIR) + "/../shared/data";
  if (!std::filesystem::exists(folder)) GTEST_SKIP() << "no data in " << folder;
  const auto open = [&](const char* reader, Arguments arguments) { return open_data(reader, arguments, folder); };
  const auto images = open("cifar10", {{"", std::string("cifar10")}, {"split", std::string("test")}});
  EXPECT_EQ(images.rows, 10000);
  std::vector<int> counts(10);
  for (std::int64_t row = 0; row < images.rows; ++row) ++counts[static_cast<std::size_t>(row_of(images, "label", row)[0])];
  EXPECT_EQ(counts, std::vector<int>(10, 1000));
  const auto digits = open("mnist", {{"", std::string("mnist")}});
  EXPECT_EQ(digits.rows, 60000);
  EXPECT_EQ(row_of(digits, "label", 0)[0], 5);
  EXPECT_EQ(open("text", {{"", std::string("tinyshakespeare/input.txt")}, {"", std::int64_t{256}}}).rows, 1115394 - 111539 - 256);
  const auto scans = open("npz", {{"", std::string("pneumoniamnist/pneumoniamnist.npz")}, {"split", std::string("val")}});
  EXPECT_EQ(column_for(scans, "image").row, (TensorType{"u8", {28, 28}}));
  EXPECT_EQ(column_for(scans, "label").row, (TensorType{"u8", {1}}));
  const auto credit =
      open("csv", {{"", std::string("credit_default/UCI_Credit_Card.csv")}, {"label", std::string("Y")}, {"ignore", std::string("ID")}});
  EXPECT_EQ(credit.rows, 30000);
  EXPECT_EQ(column_for(credit, "x").row, (TensorType{"f32", {23}}));
  double defaults = 0;
  for (std::int64_t row = 0; row < credit.rows; ++row) defaults += row_of(credit, "label", row)[0];
  EXPECT_EQ(defaults, 6636);
}

}  // namespace
}  // namespace heed
