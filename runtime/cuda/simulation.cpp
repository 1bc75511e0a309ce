// How threads of a simulated block wait for each other.
#include "runtime/cuda/simulation.h"

#include <fmt/format.h>

namespace heed::simulated {

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

Toucher own_touch() {
  const Simulation& s = *simulation;
  return {s.block.index, s.running->index, static_cast<std::uint32_t>(s.block.barrier.held), s.running->warp_time,
          s.block.barriers.empty() ? nullptr : &s.running->known};
}

void check(const std::string& wrong) {
  if (!wrong.empty()) give_up(wrong);
}

}  // namespace heed::simulated
