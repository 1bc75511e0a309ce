// Ctrl-C as a flag: the first one asks for an end, the second one ends at once.
#pragma once
#include <atomic>

namespace heed {

// While it lives, SIGINT and SIGTERM set the flag; the usual effect comes back after the first signal and at the end.
class InterruptFlag {
 public:
  InterruptFlag();
  ~InterruptFlag();
  InterruptFlag(const InterruptFlag&) = delete;
  InterruptFlag& operator=(const InterruptFlag&) = delete;
  const std::atomic<bool>& raised() const;
};

}  // namespace heed
