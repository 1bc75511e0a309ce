// Who has which sums, and their way into shared memory.
#include "codegen/cuda/warp_tile.h"

#include <llvm/IR/IRBuilder.h>

#include "codegen/cuda/builtins.h"

namespace heed {

WarpTile::WarpTile(const ProductTile& tile)
    : t(tile), tall_(t.s.tile.rows / t.s.warp_rows / 16), wide_(t.s.tile.columns / t.s.warp_columns() / 8) {
  llvm::IRBuilderBase& b = t.e.builder();
  lane_ = b.CreateURem(t.thread, t.e.number(warp_threads));
  llvm::Value* warp = b.CreateUDiv(t.thread, t.e.number(warp_threads));
  row_ = b.CreateUDiv(warp, t.e.number(t.s.warp_columns()));
  column_ = b.CreateURem(warp, t.e.number(t.s.warp_columns()));
  for (std::int64_t k = 0; k < tall_ * wide_ * 4; ++k)
    sums_.push_back(t.e.make_register(b.getFloatTy(), llvm::ConstantFP::get(b.getFloatTy(), 0)));
}

llvm::Value* WarpTile::first_row() { return t.e.builder().CreateMul(row_, t.e.number(tall_ * 16)); }
llvm::Value* WarpTile::first_column() { return t.e.builder().CreateMul(column_, t.e.number(wide_ * 8)); }

std::vector<llvm::Value*> WarpTile::sums() {
  std::vector<llvm::Value*> values;
  for (llvm::AllocaInst* each : sums_) values.push_back(t.e.get(each));
  return values;
}

void WarpTile::set_sums(const std::vector<llvm::Value*>& sums) {
  for (std::size_t k = 0; k < sums.size(); ++k) t.e.set(sums_[k], sums[k]);
}

// A lane has, of each 16 x 8 sums, two neighbours of row lane / 4, and two of the row 8 below.
void WarpTile::stage(std::int64_t group) {
  llvm::IRBuilderBase& b = t.e.builder();
  auto number = [&](std::int64_t value) { return t.e.number(value); };
  auto plus = [&](llvm::Value* x, llvm::Value* y) { return t.e.builder().CreateAdd(x, y); };
  // A group is some rows of warps.
  const std::int64_t rows_of_warps = t.s.staged_rows() / (tall_ * 16);
  const bool is_part = rows_of_warps < t.s.warp_rows;
  if (is_part) t.e.open_if(b.CreateICmpEQ(b.CreateUDiv(row_, number(rows_of_warps)), number(group)));
  llvm::Value* first = plus(first_row(), number(-group * t.s.staged_rows()));
  llvm::Value* row = plus(first, t.e.builder().CreateUDiv(lane_, number(4)));
  llvm::Value* column = plus(first_column(), t.e.builder().CreateMul(t.e.builder().CreateURem(lane_, number(4)), number(2)));
  for (std::int64_t i = 0; i < tall_; ++i)
    for (std::int64_t j = 0; j < wide_; ++j)
      for (std::int64_t k = 0; k < 4; ++k) {
        llvm::Value* line = t.e.builder().CreateMul(plus(row, number(i * 16 + k / 2 * 8)), number(t.s.staged_line()));
        llvm::Value* element = plus(line, plus(column, number(j * 8 + k % 2)));
        llvm::Value* sum = t.e.get(sums_[static_cast<std::size_t>((i * wide_ + j) * 4 + k)]);
        llvm::Value* place = t.e.builder().CreateGEP(b.getFloatTy(), shared_memory(t.e.builder()), element);
        t.e.builder().CreateAlignedStore(sum, place, llvm::Align(4));
      }
  if (is_part) t.e.close_if();
}

}  // namespace heed
