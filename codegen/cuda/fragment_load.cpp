// A table of two: matrices numbered along the lines first, or along the chunks first.
#include "codegen/cuda/fragment_load.h"

#include <llvm/IR/IRBuilder.h>

#include "codegen/cuda/builtins.h"

namespace heed {

llvm::Value* fragment_place(llvm::IRBuilderBase& b, const SharedTile& tile, FragmentLoad load, llvm::Value* lane) {
  return fragment_place(b, tile, load, lane, b.getInt32(0));
}

llvm::Value* fragment_place(llvm::IRBuilderBase& b, const SharedTile& tile, FragmentLoad load, llvm::Value* lane, llvm::Value* chunk) {
  llvm::Value *line = b.CreateAnd(lane, b.getInt32(7)), *high = b.CreateLShr(lane, b.getInt32(4)),
              *low = b.CreateAnd(b.CreateLShr(lane, b.getInt32(3)), b.getInt32(1));
  // Four matrices of 8 x 8: the left operand's words go down its rows first, the right one's along the depth.
  const bool lines_first = load.is_left != load.is_turned;
  line = b.CreateAdd(line, b.CreateMul(lines_first ? low : high, b.getInt32(8)));
  return tile_place(b, tile, line, b.CreateAdd(chunk, lines_first ? high : low));
}

std::vector<llvm::Value*> load_fragment(llvm::IRBuilderBase& b, const SharedTile& tile, FragmentLoad load, llvm::Value* place,
                                        std::int64_t offset, std::int64_t line, std::int64_t chunk) {
  llvm::Value* moved = moved_place(b, tile, place, line, chunk, offset);
  llvm::Value* address = b.CreateGEP(b.getInt8Ty(), shared_memory(b), b.CreateZExt(moved, b.getInt64Ty()));
  return load_matrices(b, address, load.is_turned);
}

}  // namespace heed
