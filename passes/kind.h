// What kind of kernel an array asks for.
#pragma once
#include <optional>

#include "ir/graph.h"
#include "ir/product_form.h"

namespace heed {

enum class Kind : std::uint8_t {
  map,        // no reduction
  reduction,  // a reduction that is none of the below
  product,    // a matrix product, as ir/product_form.h has it
  scatter,    // the sum over all places whose index, read from an array, is this position
};

// Of a body as `isolate_reductions` leaves it; a body with several reductions is a reduction.
Kind kind_of(ArrayRef definition);
// The reduction at the root of the body, or under the constant factor or guard there; null for any other body.
Expr root_reduction(ArrayRef definition);

}  // namespace heed
