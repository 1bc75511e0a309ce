// The standard library's sources, built into the binary: what `import nn` reads.
#pragma once
#include <iterator>
#include <span>
#include <string_view>

namespace heed {

struct StdlibFile {
  std::string_view name;  // `nn` for stdlib/nn.heed
  std::string_view source;
};

std::span<const StdlibFile> stdlib_files();

}  // namespace heed
