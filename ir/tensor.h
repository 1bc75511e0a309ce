// A value as data: elements of one type in a box, row-major, as they lie in memory and files.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

#include "ir/dtype.h"

namespace heed {

struct Tensor {
  DType dtype = DType::f32;
  std::vector<std::int64_t> shape;
  std::vector<std::byte> bytes;

  Tensor() = default;
  Tensor(DType dtype, std::vector<std::int64_t> shape);  // zeros

  std::int64_t count() const { return static_cast<std::int64_t>(bytes.size()) / byte_size(dtype); }
  // Element `index` of the row-major order. Any type reads as either; a floating element reads as an integer truncated.
  double real(std::int64_t index) const;
  std::int64_t integer(std::int64_t index) const;
  // Rounds to even, truncates towards zero or wraps, as a cast to the type does.
  void set(std::int64_t index, double value);
  void set(std::int64_t index, std::int64_t value);
};

}  // namespace heed
