// Memory for tensors and arenas: aligned, zeroed, and on huge pages where it is large.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

namespace heed {

// Owns `bytes` bytes aligned to 64, all zero at first. Throws InputError when there is not that much memory.
class Memory {
 public:
  Memory() = default;
  explicit Memory(std::int64_t bytes);
  Memory(Memory&& other) noexcept { swap(other); }
  Memory& operator=(Memory&& other) noexcept {
    swap(other);
    return *this;
  }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  ~Memory();

  std::byte* data() const { return data_; }  // never null, not even of 0 bytes, once it was made with a size
  std::int64_t bytes() const { return bytes_; }

 private:
  void swap(Memory& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    std::swap(mapped_, other.mapped_);
  }
  std::byte* data_ = nullptr;
  std::int64_t bytes_ = 0;
  std::int64_t mapped_ = 0;  // bytes mapped, 0 if they came from the heap
};

// Bytes that this process may still take, by the machine, the limits of its control groups and its own limit of addresses.
std::int64_t available_memory();

// Throws InputError with both figures if so many bytes are more than there are. `what` needs them; `parts` says what they are made of.
void check_available(double bytes, const std::string& what, const std::string& parts = "");

// The bytes of as many whole units as hold so many.
inline std::int64_t whole_units(std::int64_t bytes, std::int64_t unit) { return (bytes + unit - 1) / unit * unit; }

// "1.5 GB", "12 kB".
std::string readable_bytes(double bytes);

}  // namespace heed
