// The builtins of kernels as C++, and a scheduler of the fibers of one block.
#include "runtime/cuda/simulated_device.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <map>
#include <random>
#include <stdexcept>

#include "runtime/cuda/fiber.h"
#include "runtime/cuda/memory_watch.h"
#include "runtime/memory.h"
#include "runtime/tensor.h"

namespace heed {
namespace {

constexpr int warp_size = 32;
constexpr std::int64_t most_shared = 227 << 10;

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
};

// A product of 64 rows that a thread has begun.
struct WideMultiply {
  std::int32_t kind, columns;
  bool left_across, right_across;
  float* sums;
  std::uint64_t left, right;
  std::uint32_t group;
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
};

struct Block {
  int index = 0;
  std::vector<Thread> threads;
  std::vector<Meeting> warps;
  Meeting barrier;
  std::byte* shared = nullptr;
  std::int64_t shared_bytes = 0;
  std::map<const std::byte*, PhaseBarrier> barriers;
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
thread_local Simulation* simulation = nullptr;

[[noreturn]] void give_up(const std::string& what) {
  if (simulation->fault.empty())
    simulation->fault = fmt::format("thread {} of block {} {}", simulation->running->index, simulation->block.index, what);
  while (true) Fiber::pause();  // never resumed: the launch ends
}

void await(const std::uint64_t& held) {
  Thread& self = *simulation->running;
  self.awaited = &held, self.seen = held;
  while (held == self.seen) Fiber::pause();
  self.awaited = nullptr;
}

void meet(Meeting& meeting, int count, const char* kind) {
  if (meeting.arrived > 0 && meeting.kind != kind)
    give_up(fmt::format("comes to a {} where others of its group are at a {}", kind, meeting.kind));
  meeting.kind = kind;
  if (++meeting.arrived == count) {
    meeting.arrived = 0;
    ++meeting.held;
  } else {
    await(meeting.held);
  }
}

Meeting& own_warp() { return simulation->block.warps[static_cast<std::size_t>(simulation->running->index / warp_size)]; }

std::int32_t thread_index() { return simulation->running->index; }
std::int32_t block_index() { return simulation->block.index; }
void* hidden(void* pointer) { return pointer; }
void* shared_memory() { return simulation->block.shared; }

void block_barrier() { meet(simulation->block.barrier, static_cast<int>(simulation->block.threads.size()), "barrier"); }

void warp_barrier() {
  meet(own_warp(), warp_size, "barrier of the warp");
  ++simulation->running->warp_time;
}

std::int32_t shuffle_xor(std::int32_t value, std::int32_t mask) {
  Meeting& warp = own_warp();
  const int lane = simulation->running->index % warp_size;
  warp.values[lane] = value;
  meet(warp, warp_size, "shuffle");
  std::int32_t result = warp.values[lane ^ mask];
  meet(warp, warp_size, "shuffle");  // nobody's next value before all have read
  ++simulation->running->warp_time;
  return result;
}

Toucher own_touch() {
  const Simulation& s = *simulation;
  return {s.block.index, s.running->index, static_cast<std::uint32_t>(s.block.barrier.held), s.running->warp_time};
}

void check(const std::string& wrong) {
  if (!wrong.empty()) give_up(wrong);
}

void access_memory(const void* at, std::int32_t bytes, std::int32_t kind) {
  check(simulation->watch.access(at, bytes, static_cast<AccessKind>(kind), own_touch()));
}

// Copies land as late as they may: when their thread waits for them.
void copy_async(std::byte* to, const std::byte* from, std::int32_t bytes, std::int32_t present, std::int32_t condition) {
  Simulation& s = *simulation;
  if (condition == 0) return;
  if (present < 0 || present > bytes) give_up(fmt::format("copies {} of {} bytes", present, bytes));
  if (reinterpret_cast<std::uintptr_t>(from) % static_cast<std::uintptr_t>(bytes) != 0)
    give_up(fmt::format("copies {} bytes from an unaligned place", bytes));
  if (to < s.block.shared || to >= s.block.shared + s.block.shared_bytes)
    give_up(fmt::format("copies {} bytes to outside of shared memory", bytes));
  if (present > 0) check(s.watch.access(from, present, 1, AccessKind::read, own_touch()));
  check(s.watch.begin_write(to, bytes, own_touch()));
  s.running->copies.push_back({to, from, bytes, present, s.running->groups});
}

void commit_copies() { ++simulation->running->groups; }

void wait_for_copies(std::int32_t still) {
  Simulation& s = *simulation;
  Thread& self = *s.running;
  auto landed = [&](const AsyncCopy& copy) { return copy.group + static_cast<std::uint32_t>(still) < self.groups; };
  for (const AsyncCopy& copy : self.copies) {
    if (!landed(copy)) continue;
    check(s.watch.end_write(copy.to, copy.bytes, own_touch()));
    std::memset(copy.to, 0, static_cast<std::size_t>(copy.bytes));
    std::memcpy(copy.to, copy.from, static_cast<std::size_t>(copy.present));
  }
  std::erase_if(self.copies, landed);
}

// Matrix m's line l is where lane 8 m + l says. `take(matrix, lines)` gives this lane's word of a matrix.
template <class Take>
void load_matrices(std::int32_t* results, const std::byte* line, Take take) {
  access_memory(line, 16, static_cast<std::int32_t>(AccessKind::read));
  Meeting& warp = own_warp();
  const int lane = simulation->running->index % warp_size;
  warp.places[lane] = line;
  meet(warp, warp_size, "load of matrices");
  for (int matrix = 0; matrix < 4; ++matrix)
    results[matrix] = take(lane, [&](int k) { return static_cast<const std::byte*>(warp.places[matrix * 8 + k]); });
  meet(warp, warp_size, "load of matrices");
  ++simulation->running->warp_time;
}

void load_plain(std::int32_t* results, const std::byte* line) {
  load_matrices(results, line, [](int lane, auto lines) {
    std::int32_t word = 0;
    std::memcpy(&word, lines(lane / 4) + lane % 4 * 4, 4);
    return word;
  });
}

void load_transposed(std::int32_t* results, const std::byte* line) {
  load_matrices(results, line, [](int lane, auto lines) {
    std::uint16_t halves[2];
    for (int k = 0; k < 2; ++k) std::memcpy(&halves[k], lines(lane % 4 * 2 + k) + lane / 4 * 2, 2);
    return static_cast<std::int32_t>(halves[0] | static_cast<std::uint32_t>(halves[1]) << 16);
  });
}

float power_of_two(float x) { return std::exp2(x); }
float hyperbolic_tangent(float x) { return std::tanh(x); }

// The fragments that a lane brings to a product of matrices.
struct Fragments {
  std::int32_t left[4], right[2];
  float sums[4];
};

float factor_tf32(std::int32_t word, int) { return std::bit_cast<float>(word); }
float factor_bf16(std::int32_t word, int half) {
  const auto bits = static_cast<std::uint32_t>(word);
  return std::bit_cast<float>(half == 0 ? bits << 16 : bits & 0xFFFF0000U);
}
float factor_f16(std::int32_t word, int half) {
  auto bits = static_cast<std::uint16_t>(static_cast<std::uint32_t>(word) >> (16 * half));
  return static_cast<float>(floating_at("f16", reinterpret_cast<const std::byte*>(&bits)));
}

// PTX's mma.sync of 16 x 8 sums: `in_word` factors in a word, 8 words along the depth.
template <float factor(std::int32_t word, int half), int in_word>
void multiply(float* results, const Fragments& own) {
  Meeting& warp = own_warp();
  const int lane = simulation->running->index % warp_size;
  warp.places[lane] = &own;
  meet(warp, warp_size, "product of matrices");
  auto of = [&](int other) { return static_cast<const Fragments*>(warp.places[other]); };
  for (int k = 0; k < 4; ++k) {
    const int row = lane / 4 + k / 2 * 8, column = lane % 4 * 2 + k % 2;
    float sum = own.sums[k];
    for (int word = 0; word < 8; ++word)
      for (int half = 0; half < in_word; ++half)
        sum += factor(of(row % 8 * 4 + word % 4)->left[row / 8 + word / 4 * 2], half) *
               factor(of(column * 4 + word % 4)->right[word / 4], half);
    results[k] = sum;
  }
  meet(warp, warp_size, "product of matrices");
  ++simulation->running->warp_time;
}

// --- sm_90a
constexpr std::int64_t box_line = 128, box_alignment = 1024;
constexpr std::int32_t bf16_kind = 1;  // MatrixKind::bf16 of codegen/cuda/builtins.h

PhaseBarrier& barrier_at(const std::byte* at) {
  auto found = simulation->block.barriers.find(at);
  if (found == simulation->block.barriers.end()) give_up("uses a barrier in shared memory that nobody has made");
  return found->second;
}

void end_phase_if_complete(PhaseBarrier& barrier) {
  if (barrier.arrived == barrier.count && barrier.bytes == 0) barrier.arrived = 0, ++barrier.ended;
}

bool in_shared(const std::byte* at, std::int64_t bytes) {
  const Block& block = simulation->block;
  return at >= block.shared && at + bytes <= block.shared + block.shared_bytes;
}

void make_barrier(std::byte* at, std::int32_t arrivals) {
  if (!in_shared(at, 8) || reinterpret_cast<std::uintptr_t>(at) % 8 != 0) give_up("makes a barrier outside of shared memory or unaligned");
  simulation->block.barriers[at] = {.count = arrivals};
}
void publish_barriers() {}

void arrive(std::byte* at, std::int32_t condition) {
  if (condition == 0) return;
  PhaseBarrier& barrier = barrier_at(at);
  if (++barrier.arrived > barrier.count) give_up(fmt::format("arrives at a barrier after all {} have", barrier.count));
  end_phase_if_complete(barrier);
}

void arrive_expecting(std::byte* at, std::int32_t bytes) {
  barrier_at(at).bytes += bytes;
  arrive(at, 1);
}

void wait_for_phase(std::byte* at, std::int32_t parity) {
  PhaseBarrier& barrier = barrier_at(at);
  while ((barrier.ended & 1) == static_cast<std::uint64_t>(parity)) await(barrier.ended);
}

std::int64_t box_bytes(const TensorMap& map) { return std::int64_t{map.box[0]} * map.box[1] * map.box[2] * 2; }

void copy_box(std::byte* to, const SimulatedMap* map, std::int32_t first, std::int32_t second, std::int32_t third, std::byte* barrier) {
  Simulation& s = *simulation;
  const std::int64_t bytes = box_bytes(*map->map);
  if (!in_shared(to, bytes)) give_up(fmt::format("copies a box of {} bytes to outside of shared memory", bytes));
  if ((to - s.block.shared) % box_alignment != 0) give_up(fmt::format("copies a box to a place that is not aligned to {}", box_alignment));
  for (const Reading& each : s.block.readings)
    if (to < each.end && each.begin < to + bytes) give_up("copies a box over what products under way read");
  barrier_at(barrier);
  check(s.watch.begin_write(to, static_cast<std::int32_t>(bytes), own_touch()));
  s.block.boxes.push_back({*map, to, {first, second, third}, barrier, own_touch()});
}

// Where byte `at` of shared memory lies after chunks of 16 bytes have changed places within 128.
std::int64_t permuted(std::int64_t at) { return at ^ (at >> 3 & 0x70); }

// What is wrong; empty if nothing is. No thread runs meanwhile.
std::string land(Simulation& s, const BoxCopy& copy) {
  const TensorMap& map = *copy.from.map;
  const std::int64_t start = copy.to - s.block.shared;
  std::string wrong = s.watch.end_write(copy.to, static_cast<std::int32_t>(box_bytes(map)), copy.by);
  std::memset(copy.to, 0, static_cast<std::size_t>(box_bytes(map)));
  for (std::int64_t outer = 0; outer < map.box[2]; ++outer)
    for (std::int64_t middle = 0; middle < map.box[1]; ++middle) {
      const std::int64_t z = copy.places[2] + outer, y = copy.places[1] + middle, x = copy.places[0];
      const std::int64_t present = std::min<std::int64_t>(map.box[0], map.sizes[0] - x);
      if (z < 0 || z >= map.sizes[2] || y < 0 || y >= map.sizes[1] || x < 0 || present <= 0) continue;
      const std::byte* from = copy.from.buffer + map.offset + z * map.strides[1] + y * map.strides[0] + x * 2;
      if (wrong.empty()) wrong = s.watch.access(from, static_cast<std::int32_t>(present * 2), 2, AccessKind::read, copy.by);
      if (!wrong.empty()) return wrong;
      const std::int64_t line = start + (outer * map.box[1] + middle) * map.box[0] * 2;
      for (std::int64_t byte = 0; byte < present * 2; byte += 2) std::memcpy(s.block.shared + permuted(line + byte), from + byte, 2);
    }
  PhaseBarrier& barrier = s.block.barriers.at(copy.barrier);
  barrier.bytes -= box_bytes(map);
  if (barrier.bytes < 0) return "begins a copy of more bytes than its barrier waits for";
  end_phase_if_complete(barrier);
  return wrong;
}

std::uint64_t matrix_place(const std::byte* at, std::int32_t leading, std::int32_t stride) {
  const auto offset = static_cast<std::uint64_t>(at - simulation->block.shared);
  return std::uint64_t{1} << 62 | static_cast<std::uint64_t>(stride >> 4) << 32 | static_cast<std::uint64_t>(leading >> 4) << 16 |
         offset >> 4;
}

// An operand of a product as its word says.
struct WideOperand {
  std::int64_t start, leading, stride;
  bool across;
  WideOperand(std::uint64_t place, bool across)
      : start(static_cast<std::int64_t>(place & 0x3FFF) << 4),
        leading(static_cast<std::int64_t>(place >> 16 & 0x3FFF) << 4),
        stride(static_cast<std::int64_t>(place >> 32 & 0x3FFF) << 4),
        across(across) {}
  // Of line i and place k of the depth, in shared memory.
  std::int64_t at(std::int64_t i, std::int64_t k) const {
    return permuted(
        start + (across ? i / 64 * leading + k / 8 * stride + k % 8 * box_line + i % 64 * 2 : i / 8 * stride + i % 8 * box_line + k * 2));
  }
  // The lines of 128 bytes that `lines` lines of it are in.
  template <class Each>
  void each_range(std::int64_t lines, Each each) const {
    const std::int64_t first = start / box_line * box_line;
    if (across)
      for (std::int64_t block = 0; block * 64 < lines; ++block)
        for (std::int64_t k = 0; k < 16; k += 8) each(first + block * leading + k / 8 * stride, 8 * box_line);
    else
      for (std::int64_t group = 0; group * 8 < lines; ++group) each(first + group * stride, 8 * box_line);
  }
};

void begin_products() {}

void multiply_wide(std::int32_t kind, std::int32_t columns, std::int32_t left_across, std::int32_t right_across, float* sums,
                   std::uint64_t left, std::uint64_t right) {
  Simulation& s = *simulation;
  Thread& self = *s.running;
  meet(own_warp(), warp_size, "wide product");
  if (self.index % warp_size == 0) {
    auto read = [&](const WideOperand& operand, std::int64_t lines) {
      operand.each_range(lines, [&](std::int64_t at, std::int64_t bytes) {
        check(s.watch.read_untraced(s.block.shared + at, bytes, true));
        s.block.readings.push_back({s.block.shared + at, s.block.shared + at + bytes, self.index / warp_size, self.product_groups});
      });
    };
    read({left, left_across != 0}, 64);
    read({right, right_across != 0}, columns);
  }
  self.products.push_back({kind, columns, left_across != 0, right_across != 0, sums, left, right, self.product_groups});
}

void commit_products() { ++simulation->running->product_groups; }

// A thread has, of each 8 columns, two neighbours of its row, and two of the row 8 below.
template <float factor(std::int32_t word, int half)>
void finish(const WideMultiply& product, int thread) {
  const std::byte* shared = simulation->block.shared;
  auto element = [&](std::int64_t at) {
    std::uint16_t bits = 0;
    std::memcpy(&bits, shared + at, 2);
    return factor(bits, 0);
  };
  const WideOperand left(product.left, product.left_across), right(product.right, product.right_across);
  float rows[2][16];
  const int row = thread / warp_size * 16 + thread % warp_size / 4;
  for (int half = 0; half < 2; ++half)
    for (int k = 0; k < 16; ++k) rows[half][k] = element(left.at(row + 8 * half, k));
  for (int column = 0; column < product.columns; column += 8)
    for (int one = 0; one < 2; ++one)
      for (int k = 0; k < 16; ++k) {
        const float there = element(right.at(column + thread % 4 * 2 + one, k));
        for (int half = 0; half < 2; ++half) product.sums[column / 2 + 2 * half + one] += rows[half][k] * there;
      }
}

void wait_for_products(std::int32_t still, float*, std::int32_t) {
  Simulation& s = *simulation;
  Thread& self = *s.running;
  auto landed = [&](std::uint32_t group) { return group + static_cast<std::uint32_t>(still) < self.product_groups; };
  for (const WideMultiply& product : self.products) {
    if (!landed(product.group)) continue;
    constexpr int warpgroup = 128;
    product.kind == bf16_kind ? finish<factor_bf16>(product, self.index % warpgroup) : finish<factor_f16>(product, self.index % warpgroup);
  }
  std::erase_if(self.products, [&](const WideMultiply& product) { return landed(product.group); });
  meet(own_warp(), warp_size, "wait for products");
  if (self.index % warp_size == 0)
    std::erase_if(s.block.readings, [&](const Reading& each) { return each.warp == self.index / warp_size && landed(each.group); });
}

void change_registers(std::int32_t) {}
std::int32_t same_in_warp(std::int32_t value) { return value; }

using Word = std::int32_t;
void multiply_tf32(float* results, Word a0, Word a1, Word a2, Word a3, Word b0, Word b1, float c0, float c1, float c2, float c3) {
  multiply<factor_tf32, 1>(results, {{a0, a1, a2, a3}, {b0, b1}, {c0, c1, c2, c3}});
}
void multiply_bf16(float* results, Word a0, Word a1, Word a2, Word a3, Word b0, Word b1, float c0, float c1, float c2, float c3) {
  multiply<factor_bf16, 2>(results, {{a0, a1, a2, a3}, {b0, b1}, {c0, c1, c2, c3}});
}
void multiply_f16(float* results, Word a0, Word a1, Word a2, Word a3, Word b0, Word b1, float c0, float c1, float c2, float c3) {
  multiply<factor_f16, 2>(results, {{a0, a1, a2, a3}, {b0, b1}, {c0, c1, c2, c3}});
}

Word pack_bf16(float low, float high) {
  const float both[] = {low, high};
  Word word = 0;
  convert_elements("f32", reinterpret_cast<const std::byte*>(both), "bf16", reinterpret_cast<std::byte*>(&word), 2);
  return word;
}

void run_thread(void*) {
  simulation->entry(simulation->arguments);
  if (!simulation->running->products.empty()) give_up("ends while products are under way that it did not wait for");
}

class SimulatedDevice : public Device {
 public:
  explicit SimulatedDevice(std::uint64_t seed) : random_(seed) {}
  ~SimulatedDevice() override {
    if (stacks_) munmap(stacks_, stack_count_ * Fiber::stack_bytes);
  }
  std::string name() const override { return "cuda-sim"; }

  void* allocate(std::int64_t bytes, std::string_view) override {
    auto* memory = static_cast<std::byte*>(::operator new(static_cast<std::size_t>(bytes) + 256, std::align_val_t(256)));
    std::memset(memory, 0xFF, static_cast<std::size_t>(bytes));  // NaN, and -1: what was never written shows
    return memory;
  }
  void release(void* memory) noexcept override { ::operator delete(memory, std::align_val_t(256)); }
  void copy_in(void* to, const void* from, std::int64_t bytes) override { std::memcpy(to, from, static_cast<std::size_t>(bytes)); }
  void copy_out(void* to, const void* from, std::int64_t bytes) override { std::memcpy(to, from, static_cast<std::size_t>(bytes)); }
  void copy(void* to, const void* from, std::int64_t bytes) override { std::memmove(to, from, static_cast<std::size_t>(bytes)); }
  void clear(void* memory, std::int64_t bytes) override { std::memset(memory, 0, static_cast<std::size_t>(bytes)); }
  std::shared_ptr<void> load(const Program&) override { return {}; }
  void wait() override {}

  void launch(void*, const Program& program, const Launch& launch, std::span<void* const> parameters, const std::string& where) override {
    const DeviceKernel& kernel = program.kernels[static_cast<std::size_t>(launch.kernel)];
    if (kernel.shared_bytes > most_shared)
      throw std::runtime_error(
          fmt::format("cuda-sim: {}: {} bytes of shared memory, no GPU has more than {}", where, kernel.shared_bytes, most_shared));
    make_stacks(static_cast<std::size_t>(kernel.threads));
    std::vector<std::byte> shared_memory(static_cast<std::size_t>(kernel.shared_bytes) + 1024);
    std::vector<void*> arguments;
    for (void* const& each : parameters) arguments.push_back(const_cast<void**>(&each));
    std::vector<SimulatedMap> maps;
    for (const TensorMap& each : launch.maps)
      maps.push_back({&each, static_cast<std::byte*>(parameters[static_cast<std::size_t>(each.buffer)])});
    std::vector<void*> map_pointers;
    for (SimulatedMap& each : maps) map_pointers.push_back(&each);
    for (void*& each : map_pointers) arguments.push_back(&each);
    Simulation run;
    run.entry = kernel.entry, run.arguments = arguments.data();
    run.block.shared = reinterpret_cast<std::byte*>((reinterpret_cast<std::uintptr_t>(shared_memory.data()) + 1023) / 1024 * 1024);
    run.block.shared_bytes = kernel.shared_bytes;
    run.watch.add(run.block.shared, kernel.shared_bytes, "shared memory");
    run.watch.add(parameters.back(), sizeof(Fault), "the record of faults");
    for (std::size_t k = 0; k < launch.buffers.size(); ++k) {
      const BufferUse& use = launch.buffers[k];
      const Buffer& buffer = program.buffers[static_cast<std::size_t>(use.buffer)];
      run.watch.add(parameters[k], use.stride != 0 ? use.stride : buffer.bytes, fmt::format("buffer {}", k));
    }
    run.block.threads.resize(static_cast<std::size_t>(kernel.threads));
    simulation = &run;
    for (std::int64_t block = 0; block < launch.tasks && run.fault.empty(); ++block) {
      std::memset(run.block.shared, 0xFF, static_cast<std::size_t>(kernel.shared_bytes));
      run_block(run, static_cast<int>(block));
    }
    simulation = nullptr;
    if (!run.fault.empty()) throw std::runtime_error(fmt::format("cuda-sim: {}: {}", where, run.fault));
  }

 private:
  void make_stacks(std::size_t count) {
    if (count <= stack_count_) return;
    if (stacks_) munmap(stacks_, stack_count_ * Fiber::stack_bytes);
    stack_count_ = count;
    stacks_ = static_cast<std::byte*>(
        mmap(nullptr, count * Fiber::stack_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
    if (stacks_ == MAP_FAILED) throw std::bad_alloc();
  }

  void run_block(Simulation& run, int index) {
    Block& block = run.block;
    block.index = index;
    block.barrier = {};
    block.barriers.clear(), block.boxes.clear(), block.readings.clear();
    block.warps.assign((block.threads.size() + warp_size - 1) / warp_size, {});
    run.watch.new_touches();
    order_.clear();
    for (std::size_t k = 0; k < block.threads.size(); ++k) {
      Thread& thread = block.threads[k];
      thread.index = static_cast<int>(k), thread.awaited = nullptr, thread.warp_time = 0;
      thread.copies.clear(), thread.groups = 0;
      thread.products.clear(), thread.product_groups = 0;
      thread.fiber.start(stacks_ + k * Fiber::stack_bytes, run_thread, nullptr);
      order_.push_back(&thread);
    }
    while (!order_.empty() && run.fault.empty()) {
      std::shuffle(order_.begin(), order_.end(), random_);
      bool moved = false;
      for (Thread* thread : order_) {
        if (thread->awaited && *thread->awaited == thread->seen) continue;
        moved = true;
        run.running = thread;
        thread->fiber.resume();
        if (!run.fault.empty()) return;
      }
      std::erase_if(order_, [](const Thread* thread) { return thread->fiber.ended(); });
      if (!moved && !block.boxes.empty()) {  // as late as they may: nobody can go on without
        const auto box = block.boxes.begin() + static_cast<std::ptrdiff_t>(random_() % block.boxes.size());
        const BoxCopy copy = *box;
        block.boxes.erase(box);
        const std::string wrong = land(run, copy);
        if (!wrong.empty()) run.fault = fmt::format("thread {} of block {} {}", copy.by.thread, index, wrong);
        continue;
      }
      if (!moved && !order_.empty()) {
        auto first = std::ranges::min_element(order_, {}, [](const Thread* thread) { return thread->index; });
        run.fault =
            fmt::format("thread {} of block {} and {} more wait for threads that never come", (*first)->index, index, order_.size() - 1);
      }
    }
  }

  std::mt19937_64 random_;
  std::byte* stacks_ = nullptr;
  std::size_t stack_count_ = 0;
  std::vector<Thread*> order_;
};

template <class F>
void* pointer_to(F* function) {
  return reinterpret_cast<void*>(function);
}

}  // namespace

std::shared_ptr<Device> simulated_device(std::uint64_t seed) { return std::make_shared<SimulatedDevice>(seed); }

std::vector<std::pair<std::string, void*>> simulated_builtins() {
  return {{"heed.thread", pointer_to(thread_index)},
          {"heed.thread_here", pointer_to(thread_index)},
          {"heed.block", pointer_to(block_index)},
          {"heed.shared", pointer_to(shared_memory)},
          {"heed.hidden", pointer_to(hidden)},
          {"heed.barrier", pointer_to(block_barrier)},
          {"heed.warp_barrier", pointer_to(warp_barrier)},
          {"heed.shuffle_xor", pointer_to(shuffle_xor)},
          {"heed.load_matrices", pointer_to(load_plain)},
          {"heed.load_matrices_transposed", pointer_to(load_transposed)},
          {"heed.power_of_two", pointer_to(power_of_two)},
          {"heed.tanh", pointer_to(hyperbolic_tangent)},
          {"heed.copy_async", pointer_to(copy_async)},
          {"heed.commit_copies", pointer_to(commit_copies)},
          {"heed.wait_for_copies", pointer_to(wait_for_copies)},
          {"heed.multiply_tf32", pointer_to(multiply_tf32)},
          {"heed.multiply_bf16", pointer_to(multiply_bf16)},
          {"heed.multiply_f16", pointer_to(multiply_f16)},
          {"heed.pack_bf16", pointer_to(pack_bf16)},
          {"heed.make_barrier", pointer_to(make_barrier)},
          {"heed.publish_barriers", pointer_to(publish_barriers)},
          {"heed.arrive", pointer_to(arrive)},
          {"heed.arrive_expecting", pointer_to(arrive_expecting)},
          {"heed.wait_for_phase", pointer_to(wait_for_phase)},
          {"heed.copy_box", pointer_to(copy_box)},
          {"heed.matrix_place", pointer_to(matrix_place)},
          {"heed.begin_products", pointer_to(begin_products)},
          {"heed.multiply_wide", pointer_to(multiply_wide)},
          {"heed.commit_products", pointer_to(commit_products)},
          {"heed.wait_for_products", pointer_to(wait_for_products)},
          {"heed.leave_registers", pointer_to(change_registers)},
          {"heed.take_registers", pointer_to(change_registers)},
          {"heed.same_in_warp", pointer_to(same_in_warp)},
          {"heed.access", pointer_to(access_memory)}};
}

}  // namespace heed
