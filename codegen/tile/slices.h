// Where what a kernel makes or reads lies in memory: an array of its own, or a part of a larger one (ir/plan.h, Slice).
#pragma once
#include <span>
#include <unordered_map>
#include <vector>

#include "ir/algebra.h"
#include "ir/plan.h"

namespace heed {

using Slices = std::unordered_map<ArrayRef, Slice>;

struct Element {
  ArrayRef array;  // that lies in memory
  std::vector<Expr> indices;
};

// The element of memory that stands for the array's element at the indices.
Element element_of(ArrayRef array, std::span<const Expr> indices, const Slices& slices);
// Its address, in elements from the start of the array.
LinearForm address_of(const Element& element);

}  // namespace heed
