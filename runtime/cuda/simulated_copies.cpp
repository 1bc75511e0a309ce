// Copies into shared memory that go on while threads do, and barriers that count arrivals and bytes.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "runtime/cuda/simulation.h"

namespace heed::simulated {
namespace {

constexpr std::int64_t box_alignment = 1024;

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

PhaseBarrier& barrier_at(const std::byte* at) {
  auto found = simulation->block.barriers.find(at);
  if (found == simulation->block.barriers.end()) give_up("uses a barrier in shared memory that nobody has made");
  return found->second;
}

void end_phase_if_complete(PhaseBarrier& barrier) {
  if (barrier.arrived != barrier.count || barrier.bytes != 0) return;
  barrier.arrived = 0, ++barrier.ended;
  for (const auto& [warp, time] : std::exchange(barrier.coming, {})) barrier.come[warp] = time;
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
  const Thread& self = *simulation->running;
  barrier.coming[self.index / warp_size] = self.warp_time;
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
  Arrivals& known = simulation->running->known;
  for (const auto& [warp, time] : barrier.come) known[warp] = std::max(known[warp], time);
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

}  // namespace

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

Builtins copy_builtins() {
  return {{"heed.copy_async", pointer_to(copy_async)},
          {"heed.commit_copies", pointer_to(commit_copies)},
          {"heed.wait_for_copies", pointer_to(wait_for_copies)},
          {"heed.make_barrier", pointer_to(make_barrier)},
          {"heed.publish_barriers", pointer_to(publish_barriers)},
          {"heed.arrive", pointer_to(arrive)},
          {"heed.arrive_expecting", pointer_to(arrive_expecting)},
          {"heed.wait_for_phase", pointer_to(wait_for_phase)},
          {"heed.copy_box", pointer_to(copy_box)}};
}

}  // namespace heed::simulated
