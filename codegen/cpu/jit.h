// From descriptions of kernels to functions in memory: equal ones once, compiled in parallel, kept on disk.
#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "codegen/cpu/object_cache.h"
#include "codegen/cpu/target.h"
#include "runtime/cores.h"
#include "runtime/program.h"

namespace llvm {
class Module;
}

namespace heed {

// A kernel that can be built when it is needed.
struct KernelSource {
  std::string key;  // determines the code completely, the target apart
  // Adds to the module a function of the type KernelFunction called `symbol`, whatever else it needs with internal linkage.
  // Runs on any thread; the module's triple and data layout are set. Functions get their target attributes afterwards.
  std::function<void(llvm::Module& module, const std::string& symbol)> build;
};

struct CompileSettings {
  CacheOptions cache;
  int threads = usable_threads();
};

struct CompiledKernels {
  std::vector<KernelFunction> functions;  // one for each source, in order
  std::vector<std::string> names;         // in the cache, of each
  std::vector<std::size_t> built;         // the sources that were compiled, each kernel once
  std::shared_ptr<void> owner;            // the functions live as long as this
  int compiled = 0, from_cache = 0;       // distinct kernels
  int codes = 0;                          // pieces of code that the compiled ones are: several kernels may be one but for constants
  double seconds = 0;
};

CompiledKernels compile_kernels(const std::vector<KernelSource>& sources, const Target& target, const CompileSettings& settings = {});

// Kernels of these names, some of them equal, without their sources: nothing unless the cache has all of them.
std::optional<CompiledKernels> load_kernels(const std::vector<std::string>& names, const CompileSettings& settings);

// The text of one kernel, for people.
struct KernelText {
  std::string ir, assembly;
};
KernelText kernel_text(const KernelSource& source, const Target& target);

}  // namespace heed
