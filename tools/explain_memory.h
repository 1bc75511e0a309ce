// heed explain --memory.
#pragma once
#include "ir/plan.h"

namespace heed {

// Prints what a run takes, and who holds the arena where most of it is in use; 0 threads: all that the machine has. Returns the exit
// status.
int explain_memory(const Plan& plan, int threads, bool json);

}  // namespace heed
