// The standard layout of model files: `heed fmt`.
#pragma once
#include <string>

#include "ir/language/diagnostics.h"

namespace heed {

// The text in standard layout: two spaces a level, one space around operators, none in slices (`1:n+1`) and around products in sizes
// (`2*width`), at most one blank line, comments after code at least two spaces away and kept in columns. Lines break where the author
// broke them. A text with syntax mistakes is returned as it is, with the mistakes in `diagnostics`.
std::string format(const SourceFile& source, Diagnostics& diagnostics);

}  // namespace heed
