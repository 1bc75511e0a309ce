// Opens what shifts rows where it is seen to do nothing else.
#pragma once
#include "ir/graph.h"

namespace heed {

// exp(s - n), n an array such as m + log(l), is exp(s - m) / l: weights that are normalised by their logarithm are those that are
// divided by their sum. max[j](z[i, j]), z an array such as s[i, j] - m[i], is max[j](s[i, j]) - m[i].
Graph open_shifts(const Graph& graph);

}  // namespace heed
