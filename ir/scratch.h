// What is made in an arena for a while, and leaves no trace there.
#pragma once
#include <cstddef>
#include <cstdint>

#include "ir/algebra.h"

namespace heed {

// At its end the arena forgets all nodes, axes and arrays that were made while it lived: nobody may hold them any more. So what is made
// afterwards is made as if for the first time: the order of creation decides the order of operands. Several end in the reverse order.
class Scratch {
 public:
  explicit Scratch(Arena& arena);
  ~Scratch();
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

 private:
  Arena& arena_;
  std::size_t nodes_, axes_, arrays_, scans_, gradients_;
  std::int32_t next_fresh_;
};

}  // namespace heed
