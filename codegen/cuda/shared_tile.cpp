// Chunk c of line l is at place c ^ (l / (8 / group)) % group of its line: eight lines from a multiple of eight on have eight places.
#include "codegen/cuda/shared_tile.h"

#include <llvm/IR/IRBuilder.h>

#include <numeric>

#include "codegen/cuda/builtins.h"

namespace heed {
namespace {

constexpr std::int64_t bank_chunks = 8;  // that one access of shared memory serves

llvm::Value* word(llvm::IRBuilderBase& b, std::int64_t value) { return b.getInt32(static_cast<std::uint32_t>(value)); }

}  // namespace

std::int64_t SharedTile::group() const { return std::gcd(chunks, bank_chunks); }

llvm::Value* tile_place(llvm::IRBuilderBase& b, const SharedTile& tile, llvm::Value* line, llvm::Value* chunk) {
  llvm::Value* turn = b.CreateURem(b.CreateUDiv(line, word(b, bank_chunks / tile.group())), word(b, tile.group()));
  llvm::Value* in_line = b.CreateMul(b.CreateXor(chunk, turn), word(b, chunk_bytes));
  return b.CreateAdd(b.CreateMul(line, word(b, tile.line_bytes())), in_line);
}

llvm::Value* moved_place(llvm::IRBuilderBase& b, const SharedTile& tile, llvm::Value* place, std::int64_t lines, std::int64_t chunks,
                         std::int64_t offset) {
  std::int64_t inside = chunks % tile.group();
  llvm::Value* turned = inside == 0 ? place : b.CreateXor(place, word(b, inside * chunk_bytes));
  std::int64_t further = lines * tile.line_bytes() + (chunks - inside) * chunk_bytes + offset;
  return further == 0 ? turned : b.CreateAdd(turned, word(b, further));
}

std::vector<TileShare> tile_shares(llvm::IRBuilderBase& b, const SharedTile& tile, llvm::Value* thread, std::int64_t threads) {
  std::vector<TileShare> shares;
  const std::int64_t all = tile.lines * tile.chunks;
  // Shares of a thread lie below each other where whole lines are copied at a time.
  const bool aligned = threads % tile.chunks == 0;
  llvm::Value *own_line = b.CreateUDiv(thread, word(b, tile.chunks)), *own_chunk = b.CreateURem(thread, word(b, tile.chunks));
  for (std::int64_t first = 0; first < all; first += threads) {
    TileShare share{own_line, own_chunk, nullptr, nullptr};
    if (aligned) {
      share.line = b.CreateAdd(own_line, word(b, first / tile.chunks)), share.below = first / tile.chunks;
    } else {
      llvm::Value* index = b.CreateAdd(thread, word(b, first));
      share.line = b.CreateUDiv(index, word(b, tile.chunks)), share.chunk = b.CreateURem(index, word(b, tile.chunks));
    }
    if (first + threads > all) share.exists = b.CreateICmpULT(thread, word(b, all - first));
    const bool same_turn = aligned && !shares.empty() && threads / tile.chunks % bank_chunks == 0;
    share.place = same_turn ? moved_place(b, tile, shares[0].place, first / tile.chunks, 0) : tile_place(b, tile, share.line, share.chunk);
    shares.push_back(share);
  }
  return shares;
}

void copy_tile(llvm::IRBuilderBase& b, const std::vector<TileShare>& shares, llvm::Value* start, const TileSource& source) {
  auto wide = [&](std::int64_t value) { return b.getInt64(static_cast<std::uint64_t>(value)); };
  auto place_of = [&](const TileShare& share) {
    llvm::Value* offset = b.CreateMul(b.CreateZExt(share.line, b.getInt64Ty()), wide(source.pitch));
    offset = b.CreateAdd(offset, b.CreateZExt(b.CreateMul(share.chunk, word(b, chunk_bytes)), b.getInt64Ty()));
    return b.CreateGEP(b.getInt8Ty(), source.first, offset);
  };
  llvm::Value* own = nullptr;  // the thread's first share
  for (const TileShare& share : shares) {
    llvm::Value* present = word(b, chunk_bytes);
    if (source.bytes) {
      llvm::Value* left = b.CreateSub(source.bytes, b.CreateMul(share.chunk, word(b, chunk_bytes)));
      left = b.CreateBinaryIntrinsic(llvm::Intrinsic::smax, left, word(b, 0));
      present = b.CreateBinaryIntrinsic(llvm::Intrinsic::smin, left, present);
    }
    if (source.lines) present = b.CreateSelect(b.CreateICmpSLT(share.line, source.lines), present, word(b, 0));
    llvm::Value* from = share.below > 0 ? b.CreateGEP(b.getInt8Ty(), own, wide(share.below * source.pitch)) : place_of(share);
    if (share.below == 0) own = from;
    copy_async(b, b.CreateGEP(b.getInt8Ty(), start, share.place), from, chunk_bytes, present, share.exists);
  }
}

}  // namespace heed
