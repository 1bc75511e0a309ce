// Rows of vectors become columns, in registers.
#pragma once
#include <vector>

#include "codegen/tile/emitter.h"

namespace heed {

// As many vectors as a vector has lanes, with rows and columns exchanged.
void transpose(llvm::IRBuilderBase& b, std::vector<llvm::Value*>& rows);
// Of those that lie at `start` one after the other.
std::vector<llvm::Value*> transposed(Emitter& e, DType dtype, llvm::Value* start);

}  // namespace heed
