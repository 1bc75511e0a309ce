// Unpacks what zlib packs.
#pragma once
#include <cstddef>
#include <limits>
#include <span>
#include <string>

#include "runtime/files.h"

namespace heed {

enum class Packing { gzip, bare };  // bare: a stream of deflate alone, as in zip files

struct Inflated {
  enum class End { whole, truncated, damaged } end;
  Bytes bytes;  // of a whole stream: all of it. Several gzip streams behind one another are one.
};

// Of at most `most` bytes: a stream of more counts as truncated. Throws InputError, which begins with the name, if memory is short.
Inflated inflate(std::span<const std::byte> packed, Packing packing, const std::string& name,
                 std::size_t most = std::numeric_limits<std::size_t>::max());

}  // namespace heed
