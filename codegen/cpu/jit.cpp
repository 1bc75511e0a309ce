// Objects are looked up on disk before any IR is built; what is missing is built and, where it shares no code with what was built before,
// compiled on several threads; all objects are then linked into memory by ORC.
#include "codegen/cpu/jit.h"

#include <fmt/format.h>
#include <llvm/Config/llvm-config.h>
#include <llvm/ExecutionEngine/Orc/Core.h>
#include <llvm/ExecutionEngine/Orc/ExecutionUtils.h>
#include <llvm/ExecutionEngine/Orc/ExecutorProcessControl.h>
#include <llvm/ExecutionEngine/Orc/ObjectLinkingLayer.h>
#include <llvm/IR/LegacyPassManager.h>
#include <llvm/IR/Module.h>
#include <llvm/IR/Verifier.h>
#include <llvm/MC/TargetRegistry.h>
#include <llvm/Support/SmallVectorMemoryBuffer.h>
#include <llvm/Support/TargetSelect.h>
#include <llvm/Target/TargetMachine.h>
#include <llvm/TargetParser/Host.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <mutex>
#include <stdexcept>
#include <unordered_map>

#include "codegen/clean_up.h"
#include "codegen/cpu/matrix_functions.h"
#include "codegen/cpu/shared_code.h"
#include "codegen/parallel.h"

namespace heed {
namespace {

void initialize_llvm() {
  static std::once_flag once;
  std::call_once(once, [] {
    llvm::InitializeNativeTarget();
    llvm::InitializeNativeTargetAsmPrinter();
  });
}

[[noreturn]] void fail(std::string_view what, llvm::Error error) {
  throw std::logic_error(fmt::format("jit: {}: {}", what, llvm::toString(std::move(error))));
}
template <class T>
T take(std::string_view what, llvm::Expected<T> value) {
  if (!value) fail(what, value.takeError());
  return std::move(*value);
}

std::unique_ptr<llvm::TargetMachine> make_machine(const Target& target) {
  std::string triple = llvm::sys::getProcessTriple(), error;
  const llvm::Target* found = llvm::TargetRegistry::lookupTarget(triple, error);
  if (!found) throw std::logic_error("jit: " + error);
  return std::unique_ptr<llvm::TargetMachine>(found->createTargetMachine(triple, target.cpu, target.features, llvm::TargetOptions(),
                                                                         llvm::Reloc::PIC_, {}, llvm::CodeGenOptLevel::Default, true));
}

// Machines that are not in use: making one takes as long as a small kernel. One thread uses one at a time.
class Machines {
 public:
  explicit Machines(const Target& target) : target_(target) {}
  std::unique_ptr<llvm::TargetMachine> take() {
    {
      std::lock_guard lock(mutex_);
      if (!idle_.empty()) {
        auto machine = std::move(idle_.back());
        idle_.pop_back();
        return machine;
      }
    }
    return make_machine(target_);
  }
  void give_back(std::unique_ptr<llvm::TargetMachine> machine) {
    std::lock_guard lock(mutex_);
    idle_.push_back(std::move(machine));
  }

 private:
  const Target& target_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<llvm::TargetMachine>> idle_;
};

std::unique_ptr<llvm::Module> build_module(const KernelSource& source, const std::string& symbol, const Target& target,
                                           llvm::TargetMachine& machine, llvm::LLVMContext& context) {
  auto module = std::make_unique<llvm::Module>(symbol, context);
  module->setTargetTriple(machine.getTargetTriple().str());
  module->setDataLayout(machine.createDataLayout());
  source.build(*module, symbol);
  if (target.matrix_functions) bind_matrix_instructions(*module, *target.matrix_functions);
  for (llvm::Function& function : *module) {
    if (function.isDeclaration()) continue;
    function.addFnAttr("target-cpu", target.cpu);
    function.addFnAttr("target-features", target.features);
    function.addFnAttr("prefer-vector-width", std::to_string(target.vector_bytes * 8));
    function.addFnAttr(llvm::Attribute::NoUnwind);
  }
  return module;
}

void verify(const llvm::Module& module, const KernelSource& source) {
  std::string mistakes;
  llvm::raw_string_ostream stream(mistakes);
  if (llvm::verifyModule(module, &stream)) throw std::logic_error(fmt::format("jit: invalid code for {}: {}", source.key, mistakes));
}

std::string emit(llvm::Module& module, llvm::TargetMachine& machine, llvm::CodeGenFileType type) {
  llvm::SmallVector<char, 0> bytes;
  llvm::raw_svector_ostream stream(bytes);
  llvm::legacy::PassManager passes;
  if (machine.addPassesToEmitFile(passes, stream, nullptr, type, /*DisableVerify=*/true))
    throw std::logic_error("jit: the target cannot write this kind of file");
  passes.run(module);
  return std::string(bytes.begin(), bytes.end());
}

std::string name_of(const KernelSource& source, const std::string& salt) { return "heed_" + content_name(salt + source.key); }

// An object has one kernel or several. On disk, one that shares its object with others is a line that says which.
struct Kernel {
  std::string name;
  std::size_t source;          // the first that it is made from
  std::string object, symbol;  // the name of its object, and what it is called in there
};
using Objects = std::map<std::string, std::string>;  // by name

constexpr std::string_view reference = "in ";

// Notes the kernel's place, and its object among the others; false if the cache lacks it.
bool find(const ObjectCache& cache, Kernel& kernel, Objects& objects) {
  auto content = cache.find(kernel_file(kernel.name));
  if (!content) return false;
  kernel.object = kernel.symbol = kernel.name;
  if (content->starts_with(reference)) {
    kernel.symbol = content->substr(reference.size());
    kernel.object = kernel.symbol.substr(0, kernel.symbol.rfind('_'));
    if (objects.contains(kernel.object)) return true;
    content = cache.find(kernel_file(kernel.object));
    if (!content) return false;
  }
  objects[kernel.object] = std::move(*content);
  return true;
}

// Kernels that share code; the first one's module becomes that of all.
struct Group {
  std::vector<Kernel*> kernels;
  std::vector<LooseKernel*> members;
  std::string object;

  // Its name, and the places of its kernels.
  void name_object() {
    std::string names;
    for (const Kernel* kernel : kernels) names += kernel->name;
    const bool alone = kernels.size() == 1;
    const std::string name = alone ? names : "heed_" + content_name(names);
    for (std::size_t k = 0; k < kernels.size(); ++k) {
      kernels[k]->object = name;
      kernels[k]->symbol = alone ? name : fmt::format("{}_{}", name, k);
    }
  }
};

// Objects in memory, joined by ORC's linker alone: no target needs to be known to LLVM for that.
class Linked {
 public:
  Linked(const std::vector<Kernel>& kernels, const Objects& objects)
      : session_(take("start", llvm::orc::SelfExecutorProcessControl::Create())), layer_(session_) {
    llvm::orc::JITDylib& library = session_.createBareJITDylib("kernels");
    library.addGenerator(take("start", llvm::orc::DynamicLibrarySearchGenerator::GetForCurrentProcess('\0')));
    llvm::orc::SymbolLookupSet wanted;
    for (const auto& [name, object] : objects)
      if (auto error = layer_.add(library, llvm::MemoryBuffer::getMemBuffer(object, name, false))) fail("link", std::move(error));
    for (const Kernel& kernel : kernels) wanted.add(session_.intern(kernel.symbol));
    auto found = take("link", session_.lookup(llvm::orc::makeJITDylibSearchOrder(&library), std::move(wanted)));
    for (const Kernel& kernel : kernels)
      addresses_[kernel.name] = found.at(session_.intern(kernel.symbol)).getAddress().toPtr<KernelFunction>();
  }
  ~Linked() {
    if (auto error = session_.endSession()) llvm::consumeError(std::move(error));
  }
  KernelFunction address(const std::string& name) const { return addresses_.at(name); }

 private:
  llvm::orc::ExecutionSession session_;
  llvm::orc::ObjectLinkingLayer layer_;
  std::map<std::string, KernelFunction> addresses_;
};

void link(const std::vector<Kernel>& kernels, const Objects& objects, CompiledKernels& out) {
  auto linked = std::make_shared<Linked>(kernels, objects);
  for (const std::string& name : out.names) out.functions.push_back(linked->address(name));
  out.owner = std::move(linked);
}

// Each name once, sorted.
std::vector<Kernel> distinct(const std::vector<std::string>& names) {
  std::map<std::string_view, std::size_t> first;
  for (std::size_t k = 0; k < names.size(); ++k) first.emplace(names[k], k);
  std::vector<Kernel> kernels;
  for (const auto& [name, source] : first) kernels.push_back({std::string(name), source, {}, {}});
  return kernels;
}

// By code, the longest first.
std::vector<Group> grouped(const std::vector<Kernel*>& kernels, std::vector<LooseKernel>& loose) {
  std::vector<Group> groups;
  std::unordered_map<std::string_view, std::size_t> known;
  for (std::size_t k = 0; k < kernels.size(); ++k) {
    auto [found, is_new] = known.try_emplace(loose[k].bytes, groups.size());
    if (is_new) groups.emplace_back();
    groups[found->second].kernels.push_back(kernels[k]);
    groups[found->second].members.push_back(&loose[k]);
  }
  for (Group& group : groups) group.name_object();
  std::ranges::sort(groups, std::ranges::greater(), [](const Group& group) { return group.members[0]->instructions; });
  return groups;
}

double seconds_since(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

}  // namespace

CompiledKernels compile_kernels(const std::vector<KernelSource>& sources, const Target& target, const CompileSettings& settings) {
  auto begin = std::chrono::steady_clock::now();
  CompiledKernels out;
  if (sources.empty()) return out;
  initialize_llvm();

  std::string salt = fmt::format("{}\n{}\n{}\n", build_name(), LLVM_VERSION_STRING, target.text());
  for (const KernelSource& source : sources) out.names.push_back(name_of(source, salt));
  std::vector<Kernel> kernels = distinct(out.names);
  // Addresses of functions hold for this process alone.
  ObjectCache cache(target.matrix_functions ? CacheOptions{.enabled = false} : settings.cache);
  Objects objects;
  std::vector<Kernel*> missing;
  for (Kernel& kernel : kernels)
    if (!find(cache, kernel, objects)) missing.push_back(&kernel);
  Machines machines(target);

  std::vector<LooseKernel> loose(missing.size());
  in_parallel(missing.size(), settings.threads, [&](std::size_t k) {
    auto machine = machines.take();
    loose[k].context = std::make_unique<llvm::LLVMContext>();
    loose[k].module = build_module(sources[missing[k]->source], "kernel", target, *machine, *loose[k].context);
    loose[k].function = loose[k].module->getFunction("kernel");
    machines.give_back(std::move(machine));
    loosen(loose[k]);
  });
  std::vector<Group> groups = grouped(missing, loose);
  in_parallel(groups.size(), settings.threads, [&](std::size_t k) {
    Group& group = groups[k];
    llvm::Module& module = *group.members[0]->module;
    std::vector<std::string> symbols;
    for (const Kernel* kernel : group.kernels) symbols.push_back(kernel->symbol);
    share_code(group.members, symbols);
    verify(module, sources[group.kernels[0]->source]);
    auto machine = machines.take();
    clean_up(module, *machine, false);
    group.object = emit(module, *machine, llvm::CodeGenFileType::ObjectFile);
    machines.give_back(std::move(machine));
    const std::string& name = group.kernels[0]->object;
    cache.store(kernel_file(name), group.object);
    for (const Kernel* kernel : group.kernels)
      if (kernel->name != name) cache.store(kernel_file(kernel->name), fmt::format("{}{}", reference, kernel->symbol));
  });
  for (Group& group : groups) objects[group.kernels[0]->object] = std::move(group.object);
  if (!missing.empty()) cache.trim();
  for (const Kernel* kernel : missing) out.built.push_back(kernel->source);
  link(kernels, objects, out);
  out.compiled = static_cast<int>(missing.size());
  out.codes = static_cast<int>(groups.size());
  out.from_cache = static_cast<int>(kernels.size() - missing.size());
  out.seconds = seconds_since(begin);
  return out;
}

std::optional<CompiledKernels> load_kernels(const std::vector<std::string>& names, const CompileSettings& settings) {
  auto begin = std::chrono::steady_clock::now();
  CompiledKernels out;
  out.names = names;
  ObjectCache cache(settings.cache);
  std::vector<Kernel> kernels = distinct(names);
  Objects objects;
  for (Kernel& kernel : kernels)
    if (!find(cache, kernel, objects)) return {};
  if (!kernels.empty()) link(kernels, objects, out);
  out.from_cache = static_cast<int>(kernels.size());
  out.seconds = seconds_since(begin);
  return out;
}

KernelText kernel_text(const KernelSource& source, const Target& target) {
  initialize_llvm();
  auto machine = make_machine(target);
  llvm::LLVMContext context;
  auto module = build_module(source, "kernel", target, *machine, context);
  verify(*module, source);
  clean_up(*module, *machine, false);
  KernelText out;
  llvm::raw_string_ostream stream(out.ir);
  module->print(stream, nullptr);
  out.assembly = emit(*module, *machine, llvm::CodeGenFileType::AssemblyFile);
  return out;
}

}  // namespace heed
