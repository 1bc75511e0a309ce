// Whether a program in registers can run with groups of warps that multiply together what boxes bring (RegisterProgram::groups).
#pragma once
#include "ir/wide_layout.h"

namespace heed {

// Fills `grids`, of tiles whose places have one stride for all units together; others have a count of 0.
void set_grids(RegisterProgram& program);

// Why not, in words that follow "because"; empty if it can. A sum over columns goes on while the next block's scores are made and looked
// at: so nothing but itself may meet it before the last column.
std::string not_wide(const RegisterProgram& program);

}  // namespace heed
