// Values that a kernel in registers keeps from one block of columns to the next: what of them need not be kept as it is written.
#pragma once
#include "ir/register_program.h"

namespace heed {

// Of a program that is otherwise whole. A maximum that runs, and is only met no less than some number, begins with that number, and is kept
// without a factor that all scores have. Fills `spread`: sums that nothing needs before their last column.
void simplify_kept(RegisterProgram& program);

}  // namespace heed
