// A region in blocks whose values of rows and columns lie in registers, as fragments of matrix products (a GPU): what its kernel does,
// in the algebra's normal form. One block of threads has some rows of one position of each unit and goes over columns a block at a time.
#pragma once
#include <algorithm>
#include <vector>

#include "ir/algebra.h"

namespace heed {

// A matrix in memory that products read: lines, and elements side by side along each.
struct RegisterTile {
  ArrayRef array;      // of 16-bit floating values
  LinearForm address;  // in elements, of the first element of the first line; of units alone
  AxisRef line, along;
  std::int64_t stride;  // elements from a line to the next
};

// Where lines of a tile lie in its array for each unit, as copies of boxes need it: at offset + stride * number, number < count.
struct TileGrid {
  std::int64_t offset = 0, stride = 0, count = 1;
  LinearForm number{};  // of units alone
};

// Values of a step are expressions over the program's axes, the arrays that the kernel reads, and stand-ins for what steps before it made.
struct RegisterStep {
  enum class Kind : std::uint8_t {
    score,   // into[row, column] = sum over `over` of tile `left` [row, over] * tile `right` [column, over]
    sum,     // into[row, width] = value + sum over columns of factor[row, column] * tile `right` [column, width]
    reduce,  // into[row] = reduction over `over` of factor, and of value; value may be null
    keep,    // the kept value `into` becomes `value`, after all steps of the body
    store,   // `value` at `address` of the array `into`
  } kind;
  ArrayRef into;
  Expr value = nullptr, factor = nullptr;
  int left = -1, right = -1;  // numbers of tiles
  Reduction reduction = Reduction::sum;
  AxisRef over = nullptr;
  LinearForm address{};
};
using RegisterSteps = std::vector<RegisterStep>;

// Whether an expression of a step reads the array; null reads nothing.
inline bool reads(Expr x, ArrayRef array) {
  return x && std::ranges::any_of(nodes_of(x), [&](Expr node) { return node->op == Op::read && node->array == array; });
}

// Whether it is a read of the array and nothing else.
inline bool is_read_of(Expr x, ArrayRef array) { return x && x->op == Op::read && x->array == array; }

struct RegisterProgram {
  std::vector<AxisRef> units;          // positions that a task has one of
  AxisRef row, column;                 // of the whole arrays
  std::vector<AxisRef> widths;         // other axes
  std::int64_t rows = 0, columns = 0;  // of a block; the last one may have fewer
  std::int64_t tall = 0;               // fragments of 16 rows that a warp has, one below the other
  std::vector<ArrayRef> kept;          // stand-ins for values that stay from one step to the next: [row] or [row, width]
  std::vector<bool> spread;            // sums that are needed after the last column alone: each thread may have a part of them
  std::vector<RegisterTile> tiles;
  // Groups of four warps that multiply 64 rows each together, by what lies in shared memory (sm_90a); 0: each warp by itself.
  int groups = 0;
  int single_warps = 4;         // of a block, where there are no groups
  std::vector<TileGrid> grids;  // of tiles, where there are groups
  // Values of rows and columns that expressions read by a stand-in.
  std::vector<std::pair<ArrayRef, Expr>> names;

  // What is done for some rows, in order: once, or for blocks of columns. Kinds differ in what of their conditions is decided.
  struct Kind {
    RegisterSteps steps;
    bool is_ragged = false;  // of the last columns, where they are fewer
  };
  struct Part {
    bool over_columns = false;
    std::vector<Kind> kinds;  // one, if it is not over columns
    RegisterSteps advance;    // after each block of columns
  };
  std::vector<Part> parts;
  // So many blocks of columns from one on; of each part over columns and each of its kinds, in this order.
  struct Run {
    std::int64_t column, blocks;
  };
  struct Rows {
    std::int64_t row;
    std::vector<Run> runs;
  };
  std::vector<Rows> blocks;  // of rows, in the order in which they are begun

  int warps() const { return groups > 0 ? 4 * groups : single_warps; }
};

// Calls use(part, step, advances) for all steps of a program.
template <class Program, class Use>
void for_steps(Program& program, Use use) {
  for (auto& part : program.parts) {
    for (auto& kind : part.kinds)
      for (auto& step : kind.steps) use(part, step, false);
    for (auto& step : part.advance) use(part, step, true);
  }
}

}  // namespace heed
