// Kernels that differ only in constants, as one piece of code that reads them from a table: one for each width of a causal block, or for
// each parameter's first values.
#pragma once
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace llvm {
class Constant;
class Function;
class LLVMContext;
class Module;
}  // namespace llvm

namespace heed {

// A kernel that was built but not optimised, with its constants taken out.
struct LooseKernel {
  std::unique_ptr<llvm::LLVMContext> context;
  std::unique_ptr<llvm::Module> module;
  llvm::Function* function = nullptr;      // the kernel; its last parameters stand for the constants
  std::vector<llvm::Constant*> constants;  // as many
  std::string bytes;                       // determine the rest: equal for kernels that can share code
  std::size_t instructions = 0;
};

// Takes the constants out of the kernel `function` of the module. In loops, divisors stay, and displacements from addresses that a loop
// moves: with them known a division is a multiplication, and a displacement a part of the instruction that uses the address. So does
// whatever LLVM wants as a constant, and what is given to functions in floating point, where rules of theirs may look at it.
void loosen(LooseKernel& kernel);

// Puts constants back that all members have, and makes a table of the others for each; the members' bytes are equal, and the first one's
// module becomes the code of all: the function symbols[k] is member k. Results are those of the members by themselves, bit for bit.
void share_code(std::span<LooseKernel* const> members, std::span<const std::string> symbols);

}  // namespace heed
