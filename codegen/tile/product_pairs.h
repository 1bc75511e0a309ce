// Products of bf16 factors on processors that multiply pairs of them: two steps of the depth at once, sums in f32.
#pragma once
#include "codegen/tile/product_region.h"

namespace heed {

// The product with pairs as its depth. A word of 4 bytes holds a pair, the even place of the depth in its lower half; in packed blocks and
// in registers words go as f32. Nothing if a factor may hold anything but values of bf16.
std::optional<FlatProduct> over_pairs(const FlatProduct& product);

}  // namespace heed
