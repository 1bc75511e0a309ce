// Regions that run block by block: values with rows and columns, as attention's scores, exist for some rows at a time and are never stored.
#pragma once
#include <optional>
#include <unordered_set>
#include <vector>

#include "ir/plan.h"
#include "ir/region_frame.h"
#include "passes/work.h"

namespace heed {

// Which axes of a region's arrays are cut. Axes are those of the frame.
struct BlockAxes {
  RegionFrame frame;       // of the region's arrays
  std::vector<int> units;  // a block has one position of each; those that no array is reduced over come first
  int row = -1;            // a block has some positions
  int column = -1;         // a block has the positions that its rows need, the same number in many; -1: all
  int parallel_units = 0;
  bool parallel_rows = false;
  std::vector<std::vector<int>> reduced;  // by array: the units and the row if it is reduced over them: blocks add to it
  // The array's position on an axis; -1 if there is none.
  int position_on(std::size_t array, int axis) const;
  bool is_cut(int axis) const;
};

// What of the columns is needed where that depends on data: from `begin` to `end` (excluded), by some of the units and the block of rows.
struct ColumnArrays {
  ArrayRef begin = nullptr, end = nullptr;  // i64
  std::vector<int> units;                   // numbers in BlockAxes::units, in the order of the arrays' positions
};

struct BlockRegion {
  std::vector<ArrayRef> arrays;   // in order
  std::vector<ArrayRef> outputs;  // of them: what is read by others, or by the caller
  BlockAxes axes;
  std::int64_t rows = 0;  // of a block; the last one may have fewer
  std::optional<ColumnArrays> by_data;
};

// What of the graph's arrays (in order, none of them an input) runs block by block. An array that no region in blocks makes as an output,
// and no other reader needs, need not be stored. Arrays of a region may be locals of others, too: they are made again there.
//
// A value is a candidate to be never stored if it is a contraction or a crossing at least twice as large as the largest stored value it is
// made from, or elementwise of such a one. Regions gather its readers as long as rows are independent: each array has the row as an axis,
// or is reduced over it and read by others only. It is done where the memory traffic saved outweighs what is computed again.
std::vector<BlockRegion> find_blocks(const std::vector<ArrayRef>& arrays, const std::unordered_set<ArrayRef>& results,
                                     const Machine& machine);

// The bodies and the order of blocks; bodies are not yet cut into regions.
std::shared_ptr<Blocks> make_blocks(const BlockRegion& region, const Graph& graph, const Machine& machine);

// --- needed_columns.cpp
struct ColumnRange {
  std::int64_t begin, end;  // end excluded; empty where begin = end
};
// The columns outside of which no reduction of the region receives anything but its identity from rows first … last, by the intervals of
// the indices in its conditions. Values that are read are taken to be finite.
ColumnRange needed_columns(const BlockRegion& region, std::int64_t first, std::int64_t last);
// The same from the bounds of integers and truths that the conditions read, in blocks of `rows`; nothing if data decides nothing.
std::optional<ColumnArrays> columns_by_data(const BlockRegion& region);

}  // namespace heed
