// Element types of other programs' files: read as one of heed's that holds all their values.
#include "runtime/foreign_elements.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "runtime/tensor.h"

namespace heed {
namespace {

struct Rule {
  char kind;
  std::int64_t bytes;
  std::string_view type;
};
constexpr std::array rules = {
    Rule{'f', 8, "f64"}, Rule{'f', 4, "f32"}, Rule{'f', 2, "f16"},  Rule{'B', 2, "bf16"}, Rule{'i', 8, "i64"},
    Rule{'i', 4, "i32"}, Rule{'i', 2, "i32"}, Rule{'i', 1, "i8"},   Rule{'u', 8, "i64"},  Rule{'u', 4, "i64"},
    Rule{'u', 2, "i32"}, Rule{'u', 1, "u8"},  Rule{'b', 1, "bool"},
};

}  // namespace

std::string_view read_as(const ForeignElement& element) {
  const auto* rule =
      std::find_if(rules.begin(), rules.end(), [&](const Rule& r) { return r.kind == element.kind && r.bytes == element.bytes; });
  return rule == rules.end() ? std::string_view() : rule->type;
}

bool same_bytes(const ForeignElement& element) {
  // Any byte but 0 is true in a file, and heed keeps 0 and 1; large u64 are no i64.
  if (element.swapped || element.kind == 'b' || (element.kind == 'u' && element.bytes == 8)) return false;
  return element_type(read_as(element)).bytes == element.bytes;
}

bool read_element(const ForeignElement& element, const std::byte* from, std::byte* to) {
  std::array<std::byte, 8> bytes{};
  std::memcpy(bytes.data(), from, static_cast<std::size_t>(element.bytes));
  if (element.swapped) std::reverse(bytes.begin(), bytes.begin() + element.bytes);
  const std::string_view type = read_as(element);
  const auto target = static_cast<std::size_t>(element_type(type).bytes);
  if (element.kind == 'b') bytes[0] = std::byte{static_cast<unsigned char>(bytes[0] != std::byte{0} ? 1 : 0)};
  if (element.kind == 'u' && element.bytes == 8 && (bytes[7] & std::byte{0x80}) != std::byte{0}) return false;
  if (element.kind == 'i' && element.bytes == 2 && (bytes[1] & std::byte{0x80}) != std::byte{0}) bytes[2] = bytes[3] = std::byte{0xff};
  std::memcpy(to, bytes.data(), target);
  return true;
}

}  // namespace heed
