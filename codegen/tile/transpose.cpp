// Blocks change places across diagonals, twice as large with each step.
#include "codegen/tile/transpose.h"

#include <llvm/IR/IRBuilder.h>

namespace heed {

// Rows become columns: in step s, blocks of s x s change places across the diagonals of blocks of 2s x 2s.
void transpose(llvm::IRBuilderBase& b, std::vector<llvm::Value*>& rows) {
  int lanes = static_cast<int>(rows.size());
  for (int s = 1; s < lanes; s *= 2) {
    std::vector<int> low, high;
    for (int lane = 0; lane < lanes; ++lane) {
      low.push_back(lane & s ? lanes + lane - s : lane);
      high.push_back(lane & s ? lanes + lane : lane + s);
    }
    for (int i = 0; i < lanes; ++i) {
      if (i & s) continue;
      llvm::Value *x = rows[static_cast<std::size_t>(i)], *y = rows[static_cast<std::size_t>(i + s)];
      rows[static_cast<std::size_t>(i)] = b.CreateShuffleVector(x, y, low);
      rows[static_cast<std::size_t>(i + s)] = b.CreateShuffleVector(x, y, high);
    }
  }
}

std::vector<llvm::Value*> transposed(Emitter& e, DType dtype, llvm::Value* start) {
  std::vector<llvm::Value*> rows;
  for (std::int64_t i = 0; i < e.lanes(); ++i) rows.push_back(e.load(dtype, start, e.number(i * e.lanes()), true));
  transpose(e.builder(), rows);
  return rows;
}

}  // namespace heed
