// From the arrays of a region to nests of loops.
#pragma once
#include <unordered_map>
#include <vector>

#include "codegen/tile/nest.h"
#include "codegen/tile/slices.h"
#include "ir/plan.h"
#include "ir/region_frame.h"

namespace heed {

// Arrays that a kernel reads stand in its expressions as inputs of their own, so that no constructor opens them; inputs stand for
// themselves.
class StandIns {
 public:
  ArrayRef of(ArrayRef array);
  // A read of what lies in memory where the array's element is.
  Expr read(ArrayRef array, std::span<const Expr> indices);
  Element element(ArrayRef array, std::span<const Expr> indices) const { return element_of(array, indices, *slices_); }
  // Until the next call; they must live so long.
  void set_slices(const Slices* slices) { slices_ = slices ? slices : &none_; }
  ArrayRef original(ArrayRef array) const;  // the array itself if it stands for none

 private:
  std::unordered_map<ArrayRef, ArrayRef> stand_ins_, originals_;
  const Slices none_;
  const Slices* slices_ = &none_;
};

struct Lowered {
  std::vector<Nest> nests;          // in order
  std::vector<ArrayRef> workspace;  // arrays that some of them write for later ones, in no place of the plan
};

// Any region: as one nest where its arrays share their outer axes, else one nest an array.
Lowered lower_region(const Region& region, StandIns& stand_ins, VectorShape shape);

// --- lower.cpp: one nest, and before it those for reductions that are done apart. `members` in order; they are opened where they are
// read, and those in `stored`, none of them empty, are written.
Lowered lower_together(const std::vector<ArrayRef>& members, const std::vector<ArrayRef>& stored, StandIns& stand_ins, VectorShape shape);
// The same together with `sums`: they take all rows of the others, which read none of them (RegionFrame::over_rows). Each task sums its
// rows in the sweeps that make them, and a nest after that adds the tasks' sums in order. Nothing if rows would have to be given up.
std::optional<Lowered> lower_with_sums(const std::vector<ArrayRef>& members, const std::vector<ArrayRef>& stored,
                                       const std::vector<ArrayRef>& sums, const RegionFrame& frame, StandIns& stand_ins, VectorShape shape);

// --- lower_scatter.cpp: `sum over axes of select(read(axes) == position, g, 0)`, as additions at the positions that are read.
std::optional<Nest> lower_scatter(ArrayRef array, StandIns& stand_ins);

}  // namespace heed
