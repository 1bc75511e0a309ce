// What the model calls axes: the symbols of its inputs' shapes, followed along plain reads.
#pragma once
#include <string>
#include <unordered_map>

#include "ir/graph.h"

namespace heed {

class AxisNames {
 public:
  explicit AxisNames(const Graph& graph);

  // Of a position or bound axis of the array: "T"; "" where the model has no name for it.
  std::string name(ArrayRef array, AxisRef axis) const;
  // "[B, T, 384]": a name, or the size where there is none.
  std::string shape(ArrayRef array) const;
  // "bf16[B, T, 384]"; without the type if that is f32, "f32" for one number.
  std::string typed_shape(ArrayRef array) const;

 private:
  using Names = std::unordered_map<AxisRef, std::string>;
  const Names& names_in(ArrayRef array) const;

  mutable std::unordered_map<ArrayRef, Names> names_;
};

}  // namespace heed
