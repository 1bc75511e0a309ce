// When each stored value of a plan is live, counted in steps.
#pragma once
#include <vector>

#include "ir/plan.h"

namespace heed {

struct Lifetime {
  ArrayRef array = nullptr;  // null: memory a scan works in
  int made = 0, last_read = 0;
};

// What a step stores, and what it reads from memory, each once.
std::vector<ArrayRef> stored_by(const Plan::Step& step);
std::vector<ArrayRef> read_by(const Plan::Step& step);

// Of every array a step stores, in the order they are made; a value nothing reads is live in its own step. Results live to the end, and so
// does what invariant steps make for others.
std::vector<Lifetime> lifetimes(const Plan& plan);

}  // namespace heed
