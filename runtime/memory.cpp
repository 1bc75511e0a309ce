// Memory for tensors and arenas: aligned, zeroed, and on huge pages where it is large.
#include "runtime/memory.h"

#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <limits>
#include <optional>

#include "input_error.h"
#include "runtime/control_groups.h"

namespace heed {
namespace {

constexpr std::int64_t alignment = 64, huge_page = std::int64_t{2} << 20;

[[noreturn]] void refuse(std::int64_t bytes) {
  throw InputError(fmt::format("{} of memory are needed and {} are free: make the batch or the model smaller",
                               readable_bytes(static_cast<double>(bytes)), readable_bytes(static_cast<double>(available_memory()))));
}

}  // namespace

Memory::Memory(std::int64_t bytes) : bytes_(bytes) {
  if (bytes < 0 || bytes > std::numeric_limits<std::int64_t>::max() - huge_page) refuse(bytes);
  if (bytes >= 2 * huge_page) {
    mapped_ = whole_units(bytes, huge_page);
    void* start = mmap(nullptr, static_cast<std::size_t>(mapped_), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (start == MAP_FAILED) refuse(bytes);
    madvise(start, static_cast<std::size_t>(mapped_), MADV_HUGEPAGE);  // A wish; nothing is lost where it is not granted.
    data_ = static_cast<std::byte*>(start);
    return;
  }
  const auto rounded = static_cast<std::size_t>(std::max(whole_units(bytes, alignment), alignment));
  data_ = static_cast<std::byte*>(std::aligned_alloc(alignment, rounded));
  if (!data_) refuse(bytes);
  std::memset(data_, 0, rounded);
}

Memory::~Memory() {
  if (mapped_ > 0) {
    munmap(data_, static_cast<std::size_t>(mapped_));
  } else {
    std::free(data_);
  }
}

std::int64_t available_memory() {
  std::int64_t available = std::numeric_limits<std::int64_t>::max();
  std::ifstream information("/proc/meminfo");
  for (std::string key; information >> key;) {
    std::int64_t value = 0;
    if (key == "MemAvailable:" && information >> value) {
      available = value * 1024;
      break;
    }
    information.ignore(std::numeric_limits<std::streamsize>::max(), '\n');
  }
  if (std::optional<std::int64_t> left = memory_left(contents_of("/proc/self/cgroup"), "/sys/fs/cgroup"))
    available = std::min(available, *left);
  rlimit address_space{};
  if (getrlimit(RLIMIT_AS, &address_space) == 0 && address_space.rlim_cur != RLIM_INFINITY) {
    available = static_cast<std::int64_t>(std::min<rlim_t>(static_cast<rlim_t>(available), address_space.rlim_cur));
  }
  return available;
}

void check_available(double bytes, const std::string& what, const std::string& parts) {
  const auto there = static_cast<double>(available_memory());
  if (bytes <= there) return;
  throw InputError(fmt::format("{} needs {} of memory and {} are free{}: make the batch, the sizes or the model smaller", what,
                               readable_bytes(bytes), readable_bytes(there), parts));
}

std::string readable_bytes(double bytes) {
  constexpr std::array units = {"bytes", "kB", "MB", "GB", "TB", "PB", "EB"};
  std::size_t unit = 0;
  while (bytes >= 1000 && unit + 1 < units.size()) {
    bytes /= 1000;
    ++unit;
  }
  return unit == 0 ? fmt::format("{:.0f} {}", bytes, units[unit]) : fmt::format("{:.3g} {}", bytes, units[unit]);
}

}  // namespace heed
