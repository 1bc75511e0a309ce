// The processor code is generated for: its instruction set as LLVM names it, and the figures that schedules are chosen by.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace heed {

struct MatrixFunctions;

struct Target {
  std::string cpu;       // LLVM's name of the processor
  std::string features;  // LLVM's list, "+avx2,-avx512f,…", sorted by name
  int vector_bytes = 16;
  int vector_registers = 16;
  bool has_fma = false;                                                                    // without it `fma` would be a call for each lane
  std::int64_t level1_bytes = 32 << 10, level2_bytes = 512 << 10, level3_bytes = 4 << 20;  // data caches; the first two of one core
  bool has_bf16 = false;                                                                   // rounds to it by an instruction
  bool multiplies_pairs = false;                      // of bf16, and adds them to sums in f32, faster than factors in f32
  bool multiplies_matrices = false;                   // of such pairs, in registers of their own (AMX), faster still
  const MatrixFunctions* matrix_functions = nullptr;  // run in place of those instructions; null: the processor has them
  int cores = 1;                                      // that work may be shared by

  int lanes(std::int64_t element_bytes) const { return static_cast<int>(vector_bytes / element_bytes); }
  std::string text() const;  // all of the above: two targets with equal text get equal code
};

// The machine this runs on.
const Target& host_target();

// "host", or a level that this machine's architecture knows: "avx512", "avx512bf16", "amx", "avx2", "plain" on x86-64; "neon" on aarch64.
// Code for a level that the machine lacks must not be run. Throws std::runtime_error for other names.
Target target_named(std::string_view name);

// The levels whose code runs on this machine, the widest first.
std::vector<std::string_view> levels_here();
// Whether code for `target` runs on this machine.
bool runs_here(const Target& target);

}  // namespace heed
