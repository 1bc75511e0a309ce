// Regions as launches on the processor. Layers that are repeated have the same regions, of other arrays: each is lowered once.
#pragma once
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "codegen/cpu/jit.h"
#include "codegen/cpu/target.h"
#include "codegen/tile/access.h"
#include "codegen/tile/emitter.h"
#include "codegen/tile/lower.h"
#include "codegen/tile/slices.h"

namespace heed {

struct RegionLaunch {
  KernelSource source;
  std::int64_t tasks, scratch_bytes;
  std::vector<ArrayRef> buffers;  // stand-ins, too
};

struct LoweredRegion {
  std::vector<RegionLaunch> launches;  // in order
  std::vector<ArrayRef> workspace;     // needed from the first launch to the last, in no place of the plan
  // Fills `kept`; to be run again only when `kept_from` has changed.
  std::optional<RegionLaunch> preparation;
  ArrayRef kept = nullptr;
  std::vector<ArrayRef> kept_from;
  std::vector<ArrayRef> arrays;  // by number in the region's fingerprint
  bool serves_others = true;     // no message of its kernels names it
};

class LoweredRegions {
 public:
  // All of them must live as long.
  LoweredRegions(const Target& target, const VectorShape& shape, FaultPlaces& faults, StandIns& stand_ins)
      : target_(target), shape_(shape), faults_(faults), stand_ins_(stand_ins) {}

  struct Place {
    const Slices& slices;                       // of the body it is in
    bool is_shared;                             // its work is for all threads
    const std::unordered_set<ArrayRef>& stays;  // what is the same in many runs of it
  };
  // Of a region that is not in blocks.
  LoweredRegion of(const Region& region, const Place& place);

 private:
  LoweredRegion lower(const Region& region, const Place& place);

  const Target& target_;
  const VectorShape& shape_;
  FaultPlaces& faults_;
  StandIns& stand_ins_;
  std::unordered_map<std::string, LoweredRegion> known_;  // by fingerprint
};

}  // namespace heed
