// The processor that tests of compiled code are for: HEED_TEST_CPU names its instructions as --cpu does.
#pragma once
#include <cstdlib>
#include <optional>
#include <stdexcept>
#include <string>

#include "codegen/cpu/target.h"
#include "tests/simulated_matrices.h"

namespace heed {

inline std::string test_setting(const char* name, const char* usual) {
  const char* given = std::getenv(name);
  return given ? given : usual;
}

// This machine with simulated registers of matrices, and vectors as long as theirs, which may be several of its own.
inline Target with_simulated_matrices() {
  Target target = host_target();
  target.vector_bytes = 64;
  target.multiplies_matrices = true;
  target.matrix_functions = &simulated_matrices::functions;
  return target;
}

// Nothing if this machine cannot run its code. "amx" is simulated where it is not there.
inline std::optional<Target> processor_named(std::string_view name) {
  Target target = target_named(name);
  if (runs_here(target)) return target;
  if (!target.multiplies_matrices) return {};
  return with_simulated_matrices();
}

inline Target test_processor() {
  const std::string name = test_setting("HEED_TEST_CPU", "host");
  const std::optional<Target> target = processor_named(name);
  if (!target) throw std::runtime_error("HEED_TEST_CPU=" + name + ": this machine lacks such instructions");
  return *target;
}

}  // namespace heed
