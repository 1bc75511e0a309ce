// Finds out what the processor can do, and describes the named levels of its architecture.
#include "codegen/cpu/target.h"

#include <fmt/format.h>
#include <llvm/ADT/StringMap.h>
#include <llvm/TargetParser/Host.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <stdexcept>

#include "codegen/cpu/matrix_use.h"
#include "codegen/cpu/pair_speed.h"
#include "runtime/cores.h"

namespace heed {
namespace {

struct Level {
  std::string_view name, cpu, needs;
  int vector_bytes, vector_registers;
  bool has_fma, has_bf16 = false, has_matrices = false;
};
#if defined(__x86_64__)
constexpr Level levels[] = {
    {"avx512", "x86-64-v4", "avx512vl", 64, 32, true},
    {"avx512bf16", "cooperlake", "avx512bf16", 64, 32, true, true},
    {"amx", "sapphirerapids", "amx-bf16", 64, 32, true, true, true},
    {"avx2", "x86-64-v3", "avx2", 32, 16, true},
    {"plain", "x86-64", "sse2", 16, 16, false},
};
#else
constexpr Level levels[] = {{"neon", "generic", "neon", 16, 32, true}};
#endif

std::map<std::string, bool> host_features() {
  std::map<std::string, bool> sorted;
  for (const auto& feature : llvm::sys::getHostCPUFeatures()) sorted.emplace(feature.first().str(), feature.second);
  return sorted;
}

bool host_has(const std::map<std::string, bool>& features, std::string_view name) {
  auto found = features.find(std::string(name));
  return found != features.end() && found->second;
}

bool host_has(const std::map<std::string, bool>& features, const Level& level) {
  return host_has(features, level.needs) && (!level.has_matrices || matrix_use().is_allowed);
}

void read_caches(Target& target) {
#if defined(_SC_LEVEL1_DCACHE_SIZE)
  // 0 or -1 where the system does not know; then the defaults stay.
  auto take = [](std::int64_t& size, int name) {
    if (long bytes = sysconf(name); bytes > 0) size = bytes;
  };
  take(target.level1_bytes, _SC_LEVEL1_DCACHE_SIZE);
  take(target.level2_bytes, _SC_LEVEL2_CACHE_SIZE);
  take(target.level3_bytes, _SC_LEVEL3_CACHE_SIZE);
#else
  (void)target;
#endif
}

Target at_level(const Level& level) {
  Target target;
  target.vector_bytes = level.vector_bytes;
  target.vector_registers = level.vector_registers;
  target.has_fma = level.has_fma;
  target.has_bf16 = target.multiplies_pairs = level.has_bf16;
  target.multiplies_matrices = level.has_matrices;
  read_caches(target);
  target.cores = usable_threads();
  return target;
}

}  // namespace

std::string Target::text() const {
  return fmt::format("{} {} {}x{} {} {} {} {}{} {} {} {} {}", cpu, features, vector_bytes, vector_registers, has_fma, has_bf16,
                     multiplies_pairs, multiplies_matrices, matrix_functions ? " by functions" : "", level1_bytes, level2_bytes,
                     level3_bytes, cores);
}

namespace {

Target find_host() {
  auto features = host_features();
  const Level* best = &levels[std::size(levels) - 1];
  for (const Level& level : levels)
    if (host_has(features, level.needs) && (!level.has_fma || level.name == "neon" || host_has(features, "fma"))) {
      best = &level;
      break;
    }
  Target target = at_level(*best);
  target.cpu = llvm::sys::getHostCPUName().str();
  target.has_bf16 = host_has(features, "avx512bf16") && host_has(features, "avx512vl");
  target.multiplies_pairs = target.has_bf16 && pairs_are_faster();
  target.multiplies_matrices = target.vector_bytes == 64 && matrix_use().why_not.empty();
  for (const auto& [name, on] : features)
    target.features += fmt::format("{}{}{}", target.features.empty() ? "" : ",", on ? '+' : '-', name);
  return target;
}

}  // namespace

const Target& host_target() {
  static const Target host = find_host();  // asking the processor is slow on virtual machines
  return host;
}

Target target_named(std::string_view name) {
  if (name == "host") return host_target();
  std::string known = "host";
  for (const Level& level : levels) {
    if (level.name == name) {
      Target target = at_level(level);
      target.cpu = level.cpu;
      return target;
    }
    known += fmt::format(", {}", level.name);
  }
  throw std::runtime_error(fmt::format("unknown processor level \"{}\"; known are {}", name, known));
}

std::vector<std::string_view> levels_here() {
  std::vector<std::string_view> names;
  const auto features = host_features();
  for (const Level& level : levels)
    if (host_has(features, level)) names.push_back(level.name);
  return names;
}

bool runs_here(const Target& target) {
  if (target.multiplies_matrices && !target.matrix_functions && !matrix_use().is_allowed) return false;
  if (target.cpu == host_target().cpu) return true;
  auto features = host_features();
  return std::ranges::any_of(levels, [&](const Level& level) { return level.cpu == target.cpu && host_has(features, level); });
}

}  // namespace heed
