// Who touched which element of memory since when: finds accesses out of bounds and races.
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <unordered_map>
#include <vector>

namespace heed {

// Of a read that is thrown away nothing but its bounds matters.
enum class AccessKind : std::int32_t { read, write, atomic, thrown_away };

// By warp of a block: how often it had come together when one of its threads arrived at a barrier that counts.
using Arrivals = std::map<std::int32_t, std::uint32_t>;

// Of the thread that accesses: accesses of one thread are in order, those before and after a barrier of the block are, and those of one
// warp before and after it came together. So are those that a warp did before it came together for the last time before it arrived at a
// barrier that counts, and those of a thread that has waited for that barrier.
struct Toucher {
  std::int32_t block, thread;
  std::uint32_t block_time, warp_time;
  const Arrivals* known = nullptr;  // before what the thread has waited for; null: the kernel has no barriers that count
};

class MemoryWatch {
 public:
  // A piece of memory that a launch may use, of elements of so many bytes at least. Pieces may overlap.
  void add(const void* begin, std::int64_t bytes, std::string name, std::int64_t element);
  void forget_all();   // pieces and touches
  void new_touches();  // of the first piece alone: shared memory belongs to another block from now on

  // What is wrong with an access; empty if nothing is.
  std::string access(const void* at, std::int32_t bytes, AccessKind kind, const Toucher& by) { return access(at, bytes, bytes, kind, by); }
  std::string access(const void* at, std::int32_t bytes, std::int32_t alignment, AccessKind kind, const Toucher& by);
  // A write that goes on until it is ended: nobody may touch its place in between. Whole elements.
  std::string begin_write(const void* at, std::int32_t bytes, const Toucher& by);
  std::string end_write(const void* at, std::int32_t bytes, const Toucher& by);
  // What is wrong with a read whose order to writes is not a matter of barriers of the block: it leaves no trace.
  std::string read_untraced(const void* at, std::int64_t bytes, bool must_be_written);

 private:
  static constexpr std::int32_t widest = 16;  // alignment that a write may need
  struct Touch {
    std::uint32_t age = 0;  // of no meaning unless it is the piece's
    Toucher reader, writer;
    bool read = false, written = false, many = false;  // many: readers of several warps
    bool under_way = false;                            // the writer has not ended
  };
  struct Piece {
    std::uintptr_t begin, end;
    std::string name;
    std::uintptr_t element;
    std::vector<Touch> touches;  // of each
    std::uint32_t age = 1;
  };
  static bool ordered(const Toucher& first, const Toucher& second);
  Piece* piece_of(const void* at, std::int64_t bytes);
  void set_under_way(const void* at, std::int32_t bytes, bool is);

  std::vector<Piece> pieces_;
  // Of words of shared memory, in kernels with barriers that count: the last reader of each warp since the last write.
  std::unordered_map<std::uintptr_t, std::map<std::int32_t, Toucher>> readers_;
  std::size_t last_ = 0;
};

}  // namespace heed
