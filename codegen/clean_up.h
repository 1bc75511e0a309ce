// LLVM's clean-up of what emitters write.
#pragma once

namespace llvm {
class Module;
class TargetMachine;
}  // namespace llvm

namespace heed {

// Kernels are written as explicit code of vectors or threads: common values, constants, and what does not change in a loop are all that
// pays. `has_helpers`: they call functions of the module and keep values in memory, which are opened first.
void clean_up(llvm::Module& module, llvm::TargetMachine& machine, bool has_helpers);

}  // namespace heed
