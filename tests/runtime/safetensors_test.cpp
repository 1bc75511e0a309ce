// Safetensors files: others' and our own, and that any changed byte of ours is found.
#include "runtime/safetensors.h"

#include <sys/resource.h>

#include <csignal>
#include <cstring>
#include <filesystem>

#include "tests/runtime/folder.h"

namespace heed {
namespace {

std::string file_of(const std::string& header, const std::string& data) {
  const std::uint64_t size = header.size();
  std::string text(8, '\0');
  std::memcpy(text.data(), &size, 8);
  return text + header + data;
}

TEST(Safetensors, WritesWhatItReads) {
  const TestFolder folder;
  NamedTensors tensors;
  std::vector<std::pair<std::string, const HostTensor*>> list;
  int seed = 1;
  for (const auto& type : element_types()) {
    for (const std::vector<std::int64_t>& shape : {std::vector<std::int64_t>{}, {3}, {2, 5}, {0}}) {
      HostTensor tensor(TensorType{std::string(type.name), shape});
      for (std::int64_t k = 0; k < tensor.type.bytes(); ++k)
        tensor.data()[k] = static_cast<std::byte>(type.name == "bool" ? k % 2 : seed++ % 120);
      tensors.emplace(std::string(type.name) + "." + std::to_string(shape.size()) + std::to_string(seed), std::move(tensor));
    }
  }
  for (const auto& [name, tensor] : tensors) list.emplace_back(name, &tensor);
  for (const auto& metadata :
       {std::map<std::string, std::string>{}, {{"heed", "weights"}, {"note", "\"quoted\" heed.checksum \xc3\xa4"}}}) {
    write_safetensors(folder / "a.safetensors", list, metadata);
    const auto back = read_safetensors(folder / "a.safetensors");
    EXPECT_EQ(back.metadata, metadata);
    ASSERT_EQ(back.tensors.size(), tensors.size());
    for (const auto& [name, tensor] : tensors) {
      const auto& found = back.tensors.at(name);
      ASSERT_EQ(found.type, tensor.type);
      EXPECT_EQ(std::memcmp(found.data(), tensor.data(), static_cast<std::size_t>(tensor.type.bytes())), 0);
    }
  }
}

TEST(Safetensors, FindsEveryChangedByte) {
  const TestFolder folder;
  HostTensor tensor(TensorType{"f32", {7}});
  write_safetensors(folder / "a", {{"w", &tensor}}, {{"heed", "weights"}});
  const std::string good = read_text(folder / "a");
  for (std::size_t k = 0; k < good.size(); ++k) {
    for (const int change : {1, 2, 4, 8, 16, 32, 64, 128, 0xff, 0x33}) {
      std::string bad = good;
      bad[k] = static_cast<char>(bad[k] ^ change);
      ASSERT_NE(message_of([&] { parse_safetensors(std::as_bytes(std::span(bad)), "a"); }), "no error") << "byte " << k << " ^ " << change;
    }
    ASSERT_NE(message_of([&] { parse_safetensors(std::as_bytes(std::span(good).first(k)), "a"); }), "no error");
  }
}

TEST(Safetensors, SaysWhatIsWrong) {
  const TestFolder folder;
  const auto message = [&](const std::string& text) {
    folder.write("a", text);
    return message_of([&] { read_safetensors(folder / "a"); }, folder.path());
  };
  const std::string data(8, '\0');
  EXPECT_EQ(message(file_of(R"({"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", data)), "no error");
  EXPECT_EQ(message(file_of("{}", "")), "no error");
  EXPECT_EQ(message("abc"), "a is truncated or no safetensors file: it has 3 bytes");
  EXPECT_EQ(message("\x89PNG and so on, an image"),
            "a is truncated or no safetensors file: its header would have 7236828442494128265 bytes and 16 are there");
  EXPECT_EQ(message(file_of("{]", "")), "a is damaged or no safetensors file: its header is no JSON object");
  EXPECT_EQ(message(file_of(
                R"({"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", data)),
            "a is damaged: it names \"w\" twice");
  EXPECT_EQ(message(file_of(R"({"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", "1234")),
            "a is truncated: \"w\" ends at byte 8 of the data and 4 are there");
  EXPECT_EQ(message(file_of(R"({"w":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}})", data)),
            "a is damaged: \"w\" is F32[3], 12 bytes, and has the bytes 0 to 8");
  EXPECT_EQ(message(file_of(
                R"({"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"v":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})", data)),
            "a is damaged: \"v\" overlaps what lies before it");
  EXPECT_EQ(message(file_of(R"({"w":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})", data)),
            "a is damaged: nothing lies in the 4 bytes before \"w\"");
  EXPECT_EQ(message(file_of(R"({"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", data)),
            "a is damaged: 4 bytes follow its last tensor");
  EXPECT_EQ(message(file_of(R"({"w":{"dtype":"F8_E4M3","shape":[8],"data_offsets":[0,8]}})", data)),
            "a: \"w\" is of type F8_E4M3, which heed cannot read");
  EXPECT_EQ(message(file_of(R"({"w":{"dtype":"F32","shape":[-1],"data_offsets":[0,8]}})", data)),
            "a is damaged: the entry of \"w\" lacks a dtype, a shape or its offsets");
  EXPECT_EQ(message(file_of(R"({"__metadata__":{"heed":"weights"}})", "")), "a is damaged: its checksum is missing");
}

TEST(Safetensors, FullDiskLeavesTheOldFile) {
  const TestFolder folder;
  HostTensor small(TensorType{"f32", {10}}), large(TensorType{"f32", {100000}});
  write_safetensors(folder / "a", {{"w", &small}}, {{"heed", "weights"}});
  const std::string before = read_text(folder / "a");
  rlimit old{};
  getrlimit(RLIMIT_FSIZE, &old);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit limited{65536, old.rlim_max};
  setrlimit(RLIMIT_FSIZE, &limited);
  const std::string message = message_of([&] { write_safetensors(folder / "a", {{"w", &large}}, {{"heed", "weights"}}); }, folder.path());
  setrlimit(RLIMIT_FSIZE, &old);
  std::signal(SIGXFSZ, handler);
  EXPECT_EQ(message, "cannot write a: File too large; what was there before is unchanged");
  EXPECT_EQ(read_text(folder / "a"), before);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()), {}), 1);
}

// Files of another project, where they are at hand.
TEST(Safetensors, ReadsOthersFiles) {
  const std::string folder = std::string(HEED_SOURCE_DIR) + "/../shared/data/safetensors_tests";
  if (!std::filesystem::exists(folder)) GTEST_SKIP() << "no files in " << folder;
  int read = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() != ".safetensors") continue;
    EXPECT_EQ(message_of([&] { read_safetensors(entry.path()); }), "no error") << entry.path();
    ++read;
  }
  EXPECT_GT(read, 0);
}

}  // namespace
}  // namespace heed
