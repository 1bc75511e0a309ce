// Which columns give some rows of a region nothing but the identities of its reductions.
#pragma once
#include <functional>
#include <unordered_map>

#include "passes/blocks.h"

namespace heed {

// Bounds of an integer, as expressions; null: not known.
struct Range {
  Expr low = nullptr, high = nullptr;
};

// Where the positions of a region's axes lie: rows and columns in a range, each unit at one place. What is not given is anywhere.
struct Extent {
  Range rows, columns;
  std::unordered_map<int, Expr> units;  // by axis of the frame
  // Bounds of what an integer array (or the truths 0 and 1) holds where an index lies in the extent. May be empty: nothing is known then.
  std::function<Range(Expr read, const std::unordered_map<AxisRef, int>& axis_of)> bounds_of_read;
};

// The conditions in the arrays' bodies, by array, that surely hold, or fail, everywhere in the extent.
DecidedConditions decided_conditions(const BlockRegion& region, const Extent& extent, Arena& arena);
// Whether every condition of the bodies that depends on columns is among them.
bool all_are_decided(const BlockRegion& region, const DecidedConditions& decided);

// True only if, in the extent, every reduction over columns gets nothing but its identity, and so does everything with columns that is
// completed by other blocks, and no value of a single row and column is an output. Floating values that are read are taken to be finite.
Expr are_idle(const BlockRegion& region, const Extent& extent, Arena& arena);

}  // namespace heed
