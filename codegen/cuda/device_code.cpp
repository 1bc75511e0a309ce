// One module a kernel: built, cleaned up, and written by LLVM's NVPTX back end, or linked by ORC for the simulator.
#include "codegen/cuda/device_code.h"

#include <fmt/format.h>
#include <llvm/Analysis/ValueTracking.h>
#include <llvm/Config/llvm-config.h>
#include <llvm/ExecutionEngine/Orc/LLJIT.h>
#include <llvm/IR/IRBuilder.h>
#include <llvm/IR/InstIterator.h>
#include <llvm/IR/LegacyPassManager.h>
#include <llvm/IR/Module.h>
#include <llvm/IR/Verifier.h>
#include <llvm/IRReader/IRReader.h>
#include <llvm/Linker/Linker.h>
#include <llvm/MC/TargetRegistry.h>
#include <llvm/Support/SmallVectorMemoryBuffer.h>
#include <llvm/Support/SourceMgr.h>
#include <llvm/Support/TargetSelect.h>
#include <llvm/Target/TargetMachine.h>
#include <llvm/TargetParser/Host.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <mutex>
#include <set>
#include <stdexcept>

#include "codegen/clean_up.h"
#include "codegen/cuda/builtins.h"
#include "codegen/cuda/device_math.h"
#include "codegen/cuda/piece.h"
#include "codegen/parallel.h"

namespace heed {
namespace {

constexpr const char* access_report = "heed.access";

void initialize_llvm() {
  static std::once_flag once;
  std::call_once(once, [] {
    LLVMInitializeNVPTXTargetInfo();
    LLVMInitializeNVPTXTarget();
    LLVMInitializeNVPTXTargetMC();
    LLVMInitializeNVPTXAsmPrinter();
    llvm::InitializeNativeTarget();
    llvm::InitializeNativeTargetAsmPrinter();
  });
}

template <class T>
T take(std::string_view what, llvm::Expected<T> value) {
  if (!value) throw std::logic_error(fmt::format("cuda: {}: {}", what, llvm::toString(value.takeError())));
  return std::move(*value);
}

std::unique_ptr<llvm::TargetMachine> gpu_machine(const CudaTarget& target) {
  std::string triple = "nvptx64-nvidia-cuda", error;
  const llvm::Target* found = llvm::TargetRegistry::lookupTarget(triple, error);
  if (!found) throw std::logic_error("cuda: " + error);
  llvm::TargetOptions options;
  options.AllowFPOpFusion = llvm::FPOpFusion::Standard;
  return std::unique_ptr<llvm::TargetMachine>(
      found->createTargetMachine(triple, target.llvm_cpu, "+ptx80", options, llvm::Reloc::PIC_, {}, llvm::CodeGenOptLevel::Default));
}

// Functions of the C library that the kernel calls come from the library for GPUs.
void link_library(llvm::Module& module) {
  auto is_missing = [](const llvm::Function& function) {
    return function.isDeclaration() && !function.isIntrinsic() && !function.getName().starts_with("heed.") && !function.use_empty();
  };
  if (std::none_of(module.begin(), module.end(), is_missing)) return;
  llvm::SMDiagnostic mistake;
  llvm::StringRef text(device_math().data(), device_math().size());
  auto library = llvm::parseIR(llvm::MemoryBufferRef(text, "device_math"), mistake, module.getContext());
  if (!library) throw std::logic_error("cuda: the library of functions: " + mistake.getMessage().str());
  library->setTargetTriple(module.getTargetTriple());
  library->setDataLayout(module.getDataLayout());
  std::set<std::string> ours;
  for (llvm::Function& function : *library) {
    if (function.isDeclaration()) continue;
    ours.insert(function.getName().str());
    function.setAttributes(llvm::AttributeList());
  }
  if (auto* flags = library->getModuleFlagsMetadata()) flags->eraseFromParent();
  if (llvm::Linker::linkModules(module, std::move(library), llvm::Linker::Flags::LinkOnlyNeeded))
    throw std::logic_error("cuda: the library of functions cannot be linked");
  for (llvm::Function& function : module) {
    if (ours.contains(function.getName().str()) && !function.isDeclaration()) function.setLinkage(llvm::GlobalValue::InternalLinkage);
    if (is_missing(function)) throw std::logic_error("cuda: no function " + function.getName().str() + " for GPUs");
  }
}

std::unique_ptr<llvm::Module> build_module(const KernelSource& source, const std::string& symbol, llvm::TargetMachine& machine,
                                           llvm::LLVMContext& context) {
  auto module = std::make_unique<llvm::Module>(symbol, context);
  module->setTargetTriple(machine.getTargetTriple().str());
  module->setDataLayout(machine.createDataLayout());
  source.build(*module, symbol);
  std::string mistakes;
  llvm::raw_string_ostream stream(mistakes);
  if (llvm::verifyModule(*module, &stream)) throw std::logic_error(fmt::format("cuda: invalid code for {}: {}", source.key, mistakes));
  return module;
}

void mark_kernel(llvm::Module& module, const std::string& symbol) {
  llvm::LLVMContext& context = module.getContext();
  llvm::Function* kernel = module.getFunction(symbol);
  kernel->setCallingConv(llvm::CallingConv::PTX_Kernel);
  auto* notes = module.getOrInsertNamedMetadata("nvvm.annotations");
  auto note = [&](llvm::StringRef key, std::uint32_t value) {
    auto* number = llvm::ConstantAsMetadata::get(llvm::ConstantInt::get(llvm::Type::getInt32Ty(context), value));
    notes->addOperand(llvm::MDNode::get(context, {llvm::ValueAsMetadata::get(kernel), llvm::MDString::get(context, key), number}));
  };
  note("maxntidx", static_cast<std::uint32_t>(threads_of(*kernel)));
  note("maxntidy", 1);
  note("maxntidz", 1);
  // Maps are parameters themselves, 128 bytes each, of which no thread makes a copy.
  std::vector<llvm::Metadata*> constant;
  for (std::size_t k = kernel->arg_size() - maps_of(*kernel); k < kernel->arg_size(); ++k) {
    auto index = static_cast<unsigned>(k);
    kernel->addParamAttr(index, llvm::Attribute::getWithByValType(context, llvm::ArrayType::get(llvm::Type::getInt8Ty(context), 128)));
    kernel->addParamAttr(index, llvm::Attribute::getWithAlignment(context, llvm::Align(64)));
    constant.push_back(llvm::ConstantAsMetadata::get(llvm::ConstantInt::get(llvm::Type::getInt32Ty(context), index + 1)));
  }
  if (!constant.empty()) {
    note("minctasm", 1);
    notes->addOperand(llvm::MDNode::get(context, {llvm::ValueAsMetadata::get(kernel), llvm::MDString::get(context, "grid_constant"),
                                                  llvm::MDNode::get(context, constant)}));
  }
  // As on the processor: numbers below the normal ones are zero.
  for (llvm::Function& function : module)
    if (!function.isDeclaration()) function.addFnAttr("denormal-fp-math-f32", "preserve-sign,preserve-sign");
}

std::string emit(llvm::Module& module, llvm::TargetMachine& machine) {
  llvm::SmallVector<char, 0> bytes;
  llvm::raw_svector_ostream stream(bytes);
  llvm::legacy::PassManager passes;
  if (machine.addPassesToEmitFile(passes, stream, nullptr, llvm::CodeGenFileType::AssemblyFile, /*DisableVerify=*/true))
    throw std::logic_error("cuda: LLVM cannot write PTX");
  passes.run(module);
  return std::string(bytes.begin(), bytes.end());
}

// The first lines name the version of PTX and the chip: those that LLVM does not know are put in here.
std::string for_chip(std::string ptx, const CudaTarget& target) {
  if (target.ptx_version.empty()) return ptx;
  auto replace = [&](const std::string& directive, const std::string& value) {
    std::size_t begin = ptx.find(directive), end = ptx.find('\n', begin);
    if (begin == std::string::npos) throw std::logic_error("cuda: no " + directive + " in PTX");
    ptx.replace(begin, end - begin, directive + " " + value);
  };
  replace(".version", target.ptx_version);
  replace(".target", target.name);
  return ptx;
}

std::unique_ptr<llvm::Module> finished_module(const KernelSource& source, const std::string& symbol, const CudaTarget& target,
                                              llvm::TargetMachine& machine, llvm::LLVMContext& context) {
  auto module = build_module(source, symbol, machine, context);
  mark_kernel(*module, symbol);
  lower_builtins(*module, target.chip);
  link_library(*module);
  clean_up(*module, machine, true);
  return module;
}

// What is loaded for a guard alone, which takes what is made of it or something else: that instruction, and whether the load is for the
// case that its condition holds. Threads cannot meet in between.
std::pair<llvm::SelectInst*, bool> guard_of(llvm::LoadInst* load) {
  llvm::Instruction* made = load;  // of what is loaded, and used once
  llvm::SelectInst* guard = nullptr;
  while (!guard && made->hasOneUse()) {
    auto* user = llvm::cast<llvm::Instruction>(made->user_back());
    if (user->getParent() != load->getParent()) break;
    guard = llvm::dyn_cast<llvm::SelectInst>(user);
    if (guard && guard->getCondition() == made) guard = nullptr;
    if (!guard && (user->mayReadOrWriteMemory() || user->isTerminator() || llvm::isa<llvm::PHINode>(user))) break;
    if (!guard) made = user;
  }
  if (!guard) return {};
  for (const llvm::Instruction* each = load; each != guard; each = each->getNextNode())
    if (auto* call = llvm::dyn_cast<llvm::CallInst>(each); call && !call->doesNotAccessMemory()) {
      const llvm::Function* called = call->getCalledFunction();
      if (!called || called->getName() != access_report) return {};
    }
  return {guard, guard->getTrueValue() == made};
}

// At each access to memory of the GPU a call says what it is: before it, or, of a load under a guard, where it is known what becomes of it.
void report_accesses(llvm::Module& module) {
  llvm::LLVMContext& context = module.getContext();
  llvm::IRBuilder<> b(context);
  llvm::Type* types[] = {b.getPtrTy(), b.getInt32Ty(), b.getInt32Ty()};
  auto report = module.getOrInsertFunction(access_report, llvm::FunctionType::get(b.getVoidTy(), types, false));
  const llvm::DataLayout& layout = module.getDataLayout();
  for (llvm::Function& function : module) {
    std::vector<llvm::Instruction*> all;
    for (llvm::Instruction& each : llvm::instructions(function)) all.push_back(&each);
    for (llvm::Instruction* each : all) {
      llvm::Value* pointer = nullptr;
      llvm::Type* type = nullptr;
      std::uint32_t kind = 0;
      if (auto* load = llvm::dyn_cast<llvm::LoadInst>(each)) pointer = load->getPointerOperand(), type = load->getType();
      if (auto* store = llvm::dyn_cast<llvm::StoreInst>(each))
        pointer = store->getPointerOperand(), type = store->getValueOperand()->getType(), kind = 1;
      if (auto* swap = llvm::dyn_cast<llvm::AtomicCmpXchgInst>(each))
        pointer = swap->getPointerOperand(), type = swap->getCompareOperand()->getType(), kind = 2;
      if (!pointer) continue;
      const llvm::Value* object = llvm::getUnderlyingObject(pointer);
      if (llvm::isa<llvm::GlobalVariable>(object) || llvm::isa<llvm::AllocaInst>(object)) continue;
      b.SetInsertPoint(each);
      llvm::Value* what = b.getInt32(kind);
      auto* load = llvm::dyn_cast<llvm::LoadInst>(each);
      if (auto [guard, is_taken_if_true] = load ? guard_of(load) : std::pair<llvm::SelectInst*, bool>(); guard) {
        b.SetInsertPoint(guard->getNextNode());
        llvm::Value *read = b.getInt32(0), *thrown_away = b.getInt32(3);
        what = b.CreateSelect(guard->getCondition(), is_taken_if_true ? read : thrown_away, is_taken_if_true ? thrown_away : read);
      }
      b.CreateCall(report, {pointer, b.getInt32(static_cast<std::uint32_t>(layout.getTypeStoreSize(type))), what});
    }
  }
}

// A function of DeviceKernel::Entry's type that unpacks the parameters.
void add_entry(llvm::Module& module, const std::string& symbol) {
  llvm::Function* kernel = module.getFunction(symbol);
  kernel->setLinkage(llvm::GlobalValue::InternalLinkage);
  kernel->setName(symbol + "_kernel");
  llvm::IRBuilder<> b(module.getContext());
  auto* type = llvm::FunctionType::get(b.getVoidTy(), {b.getPtrTy()}, false);
  auto* entry = llvm::Function::Create(type, llvm::GlobalValue::ExternalLinkage, symbol, module);
  b.SetInsertPoint(llvm::BasicBlock::Create(module.getContext(), "", entry));
  std::vector<llvm::Value*> arguments;
  for (unsigned k = 0; k < kernel->arg_size(); ++k) {
    llvm::Value* place = b.CreateLoad(b.getPtrTy(), b.CreateConstGEP1_32(b.getPtrTy(), entry->getArg(0), k));
    arguments.push_back(b.CreateLoad(b.getPtrTy(), place));
  }
  b.CreateCall(kernel, arguments);
  b.CreateRetVoid();
}

struct Distinct {
  std::vector<std::string> symbols;  // of each
  std::vector<std::size_t> first;    // the source that it is made from
  std::vector<std::int32_t> index;   // of each source
};

Distinct distinct(const std::vector<KernelSource>& sources, const std::string& salt) {
  Distinct out;
  std::map<std::string, std::int32_t> known;
  for (std::size_t k = 0; k < sources.size(); ++k) {
    std::string symbol = "heed_" + content_name(salt + sources[k].key);
    auto [found, added] = known.try_emplace(symbol, static_cast<std::int32_t>(out.symbols.size()));
    if (added) out.symbols.push_back(symbol), out.first.push_back(k);
    out.index.push_back(found->second);
  }
  return out;
}

double seconds_since(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

}  // namespace

DeviceCode device_code(const std::vector<KernelSource>& sources, const std::vector<BlockLimits>& limits, const CudaTarget& target,
                       const CompileSettings& settings) {
  auto begin = std::chrono::steady_clock::now();
  initialize_llvm();
  Distinct all = distinct(sources, fmt::format("{}\n{}\n{}\n", build_name(), LLVM_VERSION_STRING, target.name));
  ObjectCache cache(settings.cache);
  DeviceCode out;
  out.index = all.index;
  out.kernels.resize(all.symbols.size());
  std::vector<std::size_t> missing;
  for (std::size_t k = 0; k < all.symbols.size(); ++k) {
    out.kernels[k] = {all.symbols[k], {}, nullptr, limits[all.first[k]].threads, limits[all.first[k]].shared_bytes};
    if (auto found = cache.find(kernel_file(all.symbols[k])))
      out.kernels[k].code = std::move(*found);
    else
      missing.push_back(k);
  }
  in_parallel(missing.size(), settings.threads, [&](std::size_t m) {
    DeviceKernel& kernel = out.kernels[missing[m]];
    kernel.code = device_text(sources[all.first[missing[m]]], kernel.name, target).assembly;
    cache.store(kernel_file(kernel.name), kernel.code);
  });
  if (!missing.empty()) cache.trim();
  for (std::size_t k : missing) out.built.push_back(all.first[k]);
  out.compiled = static_cast<int>(missing.size());
  out.from_cache = static_cast<int>(all.symbols.size() - missing.size());
  out.seconds = seconds_since(begin);
  return out;
}

bool load_device_code(std::vector<DeviceKernel>& kernels, const CompileSettings& settings) {
  ObjectCache cache(settings.cache);
  for (DeviceKernel& kernel : kernels) {
    auto found = cache.find(kernel_file(kernel.name));
    if (!found) return false;
    kernel.code = std::move(*found);
  }
  return true;
}

KernelText device_text(const KernelSource& source, const std::string& symbol, const CudaTarget& target) {
  initialize_llvm();
  auto machine = gpu_machine(target);
  llvm::LLVMContext context;
  auto module = finished_module(source, symbol, target, *machine, context);
  KernelText out;
  llvm::raw_string_ostream stream(out.ir);
  module->print(stream, nullptr);
  out.assembly = for_chip(emit(*module, *machine), target);
  return out;
}

DeviceCode simulated_code(const std::vector<KernelSource>& sources, const std::vector<BlockLimits>& limits,
                          const SimulatorBuiltins& builtins, const CompileSettings& settings) {
  auto begin = std::chrono::steady_clock::now();
  initialize_llvm();
  Distinct all = distinct(sources, "");
  DeviceCode out;
  out.index = all.index;
  auto host = take("host", llvm::orc::JITTargetMachineBuilder::detectHost());
  host.setCodeGenOptLevel(llvm::CodeGenOptLevel::Less);
  auto jit = std::shared_ptr<llvm::orc::LLJIT>(take("start", llvm::orc::LLJITBuilder().setJITTargetMachineBuilder(host).create()));
  llvm::orc::SymbolMap symbols;
  for (const auto& [name, function] : builtins)
    symbols[jit->mangleAndIntern(name)] = {llvm::orc::ExecutorAddr::fromPtr(function), llvm::JITSymbolFlags::Exported};
  if (auto error = jit->getMainJITDylib().define(llvm::orc::absoluteSymbols(symbols)))
    throw std::logic_error("cuda: builtins: " + llvm::toString(std::move(error)));
  std::vector<llvm::orc::ThreadSafeModule> modules(all.symbols.size());
  in_parallel(all.symbols.size(), settings.threads, [&](std::size_t k) {
    auto machine = take("host", host.createTargetMachine());
    auto context = std::make_unique<llvm::LLVMContext>();
    auto module = build_module(sources[all.first[k]], all.symbols[k], *machine, *context);
    link_library(*module);
    clean_up(*module, *machine, true);
    report_accesses(*module);
    add_entry(*module, all.symbols[k]);
    modules[k] = llvm::orc::ThreadSafeModule(std::move(module), std::move(context));
  });
  for (auto& module : modules)
    if (auto error = jit->addIRModule(std::move(module))) throw std::logic_error("cuda: link: " + llvm::toString(std::move(error)));
  for (std::size_t k = 0; k < all.symbols.size(); ++k) {
    auto entry = take("link", jit->lookup(all.symbols[k])).toPtr<DeviceKernel::Entry>();
    out.kernels.push_back({all.symbols[k], {}, entry, limits[all.first[k]].threads, limits[all.first[k]].shared_bytes});
  }
  out.owner = std::move(jit);
  out.compiled = static_cast<int>(all.symbols.size());
  out.seconds = seconds_since(begin);
  return out;
}

}  // namespace heed
