// .npy and .npz files: what NumPy writes, what heed writes, and every way to be wrong.
#include "runtime/npy.h"

#include <zlib.h>

#include <cstring>
#include <filesystem>

#include "tests/runtime/folder.h"

namespace heed {
namespace {

std::string npy(const std::string& dictionary, const std::string& data, int version = 1) {
  std::string header = dictionary + "\n";
  std::string file = "\x93NUMPY";
  file += static_cast<char>(version);
  file += '\0';
  for (int k = 0; k < (version == 1 ? 2 : 4); ++k) file += static_cast<char>(header.size() >> (8 * k));
  return file + header + data;
}

std::string dictionary(const std::string& type, const std::string& shape, bool fortran = false) {
  return "{'descr': '" + type + "', 'fortran_order': " + (fortran ? "True" : "False") + ", 'shape': " + shape + ", }";
}

HostTensor parse(const std::string& file) { return parse_npy(std::as_bytes(std::span(file)), "a.npy"); }
double at(const HostTensor& tensor, std::int64_t k) {
  return floating_at(tensor.type.dtype, tensor.data() + k * element_type(tensor.type.dtype).bytes);
}
using Shape = std::vector<std::int64_t>;

TEST(Npy, ReadsAllVersionsAndOrders) {
  for (const int version : {1, 2, 3}) {
    const auto tensor = parse(npy(dictionary("|u1", "(2, 3)"), std::string("\0\1\2\3\4\5", 6), version));
    EXPECT_EQ(tensor.type, (TensorType{"u8", {2, 3}}));
    EXPECT_EQ(at(tensor, 4), 4);
  }
  const auto fortran = parse(npy(dictionary("|u1", "(2, 3)", true), std::string("\0\1\2\3\4\5", 6)));
  for (int k = 0; k < 6; ++k) EXPECT_EQ(at(fortran, k), (std::vector<double>{0, 2, 4, 1, 3, 5})[static_cast<std::size_t>(k)]);
  EXPECT_EQ(parse(npy(dictionary("<f8", "()"), std::string(8, '\0'))).type.shape, Shape{});
  EXPECT_EQ(parse(npy(dictionary("<f8", "(0, 3)"), "")).type.shape, (Shape{0, 3}));
  EXPECT_EQ(parse(npy(dictionary("<f8", "(1L,)"), std::string(8, '\0'))).type.shape, Shape{1});
}

TEST(Npy, ReadsForeignTypes) {
  EXPECT_EQ(at(parse(npy(dictionary(">i4", "(1,)"), std::string("\xff\xff\xff\xfe", 4))), 0), -2);
  EXPECT_EQ(at(parse(npy(dictionary("<i2", "(1,)"), "\xfe\xff")), 0), -2);
  EXPECT_EQ(at(parse(npy(dictionary("<u2", "(1,)"), "\xfe\xff")), 0), 65534);
  EXPECT_EQ(at(parse(npy(dictionary("<u4", "(1,)"), "\xfe\xff\xff\xff")), 0), 4294967294.0);
  EXPECT_EQ(at(parse(npy(dictionary("|b1", "(2,)"), std::string("\0\2", 2))), 1), 1);
  EXPECT_EQ(message_of([] { parse(npy(dictionary("<u8", "(1,)"), std::string(8, '\xff'))); }), "a.npy: element 0 is too large for i64");
  EXPECT_EQ(message_of([] { parse(npy(dictionary("<c8", "(1,)"), std::string(8, '\0'))); }),
            "a.npy holds elements of NumPy's type '<c8', which heed cannot read: convert them to float32 or int32");
}

TEST(Npy, WritesWhatItReads) {
  const TestFolder folder;
  for (const auto& type : element_types()) {
    for (const Shape& shape : {Shape{}, Shape{5}, Shape{2, 3}, Shape{0, 4}}) {
      HostTensor tensor(TensorType{std::string(type.name), shape});
      for (std::int64_t k = 0; k < tensor.type.bytes() / type.bytes; ++k) {
        const auto value = static_cast<std::int64_t>(type.name == "bool" ? k % 2 : k - 2);
        convert_elements("i64", reinterpret_cast<const std::byte*>(&value), type.name, tensor.data() + k * type.bytes, 1);
      }
      write_npy(folder / "a.npy", tensor);
      const auto back = read_npy(folder / "a.npy");
      EXPECT_EQ(back.type.shape, shape);
      EXPECT_EQ(back.type.dtype, type.name == "bf16" ? "f32" : type.name);
      for (std::int64_t k = 0; k < tensor.type.bytes() / type.bytes; ++k) EXPECT_EQ(at(back, k), at(tensor, k));
      EXPECT_EQ(std::filesystem::file_size(folder / "a.npy") % 64, static_cast<std::size_t>(back.type.bytes()) % 64);
    }
  }
}

TEST(Npy, SaysWhatIsWrong) {
  const TestFolder folder;
  const auto message = [&](const std::string& text) { return message_of([&] { parse(text); }); };
  const std::string good = npy(dictionary("<f4", "(2, 3)"), std::string(24, '\0'));
  EXPECT_EQ(message(good), "no error");
  EXPECT_EQ(message("hello"), "a.npy is no .npy file: it does not begin with \\x93NUMPY");
  EXPECT_EQ(message(good.substr(0, 30)), "a.npy is truncated: it ends after 30 bytes, in its header");
  EXPECT_EQ(message(good.substr(0, good.size() - 1)), "a.npy is truncated: f32[2, 3] need 24 bytes and 23 are there");
  EXPECT_EQ(message(good + "x"), "a.npy is damaged: 1 bytes follow the 24 of its f32[2, 3]");
  EXPECT_EQ(message(npy("{'descr': '<f4'}", "")), "a.npy: its .npy header has no 'fortran_order'");
  EXPECT_EQ(message(npy(dictionary("<f4", "(-1,)"), "")), "a.npy: its shape (-1,) is none");
  EXPECT_EQ(message(npy(dictionary("<f4", "(4611686018427387904, 4)"), "")), "the shape [4611686018427387904, 4] is too large");
  EXPECT_EQ(message_of([&] { read_npy(folder / "none.npy"); }, folder.path()), "cannot read none.npy: No such file or directory");
  // Whatever byte is changed or wherever the file ends: an error or a value, never a crash.
  for (std::size_t k = 0; k < good.size(); ++k) {
    for (const char change : {'\x01', '\x80', '\x15'}) {
      std::string bad = good;
      bad[k] = static_cast<char>(bad[k] ^ change);
      message(bad);
    }
    EXPECT_NE(message(good.substr(0, k)), "no error");
  }
}

std::string little(std::uint64_t value, int bytes) {
  std::string text;
  for (int k = 0; k < bytes; ++k) text += static_cast<char>(value >> (8 * k));
  return text;
}

// A zip of one member.
std::string zip(const std::string& name, const std::string& contents, bool deflated) {
  std::string packed = contents;
  if (deflated) {
    packed.resize(contents.size() + 100);
    z_stream stream{};
    deflateInit2(&stream, 9, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY);
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(contents.data()));
    stream.avail_in = static_cast<uInt>(contents.size());
    stream.next_out = reinterpret_cast<Bytef*>(packed.data());
    stream.avail_out = static_cast<uInt>(packed.size());
    deflate(&stream, Z_FINISH);
    packed.resize(stream.total_out);
    deflateEnd(&stream);
  }
  const auto crc = crc32_z(0, reinterpret_cast<const Bytef*>(contents.data()), contents.size());
  const std::string shared = little(20, 2) + little(0, 2) + little(deflated ? 8 : 0, 2) + little(0, 4) + little(crc, 4) +
                             little(packed.size(), 4) + little(contents.size(), 4) + little(name.size(), 2) + little(0, 2);
  const std::string local = "PK\3\4" + shared + name + packed;
  const std::string central =
      "PK\1\2" + little(20, 2) + shared + little(0, 2) + little(0, 2) + little(0, 2) + little(0, 4) + little(0, 4) + name;
  return local + central + "PK\5\6" + little(0, 4) + little(1, 2) + little(1, 2) + little(central.size(), 4) + little(local.size(), 4) +
         little(0, 2);
}

TEST(Npz, ReadsStoredAndDeflated) {
  const auto parse_text = [](std::string_view text) { return parse_npz(std::as_bytes(std::span(text)), "a.npz"); };
  for (const bool deflated : {false, true}) {
    const std::string good = zip("w.npy", npy(dictionary("|u1", "(6,)"), "abcdef"), deflated);
    const auto tensors = parse_text(good);
    EXPECT_EQ(tensors.at("w").type, (TensorType{"u8", {6}}));
    EXPECT_EQ(at(tensors.at("w"), 5), 'f');
    for (std::size_t k = 0; k < good.size(); ++k) {
      std::string bad = good;
      bad[k] = static_cast<char>(bad[k] ^ 0x11);
      const bool in_contents = k >= 35 && k < good.find("PK\1\2");
      const std::string message = message_of([&] { parse_text(bad); });
      if (in_contents) EXPECT_NE(message, "no error") << k;
      EXPECT_NE(message_of([&] { parse_text(std::string_view(good).substr(0, k)); }), "no error");
    }
  }
}

}  // namespace
}  // namespace heed
