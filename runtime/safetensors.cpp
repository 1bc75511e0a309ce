// Safetensors files: tensors by name, with text beside them.
#include "runtime/safetensors.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <nlohmann/json.hpp>
#include <set>

#include "input_error.h"
#include "runtime/files.h"
#include "runtime/foreign_elements.h"

namespace heed {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view checksum_key = "heed.checksum";
constexpr std::string_view no_checksum = "0000000000000000";

struct FileType {
  std::string_view name;
  ForeignElement element;
};
constexpr std::array file_types = {
    FileType{"F64", {'f', 8}}, FileType{"F32", {'f', 4}}, FileType{"F16", {'f', 2}},  FileType{"BF16", {'B', 2}}, FileType{"I64", {'i', 8}},
    FileType{"I32", {'i', 4}}, FileType{"I16", {'i', 2}}, FileType{"I8", {'i', 1}},   FileType{"U64", {'u', 8}},  FileType{"U32", {'u', 4}},
    FileType{"U16", {'u', 2}}, FileType{"U8", {'u', 1}},  FileType{"BOOL", {'b', 1}},
};

std::string_view file_type_of(std::string_view dtype) {
  return std::find_if(
             file_types.begin(), file_types.end(),
             [&](const FileType& type) { return read_as(type.element) == dtype && element_type(dtype).bytes == type.element.bytes; })
      ->name;
}

// A hash of a stream of bytes. Every step is a bijection of the state for given bytes and of the bytes for a given state, so that no
// single change of a word goes unseen.
class Checksum {
 public:
  void add(std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
      const std::size_t count = std::min(bytes.size(), sizeof word_ - filled_);
      if (filled_ == 0 && bytes.size() >= sizeof word_) {
        std::size_t at = 0;
        for (; at + sizeof word_ <= bytes.size(); at += sizeof word_) {
          std::uint64_t word;
          std::memcpy(&word, bytes.data() + at, sizeof word);
          mix(word);
        }
        bytes = bytes.subspan(at);
        continue;
      }
      std::memcpy(reinterpret_cast<std::byte*>(&word_) + filled_, bytes.data(), count);
      filled_ += count;
      bytes = bytes.subspan(count);
      if (filled_ == sizeof word_) {
        mix(word_);
        word_ = 0;
        filled_ = 0;
      }
    }
  }
  std::string text() {
    mix(word_);
    mix(filled_);
    return fmt::format("{:016x}", state_ ^ (state_ >> 29));
  }

 private:
  void mix(std::uint64_t word) { state_ = std::rotl(state_ ^ (word * 0x9e3779b97f4a7c15), 27) * 0xbf58476d1ce4e5b9 + 0x94d049bb133111eb; }
  std::uint64_t state_ = 0x243f6a8885a308d3, word_ = 0;
  std::size_t filled_ = 0;
};

Json parse_header(std::string_view text, const std::string& path) {
  std::set<std::string> names;
  std::string twice;
  const auto watch = [&](int depth, Json::parse_event_t event, Json& value) {
    if (event == Json::parse_event_t::key && depth == 1 && !names.insert(value.get<std::string>()).second) twice = value.get<std::string>();
    return true;
  };
  Json header = Json::parse(text.begin(), text.end(), watch, false);
  if (!twice.empty()) throw InputError(fmt::format("{} is damaged: it names \"{}\" twice", path, twice));
  if (header.is_discarded() || !header.is_object())
    throw InputError(fmt::format("{} is damaged or no safetensors file: its header is no JSON object", path));
  return header;
}

// A list of whole numbers that are not negative, or nothing.
bool read_numbers(const Json& json, std::vector<std::int64_t>& numbers) {
  if (!json.is_array()) return false;
  for (const auto& item : json) {
    if (!item.is_number_unsigned() || item.get<std::uint64_t>() >> 62 != 0) return false;
    numbers.push_back(item.get<std::int64_t>());
  }
  return true;
}

struct Entry {
  std::string name;
  ForeignElement element;
  TensorType type;
  std::int64_t begin, end;
};

Entry parse_entry(const std::string& name, const Json& json, std::int64_t data_bytes, const std::string& path) {
  std::vector<std::int64_t> shape, offsets;
  if (!json.is_object() || !json.contains("dtype") || !json["dtype"].is_string() || !json.contains("shape") ||
      !read_numbers(json["shape"], shape) || !json.contains("data_offsets") || !read_numbers(json["data_offsets"], offsets) ||
      offsets.size() != 2) {
    throw InputError(fmt::format("{} is damaged: the entry of \"{}\" lacks a dtype, a shape or its offsets", path, name));
  }
  const auto type_name = json["dtype"].get<std::string>();
  const auto* type = std::find_if(file_types.begin(), file_types.end(), [&](const FileType& known) { return known.name == type_name; });
  if (type == file_types.end()) throw InputError(fmt::format("{}: \"{}\" is of type {}, which heed cannot read", path, name, type_name));
  Entry entry{name, type->element, {std::string(read_as(type->element)), std::move(shape)}, offsets[0], offsets[1]};
  std::int64_t wanted = 0;
  if (__builtin_mul_overflow(element_count(entry.type.shape), entry.element.bytes, &wanted) || entry.end - entry.begin != wanted) {
    throw InputError(fmt::format("{} is damaged: \"{}\" is {}[{}], {} bytes, and has the bytes {} to {}", path, name, type_name,
                                 fmt::join(entry.type.shape, ", "), wanted, entry.begin, entry.end));
  }
  if (entry.end > data_bytes) {
    throw InputError(
        fmt::format("{} is truncated: \"{}\" ends at byte {} of the data and {} are there", path, name, entry.end, data_bytes));
  }
  return entry;
}

void check_checksum(std::span<const std::byte> file, std::string_view header, const std::string& stored, const std::string& path) {
  const auto key = header.find(checksum_key);
  const auto at = key == std::string_view::npos ? key : header.find(stored, key);
  Checksum checksum;
  if (at != std::string_view::npos && stored.size() == no_checksum.size()) {
    checksum.add(file.first(8 + at));
    checksum.add(std::as_bytes(std::span(no_checksum)));
    checksum.add(file.subspan(8 + at + stored.size()));
    if (checksum.text() == stored) return;
  }
  throw InputError(fmt::format("{} is damaged: its checksum does not fit its contents", path));
}

}  // namespace

Safetensors read_safetensors(const std::string& path) { return parse_safetensors(read_file(path), path); }

Safetensors parse_safetensors(std::span<const std::byte> file, const std::string& path) {
  if (file.size() < 8) throw InputError(fmt::format("{} is truncated or no safetensors file: it has {} bytes", path, file.size()));
  std::uint64_t length = 0;
  std::memcpy(&length, file.data(), sizeof length);
  if (length > file.size() - 8) {
    throw InputError(fmt::format("{} is truncated or no safetensors file: its header would have {} bytes and {} are there", path, length,
                                 file.size() - 8));
  }
  const auto header_text = text_of(file.subspan(8, length));
  const Json header = parse_header(header_text, path);
  Safetensors result;
  std::vector<Entry> entries;
  const auto data_bytes = static_cast<std::int64_t>(file.size() - 8 - length);
  for (const auto& [name, json] : header.items()) {
    if (name != "__metadata__") {
      entries.push_back(parse_entry(name, json, data_bytes, path));
      continue;
    }
    if (!json.is_object()) throw InputError(path + " is damaged: its metadata are no JSON object");
    for (const auto& [key, text] : json.items()) {
      if (!text.is_string()) throw InputError(fmt::format("{} is damaged: its metadata \"{}\" is no text", path, key));
      result.metadata[key] = text.get<std::string>();
    }
  }
  std::sort(entries.begin(), entries.end(),
            [](const Entry& a, const Entry& b) { return std::pair(a.begin, a.end) < std::pair(b.begin, b.end); });
  std::int64_t reached = 0;
  for (const Entry& entry : entries) {
    if (entry.begin < reached) throw InputError(fmt::format("{} is damaged: \"{}\" overlaps what lies before it", path, entry.name));
    if (entry.begin > reached)
      throw InputError(fmt::format("{} is damaged: nothing lies in the {} bytes before \"{}\"", path, entry.begin - reached, entry.name));
    reached = entry.end;
  }
  if (reached != data_bytes) throw InputError(fmt::format("{} is damaged: {} bytes follow its last tensor", path, data_bytes - reached));
  if (const auto stored = result.metadata.find(std::string(checksum_key)); stored != result.metadata.end()) {
    check_checksum(file, header_text, stored->second, path);
    result.metadata.erase(stored);
  } else if (result.metadata.contains("heed")) {
    throw InputError(path + " is damaged: its checksum is missing");
  }
  for (const Entry& entry : entries) {
    HostTensor tensor(entry.type);
    const std::byte* from = file.data() + 8 + length + entry.begin;
    if (same_bytes(entry.element)) {
      std::memcpy(tensor.data(), from, static_cast<std::size_t>(entry.end - entry.begin));
    } else {
      const std::int64_t step = element_type(entry.type.dtype).bytes;
      for (std::int64_t k = 0; k < element_count(entry.type.shape); ++k) {
        if (!read_element(entry.element, from + k * entry.element.bytes, tensor.data() + k * step)) {
          throw InputError(fmt::format("{}: element {} of \"{}\" is too large for i64", path, k, entry.name));
        }
      }
    }
    result.tensors.emplace(entry.name, std::move(tensor));
  }
  return result;
}

void write_safetensors(const std::string& path, const std::vector<std::pair<std::string, const HostTensor*>>& tensors,
                       const std::map<std::string, std::string>& metadata) {
  // Wide elements first keeps every tensor aligned without holes, which the format forbids.
  auto sorted = tensors;
  std::sort(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) {
    const auto width = [](const auto& item) { return element_type(item.second->type.dtype).bytes; };
    return std::pair(-width(a), a.first) < std::pair(-width(b), b.first);
  });
  Json header = Json::object();
  for (const auto& [key, text] : metadata) header["__metadata__"][key] = text;
  if (metadata.contains("heed")) header["__metadata__"][std::string(checksum_key)] = std::string(no_checksum);
  std::int64_t end = 0;
  for (const auto& [name, tensor] : sorted) {
    const std::int64_t begin = end;
    end += tensor->type.bytes();
    header[name] = {
        {"dtype", std::string(file_type_of(tensor->type.dtype))}, {"shape", tensor->type.shape}, {"data_offsets", {begin, end}}};
  }
  std::string start = header.dump();
  start.append(63 - (start.size() + 7) % 64, ' ');
  const std::uint64_t length = start.size();
  start.insert(0, reinterpret_cast<const char*>(&length), sizeof length);
  if (metadata.contains("heed")) {
    Checksum checksum;
    checksum.add(std::as_bytes(std::span(start)));
    for (const auto& [name, tensor] : sorted)
      checksum.add(std::span<const std::byte>(tensor->data(), static_cast<std::size_t>(tensor->type.bytes())));
    start.replace(start.find(no_checksum, start.find(checksum_key)), no_checksum.size(), checksum.text());
  }
  ReplacedFile file(path);
  file.write(start);
  for (const auto& [name, tensor] : sorted)
    file.write(std::span<const std::byte>(tensor->data(), static_cast<std::size_t>(tensor->type.bytes())));
  file.commit();
}

}  // namespace heed
