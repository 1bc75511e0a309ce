// Constants become parameters, one for each use; what LLVM would write to disk of such a module is compared, so nothing can be missed.
#include "codegen/cpu/shared_code.h"

#include <llvm/Bitcode/BitcodeWriter.h>
#include <llvm/IR/Constants.h>
#include <llvm/IR/GetElementPtrTypeIterator.h>
#include <llvm/IR/IRBuilder.h>
#include <llvm/IR/InstIterator.h>
#include <llvm/IR/Module.h>
#include <llvm/Support/raw_ostream.h>

#include <algorithm>
#include <map>

namespace heed {
namespace {

// Whose elements are whole bytes, so that it can lie in a table.
bool has_bytes(llvm::Type* type) {
  if (llvm::isa<llvm::ScalableVectorType>(type)) return false;
  llvm::Type* element = type->getScalarType();
  return llvm::ConstantDataSequential::isElementTypeCompatible(element);
}

// Of a constant whose type has_bytes(); nothing for one that is made of others than numbers.
std::string bytes_of(const llvm::Constant& constant) {
  std::string bytes;
  auto add = [&](const llvm::Constant* element) {
    llvm::APInt bits;
    if (const auto* integer = llvm::dyn_cast_or_null<llvm::ConstantInt>(element))
      bits = integer->getValue();
    else if (const auto* real = llvm::dyn_cast_or_null<llvm::ConstantFP>(element))
      bits = real->getValueAPF().bitcastToAPInt();
    else
      return false;
    for (unsigned at = 0; at < bits.getBitWidth(); at += 8) bytes += static_cast<char>(bits.extractBitsAsZExtValue(8, at));
    return true;
  };
  const auto* vector = llvm::dyn_cast<llvm::FixedVectorType>(constant.getType());
  for (unsigned k = 0; k < (vector ? vector->getNumElements() : 1); ++k)
    if (!add(vector ? constant.getAggregateElement(k) : &constant)) return "";
  return bytes;
}

bool is_before_loops(const llvm::Value& value) {
  const auto* instruction = llvm::dyn_cast<llvm::Instruction>(&value);
  return !instruction || instruction->getParent()->isEntryBlock();
}

bool is_displacement(const llvm::GetElementPtrInst& address, unsigned operand) {
  auto step = llvm::gep_type_begin(address);
  std::advance(step, operand - 1);
  return step.isStruct() || !is_before_loops(*address.getPointerOperand());
}

bool can_be_taken(const llvm::Use& use) {
  const auto* constant = llvm::dyn_cast<llvm::Constant>(use.get());
  if (!constant || !has_bytes(constant->getType()) || bytes_of(*constant).empty()) return false;
  const auto& user = *llvm::cast<llvm::Instruction>(use.getUser());
  switch (user.getOpcode()) {
    case llvm::Instruction::Alloca:
    case llvm::Instruction::Switch:
    case llvm::Instruction::InsertElement:
    case llvm::Instruction::ExtractElement:
      return false;
    case llvm::Instruction::GetElementPtr:
      return !is_displacement(llvm::cast<llvm::GetElementPtrInst>(user), use.getOperandNo());
    case llvm::Instruction::UDiv:
    case llvm::Instruction::SDiv:
    case llvm::Instruction::URem:
    case llvm::Instruction::SRem:
      return is_before_loops(user);
    case llvm::Instruction::Call: {
      const auto& call = llvm::cast<llvm::CallBase>(user);
      return call.isArgOperand(&use) && !call.paramHasAttr(call.getArgOperandNo(&use), llvm::Attribute::ImmArg) &&
             !constant->getType()->isFPOrFPVectorTy();
    }
    default:
      return true;
  }
}

// The same body with other parameters; the first ones take the old ones' places.
llvm::Function* with_parameters(llvm::Function* old, llvm::ArrayRef<llvm::Type*> types) {
  auto* type = llvm::FunctionType::get(old->getReturnType(), types, false);
  auto* made = llvm::Function::Create(type, old->getLinkage(), "", old->getParent());
  for (llvm::Attribute attribute : old->getAttributes().getFnAttrs()) made->addFnAttr(attribute);
  made->splice(made->end(), old);
  for (unsigned k = 0; k < std::min(old->arg_size(), made->arg_size()); ++k) old->getArg(k)->replaceAllUsesWith(made->getArg(k));
  made->takeName(old);
  old->eraseFromParent();
  return made;
}

constexpr unsigned kernel_parameters = 4;                     // those of KernelFunction
constexpr unsigned loose_parameters = kernel_parameters + 1;  // and the table

std::vector<llvm::Type*> first_parameters(const llvm::Function& function, unsigned count) {
  llvm::ArrayRef<llvm::Type*> types = function.getFunctionType()->params();
  return {types.begin(), types.begin() + count};
}

// Tables of the same layout, one for each member.
struct Tables {
  std::vector<std::string> bytes;
  llvm::Align alignment{1};

  std::uint64_t add(llvm::Align wanted, const std::vector<std::string>& values) {
    alignment = std::max(alignment, wanted);
    std::uint64_t place = llvm::alignTo(bytes[0].size(), wanted);
    for (std::size_t k = 0; k < bytes.size(); ++k) {
      bytes[k].resize(place);
      bytes[k] += values[k];
    }
    return place;
  }
};

// The kernel `symbol`: a call of `code` with its table.
void add_member(llvm::Function& code, const std::string& symbol, const std::string& table, llvm::Align alignment) {
  llvm::Module& module = *code.getParent();
  auto* bytes = llvm::ConstantDataArray::getString(module.getContext(), table, false);
  auto* place = new llvm::GlobalVariable(module, bytes->getType(), true, llvm::GlobalValue::PrivateLinkage, bytes);
  place->setAlignment(alignment);
  auto* type = llvm::FunctionType::get(code.getReturnType(), first_parameters(code, kernel_parameters), false);
  auto* member = llvm::Function::Create(type, llvm::Function::ExternalLinkage, symbol, module);
  for (llvm::Attribute attribute : code.getAttributes().getFnAttrs()) member->addFnAttr(attribute);
  llvm::IRBuilder<> builder(llvm::BasicBlock::Create(module.getContext(), "", member));
  std::vector<llvm::Value*> arguments;
  for (llvm::Argument& argument : member->args()) arguments.push_back(&argument);
  arguments.push_back(place);
  builder.CreateCall(&code, arguments)->setTailCall();
  builder.CreateRetVoid();
}

}  // namespace

void loosen(LooseKernel& kernel) {
  std::vector<llvm::Use*> uses;
  std::vector<llvm::Type*> types = first_parameters(*kernel.function, kernel_parameters);
  types.push_back(llvm::PointerType::getUnqual(*kernel.context));
  for (llvm::Instruction& instruction : llvm::instructions(*kernel.function)) {
    ++kernel.instructions;
    for (llvm::Use& use : instruction.operands()) {
      if (!can_be_taken(use)) continue;
      uses.push_back(&use);
      types.push_back(use->getType());
      kernel.constants.push_back(llvm::cast<llvm::Constant>(use.get()));
    }
  }
  kernel.function = with_parameters(kernel.function, types);
  for (std::size_t k = 0; k < uses.size(); ++k) uses[k]->set(kernel.function->getArg(loose_parameters + static_cast<unsigned>(k)));
  llvm::raw_string_ostream stream(kernel.bytes);
  llvm::WriteBitcodeToFile(*kernel.module, stream);
}

void share_code(std::span<LooseKernel* const> members, std::span<const std::string> symbols) {
  LooseKernel& first = *members[0];
  llvm::Function* function = first.function;
  llvm::IRBuilder<> builder(&function->getEntryBlock(), function->getEntryBlock().begin());
  Tables tables{std::vector<std::string>(members.size())};
  std::map<std::pair<llvm::Type*, std::vector<std::string>>, llvm::Value*> known;
  for (std::size_t k = 0; k < first.constants.size(); ++k) {
    llvm::Value* value = first.constants[k];
    std::vector<std::string> values;
    for (const LooseKernel* member : members) values.push_back(bytes_of(*member->constants[k]));
    if (std::ranges::any_of(values, [&](const std::string& each) { return each != values[0]; })) {
      llvm::Type* type = value->getType();
      llvm::Value*& loaded = known[{type, values}];
      if (!loaded) {
        const llvm::Align alignment = first.module->getDataLayout().getABITypeAlign(type);
        const std::uint64_t place = tables.add(alignment, values);
        auto* address = builder.CreateConstInBoundsGEP1_64(builder.getInt8Ty(), function->getArg(kernel_parameters), place);
        loaded = builder.CreateAlignedLoad(type, address, alignment);
      }
      value = loaded;
    }
    function->getArg(loose_parameters + static_cast<unsigned>(k))->replaceAllUsesWith(value);
  }
  first.constants.clear();
  const bool alone = members.size() == 1;
  function = with_parameters(function, first_parameters(*function, alone ? kernel_parameters : loose_parameters));
  first.function = function;
  if (alone) {
    function->setName(symbols[0]);
    return;
  }
  function->setLinkage(llvm::GlobalValue::InternalLinkage);
  function->setName("code");
  for (auto kind : {llvm::Attribute::NoAlias, llvm::Attribute::ReadOnly, llvm::Attribute::NoCapture})
    function->addParamAttr(kernel_parameters, kind);
  for (std::size_t k = 0; k < members.size(); ++k) add_member(*function, symbols[k], tables.bytes[k], tables.alignment);
}

}  // namespace heed
