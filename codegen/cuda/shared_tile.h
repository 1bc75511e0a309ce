// A tile in shared memory: lines of 16-byte chunks, permuted within a line so that neither ldmatrix (a chunk of eight lines following each
// other) nor copies of whole lines meet conflicts of banks.
#pragma once
#include <cstdint>
#include <functional>
#include <vector>

namespace llvm {
class IRBuilderBase;
class Value;
}  // namespace llvm

namespace heed {

inline constexpr std::int64_t chunk_bytes = 16;

struct SharedTile {
  std::int64_t lines, chunks;  // of a line; any numbers

  std::int64_t line_bytes() const { return chunks * chunk_bytes; }
  std::int64_t bytes() const { return lines * line_bytes(); }
  // Chunks change places within groups of so many: the largest power of two that divides a line, 8 at most. That is the banks' 128 bytes.
  std::int64_t group() const;
};

// Where chunk `chunk` of line `line` is, in bytes from the tile's start; a start is a multiple of 128 bytes. i32 each.
llvm::Value* tile_place(llvm::IRBuilderBase& b, const SharedTile& tile, llvm::Value* line, llvm::Value* chunk);
// The place `lines` further down (a multiple of 8) and `chunks` further right, where the chunk at `place` and `chunks` have no bit in
// common: of chunk 0 or 1, an even number. One exclusive or, and a constant to add, to which `offset` is added.
llvm::Value* moved_place(llvm::IRBuilderBase& b, const SharedTile& tile, llvm::Value* place, std::int64_t lines, std::int64_t chunks,
                         std::int64_t offset = 0);

// A chunk that a thread copies, where all threads of a block copy a tile together: neighbours take neighbouring chunks of a line.
struct TileShare {
  llvm::Value *line, *chunk, *place;  // i32
  llvm::Value* exists;                // i1: the last share of some threads is beyond the tile; null: it exists
  std::int64_t below = -1;            // so many lines below the thread's first share, in the same chunk; -1: elsewhere
};
// `thread` (i32) of `threads`.
std::vector<TileShare> tile_shares(llvm::IRBuilderBase& b, const SharedTile& tile, llvm::Value* thread, std::int64_t threads);

// Lines of an array in memory.
struct TileSource {
  llvm::Value* first;  // pointer to the first chunk of the first line, aligned to 16 bytes
  std::int64_t pitch;  // bytes from line to line, a multiple of 16
  llvm::Value* lines;  // i32: so many exist, the others are zero; null: all
  llvm::Value* bytes;  // i32: of a line, so many exist, the others are zero; null: all
};
// Begins to copy this thread's shares of a tile to `start` (pointer into shared memory); whoever asks for it commits and waits.
void copy_tile(llvm::IRBuilderBase& b, const std::vector<TileShare>& shares, llvm::Value* start, const TileSource& source);

}  // namespace heed
