// A region's fingerprint numbers the arrays in it: what was lowered for one serves another with the arrays of the same numbers.
#include "codegen/lowered_regions.h"

#include <fmt/format.h>

#include <algorithm>

#include "codegen/tile/product.h"
#include "ir/fingerprint.h"

namespace heed {

LoweredRegion LoweredRegions::lower(const Region& region, const Place& place) {
  LoweredRegion out;
  const int asked = faults_.asked();
  bool empty = std::ranges::any_of(region.outputs, [](ArrayRef array) { return element_count(array) == 0; });
  const ProductOptions options{place.slices, place.is_shared, place.stays};
  if (auto product = empty ? std::nullopt : product_kernels(region, target_, options, faults_)) {
    if (product->workspace) out.workspace = {product->workspace};
    auto launch_of = [](ProductLaunch& launch) {
      return RegionLaunch{std::move(launch.source), launch.tasks, launch.scratch_bytes, std::move(launch.buffers)};
    };
    for (ProductLaunch& launch : product->launches) out.launches.push_back(launch_of(launch));
    if (product->preparation) {
      out.preparation = launch_of(*product->preparation);
      out.kept = product->kept, out.kept_from = std::move(product->kept_from);
    }
  } else {
    VectorShape shape = shape_;
    shape.is_shared = place.is_shared;
    Lowered lowered = lower_region(region, stand_ins_, shape);
    out.workspace = std::move(lowered.workspace);
    for (Nest& nest : lowered.nests) {
      auto kept = std::make_shared<Nest>(std::move(nest));
      auto accesses = std::make_shared<Accesses>(faults_);
      prepare_nest(*kept, *accesses);
      KernelSource source{text_of(*kept, *accesses, shape_),
                          [kept, accesses, shape = shape_](llvm::Module& module, const std::string& symbol) {
                            emit_nest(module, symbol, *kept, *accesses, shape);
                          }};
      out.launches.push_back({std::move(source), kept->tasks, kept->scratch_bytes, accesses->buffers()});
    }
  }
  out.serves_others = faults_.asked() == asked;
  return out;
}

LoweredRegion LoweredRegions::of(const Region& region, const Place& place) {
  std::vector<ArrayRef> members = region.locals;
  members.insert(members.end(), region.outputs.begin(), region.outputs.end());
  Fragment fragment = fingerprint(members, place.slices);
  std::string staying;  // which of its arrays
  for (std::size_t k = 0; k < fragment.arrays.size(); ++k)
    if (place.stays.contains(fragment.arrays[k])) staying += fmt::format("{} ", k);
  auto [found, is_new] = known_.try_emplace(fmt::format("{} {} {}\n{}", place.is_shared, region.locals.size(), staying, fragment.bytes));
  LoweredRegion& known = found->second;
  if (is_new) {
    known = lower(region, place);
    known.arrays = std::move(fragment.arrays);
    auto is_known = [&](ArrayRef buffer) {
      return std::ranges::find(known.workspace, buffer) != known.workspace.end() || buffer == known.kept ||
             std::ranges::find(known.arrays, stand_ins_.original(buffer)) != known.arrays.end();
    };
    for (const RegionLaunch& launch : known.launches) known.serves_others &= std::ranges::all_of(launch.buffers, is_known);
    return known;
  }
  if (!known.serves_others) return lower(region, place);
  std::unordered_map<ArrayRef, ArrayRef> table;  // Workspace may be one of the region's locals, or the lowering's own.
  for (std::size_t k = 0; k < known.arrays.size(); ++k) table.emplace(known.arrays[k], fragment.arrays[k]);
  LoweredRegion out = known;
  auto move = [&](ArrayRef& array) {
    auto own = table.find(stand_ins_.original(array));
    if (own != table.end()) array = own->second;
  };
  std::ranges::for_each(out.workspace, move);
  std::ranges::for_each(out.kept_from, move);
  if (out.preparation) std::ranges::for_each(out.preparation->buffers, move);
  for (RegionLaunch& launch : out.launches) std::ranges::for_each(launch.buffers, move);
  return out;
}

}  // namespace heed
