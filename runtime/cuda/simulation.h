// A launch on the simulated GPU: its threads, what they wait for, and what is under way. For the files that simulate builtins alone.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "runtime/cuda/fiber.h"
#include "runtime/cuda/memory_watch.h"
#include "runtime/program.h"

namespace heed::simulated {

constexpr int warp_size = 32;

// Threads that come together: the last to arrive lets all go on.
struct Meeting {
  std::uint64_t held = 0;  // meetings so far
  int arrived = 0;
  const char* kind = nullptr;
  std::int32_t values[warp_size] = {};
  const void* places[warp_size] = {};
};

// A copy into shared memory that a thread has begun.
struct AsyncCopy {
  std::byte* to;
  const std::byte* from;
  std::int32_t bytes, present;  // `present` come from memory, the others are zero
  std::uint32_t group;          // of the thread's groups, from 0
};

// A map of the launch as kernels have it.
struct SimulatedMap {
  const TensorMap* map;
  std::byte* buffer;
};

// A box that is on its way into shared memory.
struct BoxCopy {
  SimulatedMap from;
  std::byte* to;
  std::array<std::int32_t, 3> places;
  std::byte* barrier;
  Toucher by;
};

// A barrier in shared memory that counts arrivals and bytes.
struct PhaseBarrier {
  std::int64_t count = 0, arrived = 0, bytes = 0;  // bytes: so many it still waits for
  std::uint64_t ended = 0;                         // phases
  Arrivals coming{}, come{};                       // of the phase that goes on; of those that have ended
};

// A product of 64 rows that a thread has begun.
struct WideMultiply {
  std::int32_t kind, columns;
  bool left_across, right_across, is_first;
  float* sums;
  std::uint64_t left, right;
  std::uint32_t group;
  // Of the left operand, where registers hold it: of the thread's row and the one 8 below, by depth.
  std::optional<std::array<std::array<float, 16>, 2>> held{};
};

// Shared memory that products under way read.
struct Reading {
  const std::byte *begin, *end;
  int warp;
  std::uint32_t group;
};

struct Thread {
  Fiber fiber;
  int index = 0;
  const std::uint64_t* awaited = nullptr;  // waits while this is `seen`
  std::uint64_t seen = 0;
  std::uint32_t warp_time = 0;
  std::vector<AsyncCopy> copies;  // under way, the oldest first
  std::uint32_t groups = 0;       // of copies, committed so far
  std::vector<WideMultiply> products;
  std::uint32_t product_groups = 0;
  Arrivals known;
};

struct Block {
  int index = 0;
  std::vector<Thread> threads;
  std::vector<Meeting> warps;
  Meeting barrier;
  std::byte* shared = nullptr;
  std::int64_t shared_bytes = 0;
  std::map<const std::byte*, PhaseBarrier> barriers;
  std::array<Meeting, 16> turns;  // by number
  std::vector<BoxCopy> boxes;
  std::vector<Reading> readings;
};

// The launch that runs; kernels reach it through the builtins.
struct Simulation {
  Block block;
  MemoryWatch watch;
  Thread* running = nullptr;
  void* const* arguments = nullptr;
  DeviceKernel::Entry entry = nullptr;
  std::string fault;
};
extern thread_local Simulation* simulation;

// Ends the launch: what is wrong is said with the running thread and block.
[[noreturn]] void give_up(const std::string& what);
void check(const std::string& wrong);   // gives up unless it is empty
void await(const std::uint64_t& held);  // until it changes
void meet(Meeting& meeting, int count, const char* kind);
Meeting& own_warp();
Toucher own_touch();

// Where byte `at` of shared memory lies after chunks of 16 bytes have changed places within 128.
inline std::int64_t permuted(std::int64_t at) { return at ^ (at >> 3 & 0x70); }

// What is wrong; empty if nothing is. No thread runs meanwhile.
std::string land(Simulation& s, const BoxCopy& copy);

// What kernels call, by name.
using Builtins = std::vector<std::pair<std::string, void*>>;
Builtins copy_builtins();     // into shared memory, with the barriers that count them
Builtins product_builtins();  // of tensor cores
template <class F>
void* pointer_to(F* function) {
  return reinterpret_cast<void*>(function);
}

}  // namespace heed::simulated
