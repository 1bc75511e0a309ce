// The buffers of a program: whatever a launch reads or writes is one of them.
#pragma once
#include <map>
#include <string>
#include <tuple>
#include <vector>

#include "ir/integer.h"
#include "ir/plan.h"
#include "runtime/program.h"

namespace heed {

inline std::string dtype_text(ArrayRef array) { return std::string(name_of(array->dtype)); }
inline std::int64_t aligned(std::int64_t bytes) { return round_up(bytes, 64); }

class ProgramBuffers {
 public:
  explicit ProgramBuffers(std::vector<Buffer>& buffers) : buffers_(buffers) {}

  // Equal ones are one.
  BufferUse of(Buffer::Kind kind, std::int64_t offset, ArrayRef array);
  BufferUse of_place(ArrayRef array, const Plan::Place& place) { return of(static_cast<Buffer::Kind>(place.kind), place.offset, array); }
  BufferUse of_arena(ArrayRef array, std::int64_t offset) { return of(Buffer::Kind::arena, offset, array); }
  BufferUse of_thread(ArrayRef array, std::int64_t offset) { return of(Buffer::Kind::local, offset, array); }  // of one thread alone

  // Beyond the plan's arena. What is in use during one region alone shares one place, of which the region has taken `used` bytes so far.
  BufferUse shared(std::int64_t& used, ArrayRef array) { return shared(used, byte_count(array), dtype_text(array)); }
  BufferUse shared(std::int64_t& used, std::int64_t bytes, std::string dtype = "");
  BufferUse kept(ArrayRef array);  // has a place of its own

  // Lays what is beyond the arena behind it. Returns the bytes of all.
  std::int64_t finish(std::int64_t arena_bytes);

 private:
  BufferUse add(std::int64_t offset, std::int64_t bytes, std::string dtype, std::vector<std::size_t>& list);

  std::vector<Buffer>& buffers_;
  std::map<std::tuple<Buffer::Kind, std::int64_t, std::int64_t, std::string>, std::int32_t> known_;
  std::int64_t shared_bytes_ = 0, kept_bytes_ = 0;
  std::vector<std::size_t> shared_, kept_;  // their offsets count from the respective place
};

}  // namespace heed
