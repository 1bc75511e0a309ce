// Images as files hold them: bytes.
#include "runtime/readers/pixels.h"

#include <array>
#include <cstring>

namespace heed {

void scale_pixels(const std::byte* from, std::int64_t count, std::byte* to) {
  static const auto scaled = [] {
    std::array<float, 256> values{};
    for (std::size_t k = 0; k < values.size(); ++k) values[k] = static_cast<float>(k) / 255.0F;
    return values;
  }();
  for (std::int64_t k = 0; k < count; ++k) std::memcpy(to + k * 4, &scaled[static_cast<std::size_t>(from[k])], 4);
}

void widen_label(std::byte label, std::byte* to) {
  const auto value = static_cast<std::int32_t>(label);
  std::memcpy(to, &value, sizeof value);
}

}  // namespace heed
