// The library of functions that kernels for GPUs are linked with.
#pragma once
#include <string_view>

namespace heed {

std::string_view device_math();  // LLVM IR, from device_math.c

}  // namespace heed
