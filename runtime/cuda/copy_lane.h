// Copies between a program's memory and a GPU's, in order on a stream of their own, through a few pieces of pinned memory.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>

#include "runtime/cuda/driver.h"

namespace heed::cuda {

// An event of the driver, for timing as well.
using EventHandle = std::shared_ptr<EventObject>;
Result make_event(EventHandle& event);

// While the GPU copies one piece the next is filled, or read. The context must be current.
class CopyLane {
 public:
  static constexpr std::size_t piece_bytes = std::size_t{4} << 20, pieces = 4;

  explicit CopyLane(Stream stream) : stream_(stream) {}
  ~CopyLane();
  CopyLane(const CopyLane&) = delete;
  CopyLane& operator=(const CopyLane&) = delete;

  // In the stream's order. `from` is free when it returns.
  Result copy_in(Address to, const void* from, std::size_t bytes);
  // Has ended when it returns.
  Result copy_out(void* to, Address from, std::size_t bytes);
  Stream stream() const { return stream_; }

 private:
  struct Piece {
    std::byte* memory = nullptr;  // pinned; allocated when it is first used
    EventHandle copied;           // of the last copy that used it
  };
  Result take_next(Piece*& piece);

  Stream stream_;
  std::mutex mutex_;
  std::array<Piece, pieces> ring_;
  std::size_t next_ = 0;
};

}  // namespace heed::cuda
