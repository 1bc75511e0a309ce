// Weights that were normalised over an axis add up to 1 along it.
#pragma once
#include "passes/chains.h"
#include "passes/positive.h"

namespace heed {

// A part of the chain that is the inverse of an array, where other parts of the chain, summed over axes that no further part has, are
// that array: both go, and the axes with them. An inverse that is 0 at 0 goes where the array is positive.
void cancel_quotients(Chain& chain, Signs& signs);

}  // namespace heed
