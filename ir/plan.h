// What fusion decides and code generation needs, as plain data: which arrays are stored, which kernel computes them, where they lie.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <variant>
#include <vector>

#include "ir/graph.h"
#include "ir/register_program.h"

namespace heed {

// One kernel. It means exactly what its arrays' bodies mean; locals are never stored and may be remade in several regions.
// Outputs are in an order in which each reads only what comes before it, or comes from outside.
struct Blocks;
struct Region {
  std::vector<ArrayRef> locals;    // in order
  std::vector<ArrayRef> outputs;   // in order
  std::string label;               // in words: "softmax over keys", "product 2048x1536x384, gelu"
  std::shared_ptr<Blocks> blocks;  // of a region that runs block by block; null: it is one kernel
};

struct PlannedScan;

// What a body makes is a part of an array outside: `whole` at `indices`, over the positions of the body's array and the block's offsets.
struct Slice {
  ArrayRef whole;
  std::vector<Expr> indices;
};

struct Plan {
  Graph graph;
  using Step = std::variant<Region, std::shared_ptr<PlannedScan>>;
  std::vector<Step> steps;
  // Results that no region makes: each is a stored array under another shape, with the same elements in the same order.
  std::unordered_map<ArrayRef, ArrayRef> renamed;
  ArrayRef stored_for(ArrayRef result) const {
    auto found = renamed.find(result);
    return found == renamed.end() ? result : found->second;
  }

  // Where a stored array lies. Inputs and results are the caller's buffers; the rest shares one arena by lifetime, 64-byte aligned.
  // - An input lies in its own buffer, also if it is an output at once.
  // - An output that is computed lies in the first output's buffer that it is, or, where `in_place` says so, in that input's buffer.
  // - A renamed output lies where its stored array does.
  // - If one array is several outputs, or an input is an output, the others are copies of it, made at the end.
  struct Place {
    enum class Kind : std::uint8_t { arena, input, output } kind;
    std::int64_t offset = 0;  // arena: bytes; input: index in graph.inputs; output: index in graph.outputs
  };
  std::unordered_map<ArrayRef, Place> places;
  std::int64_t arena_bytes = 0;
  // Outputs that are updates written over what they replace: output's index and input's, in order. The caller binds both to one buffer.
  std::vector<std::pair<int, int>> in_place;
  // What is the same in every run until a parameter or a state is given another value: inputs of these kinds that no output updates, and
  // what the first `invariant_steps` steps make. Those need not run again; what later steps read of them keeps its place.
  std::unordered_set<ArrayRef> invariants;
  int invariant_steps = 0;
  // Of the body of a region in blocks: outputs that are parts of the region's outputs. The memory it works in is one thread's.
  std::unordered_map<ArrayRef, Slice> slices;
};

// How a region runs block by block, so that values with rows and columns exist for some rows at a time only. A block has one position
// of each axis in `units`, and some rows. Its body is a plan at the block's sizes: inputs are what the region reads, the outputs that
// blocks add to, and `offsets`; it reads whole arrays at the block's offsets and makes slices of the region's outputs.
struct Blocks {
  std::vector<ArrayRef> offsets;    // i64 scalars: the place in each of `units`, the first row, the first column
  std::vector<std::int64_t> units;  // sizes; those that are independent come first
  int parallel_units = 0;           // so many of them are independent of each other
  bool parallel_rows = false;       // and so are blocks of rows
  std::vector<Plan> bodies;         // one for each size of blocks
  struct Size {
    std::int64_t rows, columns;  // columns: 0 where they are not cut
    int part = 0;                // bodies of one part make the same; they differ in size and in what of a mask is decided
  };
  std::vector<Size> sizes;  // of the blocks of each body
  // Values that stay in the thread's memory from one block to the next of the same rows: [1, …], where columns are cut into blocks, too.
  std::vector<ArrayRef> kept;
  struct Block {
    int body;
    std::int64_t row, column;
    int narrowest = 0;  // body with fewest columns, where `by_data` chooses: those to `body` have the same rows and ever more columns
  };
  // The run makes these before. Of the columns from `begin` to `end` (excluded) a block of rows takes the narrowest body that has them all;
  // or, of several blocks of the same rows, those are left out that have columns, but none of these.
  struct ByData {
    ArrayRef begin, end;     // i64, by some units and the number of the block of rows
    std::vector<int> units;  // which, as numbers in `units`
    bool leaves_out = false;
  };
  std::optional<ByData> by_data;
  std::vector<Block> blocks;          // of one unit, in order
  std::vector<std::int64_t> of_rows;  // for each block of rows the first of its blocks, which one thread runs in order
  // Outputs that blocks add to (or take the maximum with), and what they hold before the first.
  std::vector<std::pair<ArrayRef, double>> initial;
  int passes = 1;      // over the columns
  double visited = 1;  // share of the rows' columns that some block has
  // The same axes in the frame of the region's arrays (ir/region_frame.h); -1: columns are not cut.
  struct Axes {
    std::vector<int> units;
    int row = -1, column = -1;
  } axes;
  std::int64_t rows = 0, columns = 0;
  // For a GPU whose kernels can hold such values in registers: what this one does, or why it is not one.
  std::shared_ptr<const RegisterProgram> registers;
  std::string not_in_registers;
  // Why products are not those of groups of warps, where the GPU has such.
  std::string not_wide;
};

// The body of a scan: a plan of its own whose inputs are the element slices, the carried values and whatever it reads from outside.
// Before the first step the starts are copied to where the carried values lie; after each step `next` is copied there; after the
// last one the carried values are copied to the results that stand for them.
struct PlannedScan {
  const Scan* scan;
  std::vector<ArrayRef> results;   // the scanned arrays that are used, each with its `result`
  std::vector<ArrayRef> captured;  // arrays of the outer plan that the body reads
  Plan body;                       // inputs: element_inputs, carried_inputs, captured; outputs: yields, next, as in `scan`
  // Bytes in the outer plan's arena, in use during the scan alone. Offsets of the body's places count from `arena_offset`.
  std::int64_t arena_offset = 0;
  std::vector<std::int64_t> carried_offsets;  // of each carried value
  std::vector<std::int64_t> next_offsets;     // of each output `next`
  std::vector<std::int64_t> yield_offsets;    // of each output of `yields` that is no result in use; -1 for those that are
};

}  // namespace heed
