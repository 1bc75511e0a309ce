// A kernel as loops: what lies between arrays in index notation and machine code. For each row (a position of the outer axes) sweeps
// over inner axes run one after another; reductions of a sweep are values of the row for the sweeps after it.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "codegen/tile/access.h"
#include "codegen/tile/emitter.h"
#include "ir/integer.h"

namespace heed {

// into = reduction over the sweep's axes of body.
struct Accumulation {
  Reduction reduction;
  Expr body;
  ArrayRef into;  // a local without dimensions
};

struct NestStore {
  ArrayRef array;  // an array of the plan, or a strip
  LinearForm address;
  Expr value;
  bool add = false;  // to what is there, where guard holds (a scatter)
  Expr guard = nullptr;
  Expr onto = nullptr;  // what the task has summed there so far (Part), to which the value is added
};

struct Sweep {
  int level = 0;
  std::vector<AxisRef> axes;    // outermost first; none: once a row
  AxisRef lane_axis = nullptr;  // the one along the lanes, unless the nest has a lane_row
  int unroll = 1;               // vectors at a time along lane_axis
  bool turns = false;           // stores to strips that lie along axes[0], where values lie along the lanes
  std::vector<Accumulation> accumulations;
  std::vector<NestStore> stores;
};

// Values of an inner expression that a later sweep needs again, kept in scratch for the row (or for each lane's row).
struct Strip {
  ArrayRef array;
  std::int64_t offset = 0;  // bytes in scratch
};

// Two axes of sweeps that go by blocks of so many positions each: what lies along one of them stays near while it is read along the other.
struct Square {
  AxisRef row, lane;
  std::int64_t side;
  std::int64_t count() const { return ceil_divide(row->size, side) * ceil_divide(lane->size, side); }
};

// Sums over the rows of a task: a local array, no larger than a row's, that starts at zero and lies in the task's line of `into`.
struct Part {
  ArrayRef array;
  AxisRef element = nullptr;  // of all that it has
  ArrayRef into = nullptr;    // [tasks, …]
};

// How the threads of a block share a nest on a GPU: so many rows at a time, so many threads along the sweeps of each. Powers of two.
struct Spread {
  int rows = 1, along = 1;
  bool rows_adjacent = true;  // threads next to each other have rows next to each other; else neighbours along the sweeps
};

struct Nest {
  std::vector<AxisRef> rows;   // outermost first, without lane_row
  AxisRef lane_row = nullptr;  // an outer axis along the lanes
  int unroll = 1;              // vectors at a time along lane_row
  std::vector<Sweep> sweeps;
  std::vector<ArrayRef> locals;
  std::vector<Strip> strips;
  std::vector<Part> parts;
  std::optional<Square> square;  // each is a row of its own, inside of the others
  std::int64_t scratch_bytes = 0;
  std::int64_t rows_per_task = 1, lanes_per_task = 1, tasks = 1;
  Spread spread;      // of a GPU
  double cycles = 0;  // an estimate

  std::int64_t row_count() const;  // times the squares, if it goes by them
  bool has_part(ArrayRef array) const;
  // Every expression in it.
  std::vector<Expr> roots() const;
};

// Applies a change to every expression.
void rewrite_nest(Nest& nest, const std::function<Expr(Expr)>& change);

// --- merge_axes.cpp: axes next to each other that every address passes through as one become one.
void merge_axes(Nest& nest);

// --- schedule.cpp: which axis lies along the lanes, what is kept in strips, how the work is cut into tasks.
void schedule(Nest& nest, VectorShape shape);
// --- turned_reads.cpp: maps that read across their lanes go by squares, if that takes fewer cycles.
void turn_reads(Nest& nest, VectorShape shape);
// --- spread.cpp: the same for a GPU: sets `spread`, the sweeps' lane_axis (what varies fastest along their threads), and tasks.
void spread(Nest& nest, VectorShape shape);
// --- emit_nest.cpp
// Notes every expression; afterwards the buffers are known.
void prepare_nest(const Nest& nest, Accesses& accesses);
void emit_nest(llvm::Module& module, const std::string& symbol, const Nest& nest, const Accesses& accesses, VectorShape shape);

// --- nest_text.cpp: a text that determines the code; equal for equal nests whatever their arrays and axes are called.
std::string text_of(const Nest& nest, const Accesses& accesses, VectorShape shape);

}  // namespace heed
