// What plans are chosen for, of a target: figures that were measured on machines of its class, so that a target has one plan.
#pragma once
#include "codegen/cpu/target.h"
#include "codegen/cuda/target.h"
#include "passes/work.h"

namespace heed {

Machine machine_of(const Target& target);
Machine machine_of(const CudaTarget& target);

}  // namespace heed
