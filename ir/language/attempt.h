// Nominal sizes stand for symbols that nothing binds. Where they do not divide or fit, the walk begins again with others.
#pragma once
#include <functional>

#include "ir/language/diagnostics.h"
#include "ir/language/value.h"

namespace heed {

// Calls `walk` with nominal sizes until they suit; the diagnostics of the last walk are kept.
void attempt_sizes(Diagnostics& diagnostics, const std::function<void(std::int64_t nominal, bool may_change, Diagnostics&)>& walk);

}  // namespace heed
