// Fragments of matrix products (PTX, mma.m16n8k16) from a tile in shared memory: 16 x 16 elements at a time by ldmatrix.
#pragma once
#include <vector>

#include "codegen/cuda/shared_tile.h"

namespace heed {

// Of an operand. The left one's lines are rows, or `turned`, depth; the right one's are columns, or turned, depth.
struct FragmentLoad {
  bool is_left, is_turned;
};

// The place that this lane gives to ldmatrix for the fragment at the tile's start, and for the one at a chunk (an even number, i32).
llvm::Value* fragment_place(llvm::IRBuilderBase& b, const SharedTile& tile, FragmentLoad load, llvm::Value* lane);
llvm::Value* fragment_place(llvm::IRBuilderBase& b, const SharedTile& tile, FragmentLoad load, llvm::Value* lane, llvm::Value* chunk);

// The fragment at a line and a chunk, multiples of 8 and of 2, of the tile whose first fragment this lane has at `place` + `offset` from
// the start of shared memory (the offset, as tiles' starts, in whole lines of banks): four words of the left operand, or two for each of
// two times 8 columns of the right one. Tiles that differ in the offset alone share their addresses.
std::vector<llvm::Value*> load_fragment(llvm::IRBuilderBase& b, const SharedTile& tile, FragmentLoad load, llvm::Value* place,
                                        std::int64_t offset, std::int64_t line, std::int64_t chunk);

}  // namespace heed
