// Regions that run block by block: values with rows and columns, as attention's scores, exist for some rows at a time and are never stored.
#pragma once
#include <map>
#include <optional>
#include <string>
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
  bool row_is_batch = false;              // both operands of every virtual product have it: it would be better as a unit
  std::vector<int> could_be_units;        // every array has them, but blocks of several positions make better products
  std::vector<std::vector<int>> reduced;  // by array: the units and the row if it is reduced over them: blocks add to it
  // The array's position on an axis; -1 if there is none.
  int position_on(std::size_t array, int axis) const;
  bool is_cut(int axis) const;
  std::int64_t size_of(int axis) const { return frame.sizes[static_cast<std::size_t>(axis)]; }
};

// What of the columns is needed where that depends on data: from `begin` to `end` (excluded), by some of the units and the block of rows.
struct ColumnArrays {
  ArrayRef begin = nullptr, end = nullptr;  // i64
  std::vector<int> units;                   // numbers in BlockAxes::units, in the order of the arrays' positions
};

// Conditions in bodies of a region's arrays that hold, or fail, everywhere in some block: by number of the array and id of the condition.
using DecidedConditions = std::map<std::pair<std::size_t, std::uint32_t>, bool>;

// How blocks go over parts of the columns in passes (passes/column_passes.h). By array of the region:
struct ColumnPasses {
  enum class Role : std::uint8_t {
    wide,     // has columns: made for the columns of a block, in each pass that needs it
    reduced,  // over columns: made in one pass
    narrow,   // made of what the passes before have made
  };
  // A reduction that is made while the maximum that it is shifted by runs: all that there is of it is of degree `power` in exp(-shift).
  struct Running {
    std::size_t maximum, shift;
    double power;
  };
  std::vector<Role> role;
  std::vector<int> pass;  // reduced, or wide and an output: which makes it; narrow: before which it is made
  std::vector<std::optional<Running>> running;
  int count = 0;
};

struct BlockRegion {
  std::vector<ArrayRef> arrays;   // in order
  std::vector<ArrayRef> outputs;  // of them: what is read by others, or by the caller
  BlockAxes axes;
  std::int64_t rows = 0;  // of a block; the last one may have fewer
  std::optional<ColumnArrays> by_data;
  std::optional<ColumnPasses> passes;  // blocks have some columns, too
  std::int64_t columns = 0;            // so many; the last ones may have fewer
  // Values of rows and columns lie in registers: blocks are whole, also where fewer rows or columns are left.
  bool in_registers = false;
  bool decides_parts = false;    // of conditions: fewer comparisons, more kinds of blocks
  std::string not_in_registers;  // why not, where that could be
  int groups = 0;                // of warps that multiply together (RegisterProgram)
  int single_warps = 4;          // where there are none
  std::string not_wide;          // why there are none, where that could be
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
// the indices in its conditions. Values that are read are taken to be finite. A good guess saves time.
ColumnRange needed_columns(const BlockRegion& region, std::int64_t first, std::int64_t last, std::optional<ColumnRange> guess = {});
// Some columns that rows need, and what of the conditions is decided there.
struct ColumnPart {
  std::int64_t column, columns;
  DecidedConditions decided;
};
// In parts of `region.columns`, without those from which no reduction gets anything but its identity.
std::vector<ColumnPart> column_parts(const BlockRegion& region, std::int64_t first, std::int64_t last);
// The same from the bounds of integers and truths that the conditions read, in blocks of `rows`; nothing if data decides nothing.
std::optional<ColumnArrays> columns_by_data(const BlockRegion& region);

}  // namespace heed
