// Matrix products, recognised by axes: a sum whose body is a product of two groups of factors. No operation's name matters, so
// convolutions, merged heads, slices of one stored array and strided gradients are products like any other.
#pragma once
#include <cstdint>
#include <optional>

#include "ir/graph.h"

namespace heed {

// sum[k](a * b). Of the axes with more than one element that are free in the sum, those of both operands are `batch`, those of
// a alone `m`, of b alone `n`; neither m nor n is empty. Operands are any expressions without reductions: reads with strides
// and guards, or computed.
struct ProductForm {
  Expr sum;
  Expr a, b;
  AxisSet batch, m, n, k;
};

enum class Numbers : std::uint8_t { floating, all };  // all: integers, too

// Nothing if `sum` is no product, or none of such numbers.
std::optional<ProductForm> product_form(Expr sum, Numbers numbers = Numbers::floating);

// The product in an array's body: the only reduction in it, at all of the array's positions and free of other axes; the rest of the body
// maps its value at the array's own positions.
std::optional<ProductForm> product_form_of(ArrayRef array, Numbers numbers = Numbers::floating);

// Number of positions that the axes span.
std::int64_t span_of(const AxisSet& axes);

// Multiplications and additions of the sum alone.
double flop(const ProductForm& form);

}  // namespace heed
