// Kernels of product regions: matrix products and what is mapped over their results, whatever the axes, strides, guards and
// computed operands.
#pragma once
#include <optional>
#include <unordered_set>
#include <vector>

#include "codegen/cpu/jit.h"
#include "codegen/cpu/target.h"
#include "codegen/tile/access.h"
#include "codegen/tile/slices.h"

namespace heed {

struct ProductLaunch {
  KernelSource source;
  std::vector<ArrayRef> buffers;  // of the launch, in order
  std::int64_t tasks, scratch_bytes;
};

struct ProductKernels {
  std::vector<ProductLaunch> launches;  // one after the other
  ArrayRef workspace = nullptr;         // a buffer that is needed from the first launch to the last; null: none
  // Fills a buffer that the launches read; to be run again only when what it reads has changed.
  std::optional<ProductLaunch> preparation;
  ArrayRef kept = nullptr;
  std::vector<ArrayRef> kept_from;
  std::string schedule;  // for people
};

struct ProductOptions {
  const Slices& slices;                     // outputs of the region, and arrays it reads, that are parts of others
  bool is_shared = true;                    // the work is for all threads; else one does all of its tasks
  std::unordered_set<ArrayRef> stays = {};  // arrays that are the same in many runs
};

// Nothing if the region is no product followed by maps at its positions.
std::optional<ProductKernels> product_kernels(const Region& region, const Target& target, const ProductOptions& options,
                                              FaultPlaces& places);

}  // namespace heed
