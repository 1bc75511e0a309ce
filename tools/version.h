// Which heed this is.
#pragma once
#include <string>

namespace heed {

std::string version_text();  // "heed 0.1.0 (LLVM 19.1.7)"

}  // namespace heed
