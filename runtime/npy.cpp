// NumPy's files: .npy (one array) and .npz (several, by name).
#include "runtime/npy.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <zlib.h>

#include <charconv>
#include <cstring>

#include "input_error.h"
#include "runtime/files.h"
#include "runtime/foreign_elements.h"
#include "runtime/inflate.h"

namespace heed {
namespace {

template <typename T>
T little(std::span<const std::byte> bytes, std::size_t at) {
  T value = 0;
  for (std::size_t k = 0; k < sizeof(T); ++k) value |= static_cast<T>(static_cast<T>(bytes[at + k]) << (8 * k));
  return value;
}

// What stands behind 'key': in the header, a Python dictionary.
std::string_view header_value(std::string_view header, const std::string& key, const std::string& name) {
  auto at = header.find("'" + key + "'");
  if (at != std::string_view::npos) at = header.find(':', at);
  if (at == std::string_view::npos) throw InputError(fmt::format("{}: its .npy header has no '{}'", name, key));
  header.remove_prefix(at + 1);
  header.remove_prefix(std::min(header.find_first_not_of(' '), header.size()));
  return header;
}

ForeignElement element_of(std::string_view text, const std::string& name) {
  if (text.size() < 2 || text[0] != '\'') throw InputError(name + " holds structured elements, which heed cannot read");
  const auto description = text.substr(1, text.find('\'', 1) - 1);
  ForeignElement element{0, 0, !description.empty() && description[0] == '>'};
  if (description.size() >= 3) {
    element.kind = description[1];
    std::from_chars(description.data() + 2, description.data() + description.size(), element.bytes);
  }
  if (element.bytes == 1) element.swapped = false;
  if (read_as(element).empty()) {
    throw InputError(
        fmt::format("{} holds elements of NumPy's type '{}', which heed cannot read: convert them to float32 or int32", name, description));
  }
  return element;
}

std::vector<std::int64_t> shape_of(std::string_view text, const std::string& name) {
  std::vector<std::int64_t> shape;
  const auto end = text.find(')');
  if (text.empty() || text[0] != '(' || end == std::string_view::npos) throw InputError(name + ": its .npy header has no shape");
  const char* at = text.data() + 1;
  const char* const stop = text.data() + end;
  while (at < stop) {
    if (*at == ' ' || *at == ',') {
      ++at;
      continue;
    }
    std::int64_t size = 0;
    const auto [next, error] = std::from_chars(at, stop, size);
    if (error != std::errc() || size < 0) throw InputError(fmt::format("{}: its shape ({} is none", name, text.substr(1, end)));
    shape.push_back(size);
    at = next == stop || *next != 'L' ? next : next + 1;  // Python 2 wrote 3L.
  }
  return shape;
}

// Where element `index` of the C order lies in Fortran order.
std::int64_t fortran_index(std::int64_t index, const std::vector<std::int64_t>& shape) {
  std::int64_t result = 0, stride = element_count(shape);
  for (std::size_t k = shape.size(); k-- > 0;) {
    stride /= shape[k];
    result += index % shape[k] * stride;
    index /= shape[k];
  }
  return result;
}

// The contents of a member of a zip file.
Bytes inflate_member(std::span<const std::byte> packed, std::size_t size, const std::string& name) {
  Inflated inflated = inflate(packed, Packing::bare, name, size);
  if (inflated.end != Inflated::End::whole || inflated.bytes.size() != size) throw InputError(name + " is damaged: it cannot be unpacked");
  return std::move(inflated.bytes);
}

}  // namespace

HostTensor parse_npy(std::span<const std::byte> bytes, const std::string& name) {
  constexpr std::string_view magic = "\x93NUMPY";
  if (bytes.size() < 10 || text_of(bytes.first(6)) != magic) throw InputError(name + " is no .npy file: it does not begin with \\x93NUMPY");
  const int version = static_cast<int>(bytes[6]);
  if (version < 1 || version > 3) throw InputError(fmt::format("{} is a .npy file of version {}; heed reads 1 to 3", name, version));
  const std::size_t start = version == 1 ? 10 : 12;
  if (bytes.size() < start) throw InputError(fmt::format("{} is truncated: it ends after {} bytes, in its header", name, bytes.size()));
  const std::size_t length = version == 1 ? little<std::uint16_t>(bytes, 8) : little<std::uint32_t>(bytes, 8);
  if (bytes.size() - start < length)
    throw InputError(fmt::format("{} is truncated: it ends after {} bytes, in its header", name, bytes.size()));
  const auto header = text_of(bytes.subspan(start, length));
  const auto data = bytes.subspan(start + length);
  const ForeignElement element = element_of(header_value(header, "descr", name), name);
  const bool fortran = header_value(header, "fortran_order", name).substr(0, 4) == "True";
  const TensorType type{std::string(read_as(element)), shape_of(header_value(header, "shape", name), name)};
  const std::int64_t count = element_count(type.shape);
  std::int64_t wanted = 0;
  if (__builtin_mul_overflow(count, element.bytes, &wanted) || static_cast<std::size_t>(wanted) > data.size()) {
    throw InputError(fmt::format("{} is truncated: {} need {} bytes and {} are there", name, text_of(type), wanted, data.size()));
  }
  if (static_cast<std::size_t>(wanted) < data.size()) {
    throw InputError(fmt::format("{} is damaged: {} bytes follow the {} of its {}", name, data.size() - static_cast<std::size_t>(wanted),
                                 wanted, text_of(type)));
  }
  HostTensor tensor(type);
  if (same_bytes(element) && !fortran) {
    std::memcpy(tensor.data(), data.data(), static_cast<std::size_t>(wanted));
    return tensor;
  }
  const std::int64_t step = element_type(type.dtype).bytes;
  for (std::int64_t k = 0; k < count; ++k) {
    const std::int64_t from = fortran ? fortran_index(k, type.shape) : k;
    if (!read_element(element, data.data() + from * element.bytes, tensor.data() + k * step)) {
      throw InputError(fmt::format("{}: element {} is too large for i64", name, k));
    }
  }
  return tensor;
}

HostTensor read_npy(const std::string& path) { return parse_npy(unpack(read_file(path), path), path); }

void write_npy(const std::string& path, const HostTensor& tensor) {
  const auto& stored = element_type(tensor.type.dtype == "bf16" ? "f32" : tensor.type.dtype);
  const char kind = stored.floating ? 'f' : stored.name == "bool" ? 'b' : stored.name == "u8" ? 'u' : 'i';
  std::string shape;
  for (const std::int64_t size : tensor.type.shape) shape += fmt::format("{},{}", size, tensor.type.shape.size() == 1 ? "" : " ");
  if (tensor.type.shape.size() > 1) shape.resize(shape.size() - 2);
  std::string header = fmt::format("{{'descr': '{}{}{}', 'fortran_order': False, 'shape': ({}), }}", stored.bytes == 1 ? '|' : '<', kind,
                                   stored.bytes, shape);
  header.append(63 - (header.size() + 10) % 64, ' ');
  header += '\n';
  std::string start = "\x93NUMPY";
  start += {'\1', '\0', static_cast<char>(header.size() & 255), static_cast<char>(header.size() >> 8)};
  ReplacedFile file(path);
  file.write(start + header);
  if (stored.name == tensor.type.dtype) {
    file.write(std::span<const std::byte>(tensor.data(), static_cast<std::size_t>(tensor.type.bytes())));
  } else {
    const HostTensor wide(TensorType{std::string(stored.name), tensor.type.shape});
    convert_elements(tensor.type.dtype, tensor.data(), stored.name, wide.data(), element_count(tensor.type.shape));
    file.write(std::span<const std::byte>(wide.data(), static_cast<std::size_t>(wide.type.bytes())));
  }
  file.commit();
}

NamedTensors read_npz(const std::string& path) { return parse_npz(read_file(path), path); }

NamedTensors parse_npz(std::span<const std::byte> bytes, const std::string& path) {
  const auto truncated = [&] {
    return InputError(fmt::format("{} is truncated or no .npz file: no list of contents in its {} bytes", path, bytes.size()));
  };
  const auto inside = [&](std::uint64_t at, std::uint64_t size) { return at <= bytes.size() && size <= bytes.size() - at; };
  // The end record is the last thing in the file but for a comment.
  if (bytes.size() < 22) throw truncated();
  std::size_t end = bytes.size() - 22;
  while (little<std::uint32_t>(bytes, end) != 0x06054b50) {
    if (end == 0 || bytes.size() - end > 22 + 65535) throw truncated();
    --end;
  }
  std::uint64_t count = little<std::uint16_t>(bytes, end + 10), at = little<std::uint32_t>(bytes, end + 16);
  if (end >= 20 && little<std::uint32_t>(bytes, end - 20) == 0x07064b50) {  // zip64
    const auto record = little<std::uint64_t>(bytes, end - 12);
    if (!inside(record, 56)) throw truncated();
    count = little<std::uint64_t>(bytes, record + 32);
    at = little<std::uint64_t>(bytes, record + 48);
  }
  NamedTensors tensors;
  for (std::uint64_t k = 0; k < count; ++k) {
    if (!inside(at, 46) || little<std::uint32_t>(bytes, at) != 0x02014b50) throw truncated();
    const auto method = little<std::uint16_t>(bytes, at + 10), name_size = little<std::uint16_t>(bytes, at + 28),
               extra_size = little<std::uint16_t>(bytes, at + 30);
    std::uint64_t packed = little<std::uint32_t>(bytes, at + 20), size = little<std::uint32_t>(bytes, at + 24),
                  offset = little<std::uint32_t>(bytes, at + 42);
    const auto crc = little<std::uint32_t>(bytes, at + 16);
    if (!inside(at + 46, std::uint64_t{name_size} + extra_size)) throw truncated();
    std::string name(text_of(bytes.subspan(at + 46, name_size)));
    for (std::size_t extra = at + 46 + name_size; extra + 4 <= at + 46 + name_size + extra_size;) {
      const auto kind = little<std::uint16_t>(bytes, extra);
      const auto extra_length = little<std::uint16_t>(bytes, extra + 2);
      std::size_t field = extra + 4;
      for (std::uint64_t* value : {&size, &packed, &offset}) {
        if (kind != 1 || *value != 0xffffffff || field + 8 > extra + 4 + extra_length || !inside(field, 8)) continue;
        *value = little<std::uint64_t>(bytes, field);
        field += 8;
      }
      extra += 4 + extra_length;
    }
    at += 46 + name_size + extra_size + little<std::uint16_t>(bytes, at + 32);
    const std::string whole = fmt::format("{}[{}]", path, name);
    if (!inside(offset, 30) || little<std::uint32_t>(bytes, offset) != 0x04034b50) throw truncated();
    const std::uint64_t start = offset + 30 + little<std::uint16_t>(bytes, offset + 26) + little<std::uint16_t>(bytes, offset + 28);
    if (!inside(start, packed)) throw InputError(whole + " is truncated");
    const auto body = bytes.subspan(start, packed);
    if (method != 0 && method != 8)
      throw InputError(fmt::format("{} is packed by method {}; heed reads stored and deflated members", whole, method));
    if (size > packed * 1100 + 1000) throw InputError(whole + " is damaged: it cannot be unpacked");  // Deflate packs no better than that.
    const Bytes contents = method == 0 ? Bytes(body.begin(), body.end()) : inflate_member(body, size, whole);
    if (crc32_z(0, reinterpret_cast<const Bytef*>(contents.data()), contents.size()) != crc)
      throw InputError(whole + " is damaged: its checksum is wrong");
    if (name.ends_with(".npy")) name.resize(name.size() - 4);
    tensors.insert_or_assign(name, parse_npy(contents, whole));
  }
  return tensors;
}

}  // namespace heed
