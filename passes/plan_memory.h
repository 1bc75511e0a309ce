// Gives every stored value a place.
#pragma once
#include <vector>

#include "ir/plan.h"
#include "passes/lifetimes.h"

namespace heed {

// Values that are live at once lie apart; the arena is shared by lifetime, each block in the smallest gap that holds it.
// A map may write over an operand that it reads last, at the same positions; so may an update over what it replaces (Plan::in_place).
// Bodies of scans are planned, too, and their arenas lie in the outer one for the time of the scan. Fills Plan::places, arena_bytes and
// in_place.
void plan_memory(Plan& plan);

struct MemoryFigures {
  std::int64_t arena_bytes = 0;
  std::int64_t lower_bound = 0;   // the most that is live in one step, as if all could move freely
  std::int64_t stored_bytes = 0;  // of all values in the arena, without sharing
  std::int64_t largest = 0;       // the largest of them
};
MemoryFigures memory_figures(const Plan& plan);

// Bytes of the arena that are live in each step. What is written over an operand counts once.
std::vector<std::int64_t> live_bytes(const Plan& plan);
// What holds the arena in a step, the largest first. Memory that a scan works in has no array.
struct Holder {
  Lifetime life;
  std::int64_t bytes;
};
std::vector<Holder> holders(const Plan& plan, int step);

// What one thread works in, in bytes: values of a block, and those that stay from one to the next.
std::int64_t scratch_bytes(const Blocks& blocks);

// Throws std::logic_error naming both values if two that are live at once share memory. For tests and reports of faults.
void check_memory(const Plan& plan);

// Whether an output of a region may be written over an operand: it and all that depends on the operand, also by way of other outputs, are
// maps at the region's outer axes, the operand is read at the element that is written alone, and what is stored later depends on it by way
// of this output at most, in the same sweep.
bool may_overwrite(const Region& region, ArrayRef output, ArrayRef operand);

}  // namespace heed
