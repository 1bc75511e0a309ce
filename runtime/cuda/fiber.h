// A flow of control with a stack of its own, switched to and from by hand: what a simulated thread is.
#pragma once
#include <cstddef>
#include <memory>

namespace heed {

class Fiber {
 public:
  static constexpr std::size_t stack_bytes = 64 << 10;

  // `stack` has stack_bytes bytes and outlives the fiber; one that has not ended may simply be dropped.
  void start(std::byte* stack, void (*entry)(void*), void* argument);
  void resume();        // until it pauses or its entry returns
  static void pause();  // called inside a fiber: back to who resumed it
  bool ended() const { return ended_; }

 private:
  [[noreturn]] static void run();
  void* stack_pointer_ = nullptr;
  void (*entry_)(void*) = nullptr;
  void* argument_ = nullptr;
  bool ended_ = false;
#if !defined(__x86_64__)
  std::shared_ptr<void> context_;
#endif
};

}  // namespace heed
