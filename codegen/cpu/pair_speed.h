// How fast the processor multiplies pairs of bf16.
#pragma once

namespace heed {

// Whether products of bf16 factors gain from vdpbf16ps, against factors that are widened to f32. Measured in some tens of microseconds: of
// processors that have the instruction some are twice as fast by it, and some half as fast. Ask only
// where there is AVX512_BF16.
bool pairs_are_faster();

}  // namespace heed
