// AMX as its manual describes it (palette 1), for code that runs on processors without: registers of each thread, and what a processor
// would stop at (#UD, #GP) noted as a mistake.
#pragma once
#include <fmt/format.h>

#include <array>
#include <atomic>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <mutex>
#include <string>
#include <utility>

#include "codegen/cpu/matrix_functions.h"

namespace heed::simulated_matrices {

constexpr int registers = 8, most_rows = 16, most_bytes = 64;

struct Registers {
  bool is_configured = false;
  std::array<int, registers> rows{}, row_bytes{};
  using Content = std::array<std::array<std::uint8_t, most_bytes>, most_rows>;
  std::array<Content, registers> contents{};
};

inline std::atomic<int>& configured_threads() {
  static std::atomic<int> count{0};
  return count;
}
inline Registers& mine() {
  struct OfThread {
    ~OfThread() {
      if (registers.is_configured) --configured_threads();
    }
    Registers registers;
  };
  thread_local OfThread of_thread;
  return of_thread.registers;
}

struct FirstMistake {
  std::mutex mutex;
  std::string text;
};
inline FirstMistake& first_mistake() {
  static FirstMistake first;
  return first;
}
inline void note(std::string mistake) {
  std::lock_guard lock(first_mistake().mutex);
  if (first_mistake().text.empty()) first_mistake().text = std::move(mistake);
}
// Since it was last asked for, also of registers that some living thread has not released; empty: none.
inline std::string take_mistake() {
  if (configured_threads() > 0) note("registers are configured that were not released");
  std::lock_guard lock(first_mistake().mutex);
  return std::exchange(first_mistake().text, "");
}

inline void release() {
  if (mine().is_configured) --configured_threads();
  mine() = {};
}

inline void configure(const void* configuration) {
  std::array<std::uint8_t, 64> bytes;
  std::memcpy(bytes.data(), configuration, bytes.size());
  release();
  if (bytes[0] == 0) return;
  if (bytes[0] != 1) return note(fmt::format("palette {}", bytes[0]));
  if (bytes[1] != 0) return note("loads are begun in the middle");
  for (int k = 2; k < 16; ++k)
    if (bytes[static_cast<std::size_t>(k)] != 0) return note(fmt::format("byte {} of the configuration is reserved", k));
  Registers made{.is_configured = true};
  for (int r = 0; r < 16; ++r) {
    const auto at = static_cast<std::size_t>(r);
    const int row_bytes = bytes[16 + 2 * at] | bytes[17 + 2 * at] << 8, rows = bytes[48 + at];
    const bool fits = rows <= most_rows && row_bytes <= most_bytes && (rows == 0) == (row_bytes == 0) && (r < registers || rows == 0);
    if (!fits) return note(fmt::format("register {} of {} rows of {} bytes", r, rows, row_bytes));
    if (r < registers) made.rows[at] = rows, made.row_bytes[at] = row_bytes;
  }
  mine() = made;
  ++configured_threads();
}

// Whether the register may be named now.
inline bool is_there(std::int8_t r) {
  if (!mine().is_configured)
    note("registers are used that are not configured");
  else if (r < 0 || r >= registers || mine().rows[static_cast<std::size_t>(r)] == 0)
    note(fmt::format("register {} is used, which has no rows", r));
  else
    return true;
  return false;
}

inline void zero(std::int8_t to) {
  if (is_there(to)) mine().contents[static_cast<std::size_t>(to)] = {};
}

inline void load(std::int8_t to, const void* rows, std::int64_t stride) {
  if (!is_there(to)) return;
  const auto r = static_cast<std::size_t>(to);
  mine().contents[r] = {};
  for (int row = 0; row < mine().rows[r]; ++row)
    std::memcpy(mine().contents[r][static_cast<std::size_t>(row)].data(), static_cast<const char*>(rows) + row * stride,
                static_cast<std::size_t>(mine().row_bytes[r]));
}

inline void store(std::int8_t from, void* rows, std::int64_t stride) {
  if (!is_there(from)) return;
  const auto r = static_cast<std::size_t>(from);
  for (int row = 0; row < mine().rows[r]; ++row)
    std::memcpy(static_cast<char*>(rows) + row * stride, mine().contents[r][static_cast<std::size_t>(row)].data(),
                static_cast<std::size_t>(mine().row_bytes[r]));
}

inline float flushed(float x) { return std::abs(x) < 0x1p-126F ? std::copysign(0.0F, x) : x; }
inline float of_bf16(std::uint32_t upper_half) { return flushed(std::bit_cast<float>(upper_half & 0xFFFF0000U)); }

// Even and odd places of the depth are summed apart, by multiply-adds from 0 on, then both, then what was there.
#if defined(__x86_64__)
[[gnu::target("avx2,fma")]]
#endif
inline void add_products(const std::uint32_t* left, int depth, const Registers::Content& right, float* sums) {
  std::array<float, most_rows> even{}, odd{};
  for (int k = 0; k < depth; ++k) {
    std::array<std::uint32_t, most_rows> words;
    std::memcpy(words.data(), right[static_cast<std::size_t>(k)].data(), sizeof words);
    const float low = of_bf16(left[k] << 16), high = of_bf16(left[k]);
    for (std::size_t n = 0; n < words.size(); ++n) {
      even[n] = flushed(__builtin_fmaf(low, of_bf16(words[n] << 16), even[n]));
      odd[n] = flushed(__builtin_fmaf(high, of_bf16(words[n]), odd[n]));
    }
  }
  for (std::size_t n = 0; n < even.size(); ++n) sums[n] = flushed(flushed(sums[n]) + flushed(even[n] + odd[n]));
}

inline void multiply_bf16(std::int8_t sums, std::int8_t left, std::int8_t right) {
  if (!is_there(sums) || !is_there(left) || !is_there(right)) return;
  Registers& all = mine();
  const auto c = static_cast<std::size_t>(sums), a = static_cast<std::size_t>(left), b = static_cast<std::size_t>(right);
  if (a == b || a == c || b == c) return note("a product names a register twice");
  if (all.rows[c] != all.rows[a] || all.row_bytes[c] != all.row_bytes[b] || all.row_bytes[a] != 4 * all.rows[b])
    return note(fmt::format("sums of {} rows of {} bytes, from {} rows of {} and {} rows of {}", all.rows[c], all.row_bytes[c], all.rows[a],
                            all.row_bytes[a], all.rows[b], all.row_bytes[b]));
  for (int row = 0; row < all.rows[c]; ++row) {
    const auto r = static_cast<std::size_t>(row);
    std::array<std::uint32_t, most_rows> words;
    std::array<float, most_rows> result;
    std::memcpy(words.data(), all.contents[a][r].data(), sizeof words);
    std::memcpy(result.data(), all.contents[c][r].data(), sizeof result);
    add_products(words.data(), all.rows[b], all.contents[b], result.data());
    std::memcpy(all.contents[c][r].data(), result.data(), static_cast<std::size_t>(all.row_bytes[c]));
  }
}

inline constexpr MatrixFunctions functions{configure, release, zero, load, store, multiply_bf16};

}  // namespace heed::simulated_matrices
