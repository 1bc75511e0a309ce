// Blocks have sizes in steps, and one that is kept serves what is at most an eighth smaller.
#include "runtime/cuda/memory_pool.h"

#include <fmt/format.h>

#include <algorithm>

#include "runtime/memory.h"

namespace heed::cuda {
namespace {

constexpr Result out_of_memory = 2;

// As the driver cuts memory: large blocks are made of pages of 2 MiB.
std::int64_t block_bytes(std::int64_t bytes) {
  constexpr std::int64_t line = 512, page = std::int64_t{2} << 20;
  return whole_units(std::max(bytes, line), bytes < page ? line : page);
}

}  // namespace

Result MemoryPool::take(Address& address, std::int64_t bytes, std::string_view purpose) {
  const std::lock_guard lock(mutex_);
  Block block{block_bytes(bytes), bytes, std::string(purpose)};
  if (const auto kept = kept_.lower_bound(block.bytes); kept != kept_.end() && kept->first <= block.bytes + block.bytes / 8) {
    block.bytes = kept->first, address = kept->second;
    kept_.erase(kept);
  } else {
    Result result = driver().MemAlloc(&address, static_cast<std::size_t>(block.bytes));
    if (result == out_of_memory) {
      give_back();
      block.bytes = bytes;  // not a byte more than must be
      result = driver().MemAlloc(&address, static_cast<std::size_t>(std::max<std::int64_t>(bytes, 1)));
    }
    if (result) return result;
  }
  held_[address] = std::move(block);
  return 0;
}

void MemoryPool::give(Address address) noexcept {
  const std::lock_guard lock(mutex_);
  const auto found = held_.find(address);
  if (found == held_.end()) return;
  kept_.emplace(found->second.bytes, address);
  held_.erase(found);
}

void MemoryPool::give_back() noexcept {
  for (const auto& [bytes, address] : kept_) driver().MemFree(address);
  kept_.clear();
}

std::string MemoryPool::held_text() const {
  const std::lock_guard lock(mutex_);
  std::map<std::string, std::int64_t> by_purpose;
  std::int64_t all = 0;
  for (const auto& [address, block] : held_) by_purpose[block.purpose] += block.asked, all += block.asked;
  std::string list;
  for (const auto& [purpose, bytes] : by_purpose)
    list += fmt::format("{}{} of {}", list.empty() ? "" : ", ", readable_bytes(static_cast<double>(bytes)), purpose);
  return readable_bytes(static_cast<double>(all)) + (list.empty() ? "" : " (" + list + ")");
}

}  // namespace heed::cuda
