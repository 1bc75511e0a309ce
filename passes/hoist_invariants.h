// Sets apart what a program makes of parameters and constants alone, so that it is made once and not in every run.
#pragma once
#include "ir/plan.h"

namespace heed {

// Moves regions to the front that read nothing but inputs that stay (parameters and states that no output updates) and each other's
// results, and that make no result of the program. Comes before plan_memory.
void hoist_invariants(Plan& plan);

}  // namespace heed
