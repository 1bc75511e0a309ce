// Values that a kernel in registers keeps from one block of columns to the next: what of them need not be kept as it is written.
#pragma once
#include "ir/register_program.h"

namespace heed {

// Of a program that is otherwise whole. A maximum that runs, and is only met no less than some number, begins with that number, and is kept
// without a factor that all scores have; so is a sum of products without a number that all of them have (of bf16: f16 has no room). Fills
// `spread`: sums that nothing needs before their last column.
void simplify_kept(RegisterProgram& program);

// A score to which values of its row or its column alone are added at once starts from them.
void start_scores(RegisterProgram& program);

}  // namespace heed
