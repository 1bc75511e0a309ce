// Makes sums of products in the order that costs least.
#pragma once
#include "ir/graph.h"

namespace heed {

// A sum over a product, what it reads of sums and of what is linear in them included, is made by sums over two operands each, in the
// cheapest order at the graph's sizes: (a b) c becomes a (b c), the weights of attention without a softmax are never made. Brackets move
// where that saves a fifth, sums are distributed over terms where it saves three quarters. What others read as well counts by the share
// that each of them has; a value that stays for another reason counts nothing.
Graph order_products(const Graph& graph);

}  // namespace heed
