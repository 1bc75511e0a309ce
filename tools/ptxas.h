// NVIDIA's assembler, where one is at hand: what it says of a kernel's registers and memory.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace heed {

// $HEED_PTXAS, or from the PATH, or of a CUDA toolkit in its usual place; empty if there is none.
std::string find_ptxas();

struct AssemblyReport {
  int registers = 0;
  std::int64_t stack_bytes = 0, spill_stores = 0, spill_loads = 0;  // bytes
  std::vector<std::string> notes;                                   // about performance: C75xx
};

// Assembles a PTX file for a target as `sm_80` and throws the result away. Throws UserError with ptxas's words if it refuses.
AssemblyReport assemble(const std::string& ptxas, const std::string& target, const std::string& file);

}  // namespace heed
