// A record of the last reader and writer of each element.
#include "runtime/cuda/memory_watch.h"

#include <fmt/format.h>

#include <algorithm>

namespace heed {

void MemoryWatch::add(const void* begin, std::int64_t bytes, std::string name, std::int64_t element) {
  auto at = reinterpret_cast<std::uintptr_t>(begin);
  // Where pieces overlap they share their record: a wider one takes the others in.
  for (Piece& piece : pieces_)
    if (at < piece.end && at + static_cast<std::uintptr_t>(bytes) > piece.begin) {
      piece.end = std::max(piece.end, at + static_cast<std::uintptr_t>(bytes));
      piece.begin = std::min(piece.begin, at);
      piece.element = std::min(piece.element, static_cast<std::uintptr_t>(element));
      return;
    }
  pieces_.push_back({at, at + static_cast<std::uintptr_t>(bytes), std::move(name), static_cast<std::uintptr_t>(element), {}});
}

void MemoryWatch::forget_all() {
  pieces_.clear();
  readers_.clear();
  last_ = 0;
}

void MemoryWatch::new_touches() {
  if (!pieces_.empty()) ++pieces_[0].age;
  readers_.clear();
}

bool MemoryWatch::ordered(const Toucher& first, const Toucher& second) {
  if (first.block != second.block) return false;
  if (first.thread == second.thread || first.block_time != second.block_time) return true;
  if (first.thread / 32 == second.thread / 32) return first.warp_time != second.warp_time;
  if (!second.known) return false;
  auto arrival = second.known->find(first.thread / 32);
  return arrival != second.known->end() && arrival->second > first.warp_time;
}

std::string MemoryWatch::access(const void* pointer, std::int32_t bytes, std::int32_t alignment, AccessKind kind, const Toucher& by) {
  auto at = reinterpret_cast<std::uintptr_t>(pointer);
  const char* doing = kind == AccessKind::read || kind == AccessKind::thrown_away ? "reads" : "writes";
  auto inside = [&](const Piece& piece) { return at >= piece.begin && at + static_cast<std::uintptr_t>(bytes) <= piece.end; };
  if (last_ >= pieces_.size() || !inside(pieces_[last_])) {
    auto found = std::ranges::find_if(pieces_, inside);
    if (found == pieces_.end()) {
      std::string nearest = "any buffer";
      std::uintptr_t least = ~std::uintptr_t{0};
      for (const Piece& piece : pieces_) {
        std::uintptr_t distance = at < piece.begin ? piece.begin - at : at - std::min(at, piece.end);
        if (distance < least) {
          least = distance;
          nearest = at < piece.begin ? fmt::format("{}, {} bytes before it", piece.name, piece.begin - at)
                                     : fmt::format("{}, at byte {} of {}", piece.name, at - piece.begin, piece.end - piece.begin);
        }
      }
      return fmt::format("{} {} bytes outside of {}", doing, bytes, nearest);
    }
    last_ = static_cast<std::size_t>(found - pieces_.begin());
  }
  Piece& piece = pieces_[last_];
  if (at % static_cast<std::uintptr_t>(alignment) != 0) return fmt::format("{} {} bytes unaligned in {}", doing, bytes, piece.name);
  if (kind == AccessKind::atomic || kind == AccessKind::thrown_away) return {};
  if (piece.touches.empty()) piece.touches.resize((piece.end - piece.begin + piece.element - 1) / piece.element);
  // What is narrower shares the record of an element: two threads may write side by side.
  bool exact = static_cast<std::uintptr_t>(bytes) >= piece.element;
  for (std::uintptr_t k = (at - piece.begin) / piece.element; k * piece.element < at - piece.begin + static_cast<std::uintptr_t>(bytes);
       ++k) {
    Touch& touch = piece.touches[k];
    if (touch.age != piece.age) touch = {.age = piece.age, .reader = {}, .writer = {}};
    auto place = [&] { return fmt::format("{}, byte {}", piece.name, k * piece.element); };
    auto who = [&](const Toucher& other) { return fmt::format("thread {} of block {}", other.thread, other.block); };
    if (touch.under_way) return fmt::format("{} what a copy of {} writes that was not waited for: {}", doing, who(touch.writer), place());
    if (exact && touch.written && !ordered(touch.writer, by))
      return fmt::format("{} what {} writes, with no barrier between: {}", doing, who(touch.writer), place());
    const bool counts = by.known && last_ == 0;
    if (kind == AccessKind::write && counts) {
      for (const auto& [warp, reader] : readers_[k])
        if (exact && !ordered(reader, by)) return fmt::format("writes what {} reads, with no barrier between: {}", who(reader), place());
      readers_.erase(k);
      touch.writer = by, touch.written = true;
    } else if (counts) {
      readers_[k][by.thread / 32] = by;
    } else if (kind == AccessKind::write) {
      if (exact && touch.read && (!ordered(touch.reader, by) || (touch.many && touch.reader.block_time == by.block_time)))
        return fmt::format("writes what {} reads, with no barrier between: {}", who(touch.reader), place());
      touch.writer = by, touch.written = true, touch.read = touch.many = false;
    } else {
      touch.many = touch.read && (touch.many || touch.reader.thread / 32 != by.thread / 32 || touch.reader.block != by.block) &&
                   touch.reader.block_time == by.block_time;
      touch.reader = by, touch.read = true;
    }
  }
  return {};
}

// Of a place that was just accessed as a whole: in the piece that was found last.
void MemoryWatch::set_under_way(const void* at, std::int32_t bytes, bool is) {
  Piece& piece = pieces_[last_];
  std::uintptr_t begin = reinterpret_cast<std::uintptr_t>(at) - piece.begin;
  for (std::uintptr_t k = begin / piece.element; k * piece.element < begin + static_cast<std::uintptr_t>(bytes); ++k)
    piece.touches[k].under_way = is;
}

std::string MemoryWatch::begin_write(const void* at, std::int32_t bytes, const Toucher& by) {
  std::string wrong = access(at, bytes, std::min(bytes, widest), AccessKind::write, by);
  if (wrong.empty()) set_under_way(at, bytes, true);
  return wrong;
}

MemoryWatch::Piece* MemoryWatch::piece_of(const void* at, std::int64_t bytes) {
  auto begin = reinterpret_cast<std::uintptr_t>(at), end = begin + static_cast<std::uintptr_t>(bytes);
  auto found = std::ranges::find_if(pieces_, [&](const Piece& piece) { return begin >= piece.begin && end <= piece.end; });
  if (found == pieces_.end()) return nullptr;
  last_ = static_cast<std::size_t>(found - pieces_.begin());
  return &*found;
}

std::string MemoryWatch::end_write(const void* at, std::int32_t bytes, const Toucher& by) {
  piece_of(at, bytes);
  set_under_way(at, bytes, false);
  return access(at, bytes, std::min(bytes, widest), AccessKind::write, by);
}

std::string MemoryWatch::read_untraced(const void* at, std::int64_t bytes, bool must_be_written) {
  Piece* piece = piece_of(at, bytes);
  if (!piece) return fmt::format("reads {} bytes outside of any buffer", bytes);
  if (!must_be_written) return {};
  std::uintptr_t begin = reinterpret_cast<std::uintptr_t>(at) - piece->begin;
  for (std::uintptr_t k = begin / piece->element; k * piece->element < begin + static_cast<std::uintptr_t>(bytes); ++k) {
    if (piece->touches.empty() || piece->touches[k].age != piece->age || !(piece->touches[k].written || piece->touches[k].under_way))
      return fmt::format("reads what nobody has written: {}, byte {}", piece->name, k * piece->element);
    if (piece->touches[k].under_way)
      return fmt::format("reads what a copy of thread {} of block {} writes that was not waited for: {}, byte {}",
                         piece->touches[k].writer.thread, piece->touches[k].writer.block, piece->name, k * piece->element);
  }
  return {};
}

}  // namespace heed
