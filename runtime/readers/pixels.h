// Images as files hold them: bytes.
#pragma once
#include <cstddef>
#include <cstdint>

namespace heed {

// 0 … 255 to f32 from 0 to 1.
void scale_pixels(const std::byte* from, std::int64_t count, std::byte* to);
// A byte to i32.
void widen_label(std::byte label, std::byte* to);

}  // namespace heed
