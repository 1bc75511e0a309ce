// The adjoint of a read: where the indices can be solved, an expression at the positions of what was read; else a guarded sum.
#pragma once
#include <span>

#include "ir/graph.h"

namespace heed {

// A value at the axes `axes` was made with array[indices], and `adjoint` is the derivative by that read. Returns what this adds to the
// derivative by the array, at its positions: sum over axes of adjoint where indices == positions. Affine indices are solved (one axis,
// mixed radix, the longest axis of a window), quotients and remainders are opened. A data-dependent index stays as the condition of a
// sum `sum[axes](select(read == position, adjoint, 0))`, which is an array of its own: kernels know this form.
Expr adjoint_of_read(ArrayRef array, std::span<const Expr> indices, Expr adjoint, const AxisSet& axes);

}  // namespace heed
