// Which nominal sizes are tried.
#include "ir/language/attempt.h"

#include <algorithm>

namespace heed {

void attempt_sizes(Diagnostics& diagnostics, const std::function<void(std::int64_t, bool, Diagnostics&)>& walk) {
  constexpr int attempts = 10;
  constexpr std::int64_t usual = 64, largest = 1 << 20;
  std::int64_t nominal = usual;
  for (int k = 0; k <= attempts; ++k) {
    bool is_last = k == attempts;  // nothing suits: the mistake is said of the usual sizes
    Diagnostics found;
    try {
      walk(is_last ? usual : nominal, !is_last, found);
    } catch (const NominalMismatch& mismatch) {
      nominal = std::clamp<std::int64_t>(nominal * mismatch.multiply / mismatch.divide, 1, largest);
      continue;
    }
    diagnostics.add(found);
    return;
  }
}

}  // namespace heed
