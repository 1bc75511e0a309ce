// What executors of every kind report: indices out of range, and NaN in memory.
#pragma once
#include <string>

#include "runtime/program.h"

namespace heed {

// Throws IndexFault if a kernel met an index out of its range.
void throw_fault(const Fault& fault, const Program& program);
bool holds_nan(const std::string& dtype, const std::byte* from, std::int64_t bytes);

}  // namespace heed
