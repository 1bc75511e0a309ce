// Whether products may use the registers of AMX, and gain by it.
#pragma once
#include <string>

namespace heed {

struct MatrixUse {
  bool is_allowed = false;  // the processor multiplies matrices of bf16, and the system keeps their registers for this process
  std::string why_not;      // they are not used; empty: they are
};

// Asks the system for the registers the first time it is called, for all threads there are and will be, and measures whether they are
// faster than vectors. To be called before a kernel uses them.
const MatrixUse& matrix_use();

}  // namespace heed
