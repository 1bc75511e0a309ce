// What profiles, errors and messages say of a region.
#pragma once
#include "ir/plan.h"
#include "runtime/program.h"

namespace heed {

// Label, source line and layer, operations (each counted where its axes are), bytes that it reads and stores once, and what of it may be
// infinite or NaN of finite values. A region in blocks counts as if it ran whole.
RegionInfo region_info(const Region& region);

}  // namespace heed
