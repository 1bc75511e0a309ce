// A GPU of NVIDIA's behind its driver.
#pragma once
#include <memory>

#include "runtime/device.h"

namespace heed {

// The GPU of this number, as the driver counts them. Throws InputError where there is none, or no driver.
std::shared_ptr<Device> open_cuda_device(int ordinal);

}  // namespace heed
