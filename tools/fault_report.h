// What heed says when the fault is its own.
#pragma once
#include <string>

namespace heed {

// Writes a file from which the fault can be reproduced, says so, and returns the exit status.
int report_own_fault(const std::string& what, int count, char** arguments);

}  // namespace heed
