// Random typed graphs, half of them attention-shaped: values stay finite and moderate, so that results can be compared.
#pragma once
#include <cstdint>
#include <string>

#include "ir/graph.h"

namespace heed {

// In terms of the algebra's constructors: maps, reductions, products, movements with guards, look-ups, scans, attention. `smooth`: only
// what has the derivative that differences find: no rounding and no stopped gradients.
Graph random_graph(std::uint64_t seed, bool smooth = false);
// A model file of one function `f` with concrete sizes: the library's functions, operators, einsum, indexing.
std::string random_model(std::uint64_t seed);
// The same with attention in it, and with what is nearly attention.
std::string random_attention(std::uint64_t seed);

}  // namespace heed
