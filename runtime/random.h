// Random numbers by counting: the k-th number of a key is a function of both, the same on every machine.
#pragma once
#include <cstdint>

namespace heed {

// 64 random bits (the finalizer of SplitMix64 over key and index).
inline std::uint64_t random_bits(std::uint64_t key, std::uint64_t index) {
  std::uint64_t x = key + (index + 1) * 0x9e3779b97f4a7c15;
  for (int round = 0; round < 2; ++round) {
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
    x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
    x ^= x >> 31;
  }
  return x;
}

// One of 0 … count - 1. The bias is below count / 2^64.
inline std::uint64_t random_below(std::uint64_t key, std::uint64_t index, std::uint64_t count) {
  // The upper half of a product of 64 by 64 bits, in portable C++.
  const std::uint64_t bits = random_bits(key, index), low = 0xffffffff;
  const std::uint64_t carry = ((bits & low) * (count & low) >> 32) + (bits >> 32) * (count & low);
  const std::uint64_t middle = (carry & low) + (bits & low) * (count >> 32);
  return (bits >> 32) * (count >> 32) + (carry >> 32) + (middle >> 32);
}

}  // namespace heed
