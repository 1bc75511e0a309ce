// The sums of a block's tile as the tensor cores make them: each of the block's warps has a part of the tile, 16 x 8 sums at a time.
#pragma once
#include <vector>

#include "codegen/cuda/product_engine.h"

namespace llvm {
class AllocaInst;
}  // namespace llvm

namespace heed {

class WarpTile {
 public:
  explicit WarpTile(const ProductTile& tile);

  std::int64_t tall() const { return tall_; }  // times 16 rows of a warp
  std::int64_t wide() const { return wide_; }  // times 8 columns
  llvm::Value* lane() const { return lane_; }  // i64
  llvm::Value* first_row();                    // of the warp in the tile
  llvm::Value* first_column();
  // The four sums of a lane of 16 x 8 at (i, j) are at 4 (i * wide + j).
  std::vector<llvm::Value*> sums();
  void set_sums(const std::vector<llvm::Value*>& sums);
  void stage(std::int64_t group);  // as ProductEngine::stage

 private:
  ProductTile t;
  std::int64_t tall_, wide_;
  llvm::Value *lane_ = nullptr, *row_ = nullptr, *column_ = nullptr;  // of warps
  std::vector<llvm::AllocaInst*> sums_;
};

}  // namespace heed
