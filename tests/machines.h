// Machines by whose figures plans are made in tests.
#pragma once
#include "passes/work.h"

namespace heed {

// Where memory is so slow that blocks win at any size, and blocks have few rows.
inline Machine eager_machine() {
  Machine machine;
  machine.bytes_per_second = 1e3;
  machine.launch_seconds = 0;
  machine.enough_rows = machine.most_rows = 8;
  return machine;
}

// Where columns are cut into blocks, too.
inline Machine narrow_machine() {
  Machine machine = eager_machine();
  machine.cache_bytes = 1;
  machine.columns_of_passes = 16;
  return machine;
}

}  // namespace heed
