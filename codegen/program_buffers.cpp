// Numbers of buffers, and where those beyond the plan's arena lie.
#include "codegen/program_buffers.h"

#include <algorithm>

namespace heed {

BufferUse ProgramBuffers::of(Buffer::Kind kind, std::int64_t offset, ArrayRef array) {
  Buffer buffer{kind, offset, byte_count(array), dtype_text(array)};
  auto [found, is_new] = known_.try_emplace({kind, offset, buffer.bytes, buffer.dtype}, static_cast<std::int32_t>(buffers_.size()));
  if (is_new) buffers_.push_back(std::move(buffer));
  return {found->second};
}

BufferUse ProgramBuffers::add(std::int64_t offset, std::int64_t bytes, std::string dtype, std::vector<std::size_t>& list) {
  list.push_back(buffers_.size());
  buffers_.push_back({Buffer::Kind::arena, offset, bytes, std::move(dtype)});
  return {static_cast<std::int32_t>(list.back())};
}

BufferUse ProgramBuffers::shared(std::int64_t& used, std::int64_t bytes, std::string dtype) {
  const BufferUse use = add(used, bytes, std::move(dtype), shared_);
  used += aligned(bytes);
  shared_bytes_ = std::max(shared_bytes_, used);
  return use;
}

BufferUse ProgramBuffers::kept(ArrayRef array) {
  const BufferUse use = add(kept_bytes_, byte_count(array), dtype_text(array), kept_);
  kept_bytes_ += aligned(byte_count(array));
  return use;
}

std::int64_t ProgramBuffers::finish(std::int64_t arena_bytes) {
  const std::int64_t end = aligned(arena_bytes);
  for (std::size_t buffer : shared_) buffers_[buffer].offset += end;
  for (std::size_t buffer : kept_) buffers_[buffer].offset += end + shared_bytes_;
  return end + shared_bytes_ + kept_bytes_;
}

}  // namespace heed
