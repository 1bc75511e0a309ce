// A product region with one flat axis for each role: batch, row, column, depth. Axes that nest in memory come out as plain
// strides, the others as quotients and remainders of the flat axis, by the algebra's rules alone.
#pragma once
#include <optional>
#include <vector>

#include "codegen/tile/slices.h"
#include "ir/product_form.h"

namespace heed {

struct FlatProduct {
  DType dtype;                        // of the sum: f32, f64 or i64
  AxisRef batch, row, column, depth;  // of any size; those of size 1 appear in no expression
  Expr a, b;                          // over batch, row, depth; batch, column, depth
  ArrayRef sum;                       // stands for the sum at the present positions, in the values below
  struct Output {
    ArrayRef array;  // that lies in memory
    Expr value;      // what is stored, over batch, row, column and `sum`
    Expr address;    // where, in elements
  };
  std::vector<Output> outputs;

  // Over pairs of the depth (codegen/tile/product_pairs.h): a and b are their first halves, or the words that hold both.
  struct Words {
    ArrayRef words, array;  // in the array's memory
    Expr read;
  };
  bool is_paired = false;
  Expr a_odd = nullptr, b_odd = nullptr;  // the second halves
  std::vector<Words> words;
};

// Nothing if the region is no product followed by maps at its positions. `swapped`: b's own axes are the rows.
std::optional<FlatProduct> flat_product(const Region& region, bool swapped, const Slices& slices, Numbers numbers);

}  // namespace heed
