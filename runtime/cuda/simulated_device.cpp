// The builtins of single threads as C++, and a scheduler of the fibers of one block.
#include "runtime/cuda/simulated_device.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <random>
#include <stdexcept>

#include "runtime/cuda/simulation.h"
#include "runtime/memory.h"
#include "runtime/tensor.h"

namespace heed {
namespace simulated {
namespace {

constexpr std::int64_t most_shared = 227 << 10, narrowest_shared = 2;

std::int32_t thread_index() { return simulation->running->index; }
std::int32_t block_index() { return simulation->block.index; }
void* hidden(void* pointer) { return pointer; }
std::int32_t hidden_word(std::int32_t word) { return word; }
void* shared_memory() { return simulation->block.shared; }

void block_barrier() { meet(simulation->block.barrier, static_cast<int>(simulation->block.threads.size()), "barrier"); }

// Half of those who come to a turn's barrier wait there, half do not.
Meeting& come_to_turn(std::int32_t number) {
  constexpr int both = 256;
  if (number < 1 || number > 15) give_up(fmt::format("takes turns at barrier {}", number));
  Meeting& turn = simulation->block.turns[static_cast<std::size_t>(number)];
  if (++turn.arrived == both) turn.arrived = 0, ++turn.held;
  return turn;
}
void wait_for_turn(std::int32_t number) {
  Meeting& turn = come_to_turn(number);
  if (turn.arrived > 0) await(turn.held);
}
void give_turn(std::int32_t number) { come_to_turn(number); }

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

void access_memory(const void* at, std::int32_t bytes, std::int32_t kind) {
  check(simulation->watch.access(at, bytes, static_cast<AccessKind>(kind), own_touch()));
}

float power_of_two(float x) { return std::exp2(x); }
float hyperbolic_tangent(float x) { return std::tanh(x); }
float reciprocal(float x) { return 1 / x; }

void change_registers(std::int32_t) {}
std::int32_t same_in_warp(std::int32_t value) { return value; }

void run_thread(void*) {
  simulation->entry(simulation->arguments);
  if (!simulation->running->products.empty()) give_up("ends while products are under way that it did not wait for");
}

class SimulatedDevice : public Device {
 public:
  using Clock = std::chrono::steady_clock;
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
  Moment copy_ahead(void* to, const void* from, std::int64_t bytes) override {
    copy_in(to, from, bytes);
    return mark();
  }
  void come_after(const Moment&) override {}
  Moment mark() override { return std::make_shared<Clock::time_point>(Clock::now()); }
  double seconds_between(const Moment& from, const Moment& to) override {
    const auto at = [](const Moment& moment) { return *static_cast<Clock::time_point*>(moment.get()); };
    return std::chrono::duration<double>(at(to) - at(from)).count();
  }
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
    run.watch.add(run.block.shared, kernel.shared_bytes, "shared memory", narrowest_shared);
    run.watch.add(parameters.back(), sizeof(Fault), "the record of faults", 4);
    for (std::size_t k = 0; k < launch.buffers.size(); ++k) {
      const BufferUse& use = launch.buffers[k];
      const Buffer& buffer = program.buffers[static_cast<std::size_t>(use.buffer)];
      const ElementType* type = find_element_type(buffer.dtype);
      run.watch.add(parameters[k], use.stride != 0 ? use.stride : buffer.bytes, fmt::format("buffer {}", k), type ? type->bytes : 4);
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
    block.turns = {};
    block.warps.assign((block.threads.size() + warp_size - 1) / warp_size, {});
    run.watch.new_touches();
    order_.clear();
    for (std::size_t k = 0; k < block.threads.size(); ++k) {
      Thread& thread = block.threads[k];
      thread.index = static_cast<int>(k), thread.awaited = nullptr, thread.warp_time = 0;
      thread.copies.clear(), thread.groups = 0;
      thread.products.clear(), thread.product_groups = 0;
      thread.known.clear();
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
    if (run.fault.empty() && std::ranges::any_of(block.turns, [](const Meeting& turn) { return turn.arrived > 0; }))
      run.fault = fmt::format("thread 0 of block {} and others end while a turn is given that nobody takes", index);
  }

  std::mt19937_64 random_;
  std::byte* stacks_ = nullptr;
  std::size_t stack_count_ = 0;
  std::vector<Thread*> order_;
};

Builtins thread_builtins() {
  return {{"heed.thread", pointer_to(thread_index)},
          {"heed.thread_here", pointer_to(thread_index)},
          {"heed.block", pointer_to(block_index)},
          {"heed.shared", pointer_to(shared_memory)},
          {"heed.hidden", pointer_to(hidden)},
          {"heed.hidden_word", pointer_to(hidden_word)},
          {"heed.barrier", pointer_to(block_barrier)},
          {"heed.warp_barrier", pointer_to(warp_barrier)},
          {"heed.shuffle_xor", pointer_to(shuffle_xor)},
          {"heed.power_of_two", pointer_to(power_of_two)},
          {"heed.tanh", pointer_to(hyperbolic_tangent)},
          {"heed.reciprocal", pointer_to(reciprocal)},
          {"heed.wait_for_turn", pointer_to(wait_for_turn)},
          {"heed.give_turn", pointer_to(give_turn)},
          {"heed.leave_registers", pointer_to(change_registers)},
          {"heed.take_registers", pointer_to(change_registers)},
          {"heed.same_in_warp", pointer_to(same_in_warp)},
          {"heed.access", pointer_to(access_memory)}};
}

}  // namespace
}  // namespace simulated

std::shared_ptr<Device> simulated_device(std::uint64_t seed) { return std::make_shared<simulated::SimulatedDevice>(seed); }

std::vector<std::pair<std::string, void*>> simulated_builtins() {
  simulated::Builtins all = simulated::thread_builtins();
  for (const simulated::Builtins& some : {simulated::copy_builtins(), simulated::product_builtins()})
    all.insert(all.end(), some.begin(), some.end());
  return all;
}

}  // namespace heed
