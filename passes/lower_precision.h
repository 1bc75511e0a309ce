// Holds the factors of products, and what is stored between regions, in a smaller type.
#pragma once
#include "ir/graph.h"

namespace heed {

// `to` is bf16 or f16. Of f32 values:
// - The factors of each product (ir/product_form.h) are rounded to `to`. Its sum stays f32.
// - An activation that some factor depends on is an array of that type: rounded once, where it is made, whoever reads it. Activations are
//   the results of products, what is elementwise of them or of inputs, and what is looked up in inputs.
// - What keeps its type and is a factor has one rounded copy that all products read: parameters, data, states, results.
// Everything else keeps its type: results and updates, what updates are elementwise made from (so gradients of parameters, the optimizer),
// what enters or leaves a scan; reductions, and what is made of those alone (row statistics, losses); what depends on positions or
// parameters alone; rows that a softmax is taken of; values that blocks do not store (virtual_values.h) and sums over them; the value of a
// product that one map alone reads, for that is at hand.
Graph lower_precision(const Graph& graph, DType to);

}  // namespace heed
