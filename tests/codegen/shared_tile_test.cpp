// Places in a tile of shared memory: each chunk has its own, and eight lines below each other meet no conflict of banks.
#include "codegen/cuda/shared_tile.h"

#include <gtest/gtest.h>
#include <llvm/IR/IRBuilder.h>

#include <set>

namespace heed {
namespace {

struct Places {
  llvm::LLVMContext context;
  llvm::IRBuilder<> b{context};
  llvm::Value* word(std::int64_t value) { return b.getInt32(static_cast<std::uint32_t>(value)); }
  // Of constants the builder makes constants.
  static std::int64_t number(llvm::Value* value) { return static_cast<std::int64_t>(llvm::cast<llvm::ConstantInt>(value)->getZExtValue()); }
  std::int64_t of(const SharedTile& tile, std::int64_t line, std::int64_t chunk) {
    return number(tile_place(b, tile, word(line), word(chunk)));
  }
};

TEST(SharedTile, EveryChunkHasAPlace) {
  Places places;
  for (std::int64_t chunks = 1; chunks <= 33; ++chunks) {
    SharedTile tile{40, chunks};
    std::set<std::int64_t> all;
    for (std::int64_t line = 0; line < tile.lines; ++line)
      for (std::int64_t chunk = 0; chunk < chunks; ++chunk) all.insert(places.of(tile, line, chunk));
    EXPECT_EQ(static_cast<std::int64_t>(all.size()), tile.lines * chunks) << chunks;
    EXPECT_EQ(*all.rbegin(), tile.bytes() - chunk_bytes) << chunks;
  }
}

TEST(SharedTile, EightLinesMeetNoConflict) {
  Places places;
  for (std::int64_t chunks = 1; chunks <= 33; ++chunks)
    for (std::int64_t first = 0; first < 40; first += 8)
      for (std::int64_t chunk = 0; chunk < chunks; ++chunk) {
        std::set<std::int64_t> banks;
        for (std::int64_t line = first; line < first + 8; ++line) banks.insert(places.of({40, chunks}, line, chunk) % 128);
        EXPECT_EQ(banks.size(), 8U) << chunks << " chunks, lines from " << first << ", chunk " << chunk;
      }
}

TEST(SharedTile, PlacesMoveByConstants) {
  Places places;
  for (std::int64_t chunks : {2, 4, 6, 8, 12, 16, 32}) {
    SharedTile tile{40, chunks};
    for (std::int64_t line = 0; line < 16; ++line)
      for (std::int64_t chunk = 0; chunk < 2; ++chunk)
        for (std::int64_t further = 0; chunk + further < chunks; further += 2) {
          llvm::Value* place = tile_place(places.b, tile, places.word(line), places.word(chunk));
          EXPECT_EQ(Places::number(moved_place(places.b, tile, place, 24, further)), places.of(tile, line + 24, chunk + further)) << chunks;
        }
  }
}

// The shares of all threads are the tile, each chunk once.
TEST(SharedTile, ThreadsShareIt) {
  Places places;
  for (std::int64_t chunks : {1, 3, 8, 10, 16, 32}) {
    SharedTile tile{36, chunks};
    std::multiset<std::int64_t> all;
    for (std::int64_t thread = 0; thread < 64; ++thread)
      for (const TileShare& share : tile_shares(places.b, tile, places.word(thread), 64)) {
        if (share.exists && Places::number(share.exists) == 0) continue;
        EXPECT_EQ(Places::number(share.place), places.of(tile, Places::number(share.line), Places::number(share.chunk)));
        all.insert(Places::number(share.place));
      }
    EXPECT_EQ(static_cast<std::int64_t>(all.size()), tile.lines * chunks) << chunks;
    EXPECT_EQ(std::set(all.begin(), all.end()).size(), all.size()) << chunks;
  }
}

}  // namespace
}  // namespace heed
