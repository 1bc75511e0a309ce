// Memory of a GPU, kept when it is released and given out again for arrays of about the same size.
#pragma once
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <string_view>

#include "runtime/cuda/driver.h"

namespace heed::cuda {

// Asking the driver waits for all that the GPU does, and what is kept needs no asking. cuMemAllocAsync keeps memory, too, but not every
// GPU has it, and its pools do not say what they hold for which purpose. The context must be current.
class MemoryPool {
 public:
  MemoryPool() = default;
  ~MemoryPool() { give_back(); }
  MemoryPool(const MemoryPool&) = delete;
  MemoryPool& operator=(const MemoryPool&) = delete;

  // At least `bytes`, aligned to 256. Gives back what it keeps before it tells that there is no memory.
  Result take(Address& address, std::int64_t bytes, std::string_view purpose);
  void give(Address address) noexcept;
  // "524 kB (262 kB of data, 262 kB of values between kernels)"
  std::string held_text() const;

 private:
  void give_back() noexcept;  // what is kept, to the driver
  struct Block {
    std::int64_t bytes = 0;  // of memory
    std::int64_t asked = 0;
    std::string purpose;
  };
  mutable std::mutex mutex_;
  std::map<Address, Block> held_;
  std::multimap<std::int64_t, Address> kept_;  // by bytes
};

}  // namespace heed::cuda
