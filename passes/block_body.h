// The bodies of blocks: arrays of a region remade at the size of a block.
#pragma once
#include <optional>
#include <unordered_map>
#include <unordered_set>

#include "passes/blocks.h"

namespace heed {

// What a body of a region makes. All but `whole` are of regions that go over their columns in passes.
struct BodyWork {
  enum class Kind : std::uint8_t {
    whole,    // everything
    between,  // before a pass, or after the last one: what has no columns, and what reductions begin with
    columns,  // in a pass, of some columns
    advance,  // after that: the maximum so far becomes what the next columns find
  };
  Kind kind = Kind::whole;
  int pass = 0;
  std::size_t turn = 0;  // of bodies between the same passes
  bool operator<(const BodyWork& other) const;
};

// Where blocks begin, over all that have the body.
struct BodyExtent {
  std::int64_t rows, columns;
  Interval first_rows, first_columns;
};

class BodyMaker {
 public:
  // The axes beside which rows are the last position of local values.
  BodyMaker(const BlockRegion& region, const Graph& graph, const Machine& machine);

  // Values that stay from one block to the next of the same rows.
  const std::vector<ArrayRef>& kept() const { return all_kept_; }
  // The works for some rows, in order; those in a pass are for each part of the columns.
  std::vector<BodyWork> works() const;
  // Not cut into regions yet.
  Plan make(const BodyWork& work, const BodyExtent& extent, const DecidedConditions& decided) const;
  // Axes of the region's frame along the positions of a body's array that has more than one element, or of a kept value; -1: of one
  // element. Nothing if it stands for values on several axes.
  std::optional<std::vector<int>> axes_of(ArrayRef array) const;

 private:
  friend class Body;
  struct Beginning {
    ArrayRef kept;
    double value;
  };
  void keep(ArrayRef like, std::size_t k, ArrayRef& place);
  void note(ArrayRef array, std::size_t k, bool is_kept) const;
  std::vector<AxisRef> order_of(std::size_t k) const;
  int joined(std::size_t array, AxisRef axis) const;

  const BlockRegion& region_;
  const BlockAxes& axes_;
  const Graph& graph_;
  std::unordered_set<int> before_rows_;
  std::vector<ArrayRef> kept_, before_;  // by array, or null: its value for these rows; a maximum as it was before the last columns
  std::vector<ArrayRef> all_kept_;
  std::vector<std::vector<std::vector<Beginning>>> beginnings_;  // by pass and turn
  mutable std::unordered_map<ArrayRef, std::optional<std::vector<int>>> axes_of_;
};

}  // namespace heed
