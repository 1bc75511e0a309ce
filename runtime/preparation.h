// Whether a program's preparation must run again: it follows from parameters and states that no output updates.
#pragma once
#include <optional>
#include <span>
#include <vector>

#include "runtime/program.h"

namespace heed {

class Preparation {
 public:
  explicit Preparation(const Program& program);

  // By the memory of inputs: whoever changes what is in it must call `forget`.
  bool is_made_for(std::span<void* const> inputs) const { return made_for_ == those_of(inputs); }
  void made_for(std::span<void* const> inputs) { made_for_ = those_of(inputs); }
  void forget() { made_for_.reset(); }

 private:
  std::vector<void*> those_of(std::span<void* const> inputs) const;
  std::vector<std::size_t> kept_;  // the inputs that it may read
  std::optional<std::vector<void*>> made_for_;
};

}  // namespace heed
