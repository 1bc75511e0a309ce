// Messages of faults, and the search for NaN in an array.
#include "runtime/faults.h"

#include <fmt/format.h>

#include <cmath>

#include "runtime/execute.h"
#include "runtime/tensor.h"

namespace heed {

void throw_fault(const Fault& fault, const Program& program) {
  const auto place = fault.place.load();
  if (place == 0) return;
  const auto& where = program.fault_places.at(static_cast<std::size_t>(place - 1));
  throw IndexFault(fault.limit > 0 ? fmt::format("index {} is out of range 0 … {}: {}", fault.value, fault.limit - 1, where)
                                   : fmt::format("index {} into an axis of size 0: {}", fault.value, where),
                   fault.value);
}

bool holds_nan(const std::string& dtype, const std::byte* from, std::int64_t bytes) {
  const auto* type = find_element_type(dtype);
  if (!type || !type->floating) return false;
  for (std::int64_t at = 0; at + type->bytes <= bytes; at += type->bytes) {
    if (std::isnan(floating_at(dtype, from + at))) return true;
  }
  return false;
}

}  // namespace heed
