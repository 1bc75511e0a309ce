// Element types of other programs' files: read as one of heed's that holds all their values.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace heed {

struct ForeignElement {
  char kind;             // 'f' floating, 'i' signed, 'u' unsigned, 'b' bool, 'B' bf16
  std::int64_t bytes;    // of one element in the file
  bool swapped = false;  // other byte order than this machine's
};

// The name of heed's element type that such elements are read as; empty if there is none.
std::string_view read_as(const ForeignElement& element);

// Reads one element at `from` into an element of read_as(element) at `to`. False if its value does not fit.
bool read_element(const ForeignElement& element, const std::byte* from, std::byte* to);

// Whether the bytes in the file are those of heed's type.
bool same_bytes(const ForeignElement& element);

}  // namespace heed
