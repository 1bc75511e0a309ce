// Copies in pieces, each with an event that says when its pinned memory is free.
#include "runtime/cuda/copy_lane.h"

#include <algorithm>
#include <cstring>
#include <vector>

namespace heed::cuda {

Result make_event(EventHandle& event) {
  Event made = nullptr;
  if (const Result result = driver().EventCreate(&made, 0)) return result;
  event = EventHandle(made, [](Event each) { driver().EventDestroy(each); });
  return 0;
}

CopyLane::~CopyLane() {
  driver().StreamSynchronize(stream_);
  for (Piece& piece : ring_)
    if (piece.memory) driver().MemFreeHost(piece.memory);
}

Result CopyLane::take_next(Piece*& piece) {
  piece = &ring_[next_];
  next_ = (next_ + 1) % pieces;
  if (piece->memory) return driver().EventSynchronize(piece->copied.get());
  if (const Result result = make_event(piece->copied)) return result;
  void* memory = nullptr;
  if (const Result result = driver().MemHostAlloc(&memory, piece_bytes, 0)) return result;
  piece->memory = static_cast<std::byte*>(memory);
  return 0;
}

Result CopyLane::copy_in(Address to, const void* from, std::size_t bytes) {
  const std::lock_guard lock(mutex_);
  for (std::size_t at = 0; at < bytes; at += piece_bytes) {
    const std::size_t count = std::min(piece_bytes, bytes - at);
    Piece* piece = nullptr;
    if (const Result result = take_next(piece)) return result;
    std::memcpy(piece->memory, static_cast<const std::byte*>(from) + at, count);
    if (const Result result = driver().MemcpyHtoDAsync(to + at, piece->memory, count, stream_)) return result;
    if (const Result result = driver().EventRecord(piece->copied.get(), stream_)) return result;
  }
  return 0;
}

Result CopyLane::copy_out(void* to, Address from, std::size_t bytes) {
  const std::lock_guard lock(mutex_);
  std::vector<Piece*> asked;  // by piece of the array
  std::size_t read = 0;
  const auto read_next = [&] {
    const std::size_t at = read * piece_bytes;
    if (const Result result = driver().EventSynchronize(asked[read]->copied.get())) return result;
    std::memcpy(static_cast<std::byte*>(to) + at, asked[read]->memory, std::min(piece_bytes, bytes - at));
    ++read;
    return Result{0};
  };
  for (std::size_t at = 0; at < bytes; at += piece_bytes) {
    if (asked.size() - read == pieces)
      if (const Result result = read_next()) return result;
    Piece* piece = nullptr;
    if (const Result result = take_next(piece)) return result;
    if (const Result result = driver().MemcpyDtoHAsync(piece->memory, from + at, std::min(piece_bytes, bytes - at), stream_)) return result;
    if (const Result result = driver().EventRecord(piece->copied.get(), stream_)) return result;
    asked.push_back(piece);
  }
  while (read < asked.size())
    if (const Result result = read_next()) return result;
  return 0;
}

}  // namespace heed::cuda
