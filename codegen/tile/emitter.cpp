// Loops, bindings and accumulators of the emitter.
#include "codegen/tile/emitter.h"

#include <llvm/IR/Dominators.h>
#include <llvm/Transforms/Utils/PromoteMemToReg.h>

#include <algorithm>
#include <stdexcept>

#include "codegen/tile/emitter_state.h"

namespace heed {

Emitter::Emitter(llvm::Module& module, const std::string& symbol, const Accesses& accesses, VectorShape shape)
    : state_(std::make_unique<State>(module, accesses, shape)) {
  llvm::LLVMContext& context = module.getContext();
  auto* pointer = llvm::PointerType::getUnqual(context);
  auto* type = llvm::FunctionType::get(llvm::Type::getVoidTy(context), {pointer, pointer, llvm::Type::getInt64Ty(context), pointer}, false);
  auto* function = llvm::Function::Create(type, llvm::Function::ExternalLinkage, symbol, module);
  begin({function, {}, function->getArg(1), function->getArg(2), function->getArg(3)});
}

Emitter::Emitter(llvm::Module& module, const KernelFrame& frame, const Accesses& accesses, VectorShape shape)
    : state_(std::make_unique<State>(module, accesses, shape)) {
  begin(frame);
}

void Emitter::begin(const KernelFrame& frame) {
  State& s = *state_;
  s.owner = this;
  s.function = frame.function;
  s.scratch = frame.scratch, s.task = frame.task, s.fault = frame.fault;
  for (std::size_t k = 0; k < frame.buffers.size(); ++k) s.buffers[static_cast<int>(k)] = frame.buffers[k];
  State::Scope whole;
  whole.block = whole.head = llvm::BasicBlock::Create(s.module.getContext(), "", s.function);
  s.scopes.push_back(std::move(whole));
}

Emitter::~Emitter() = default;

void Emitter::finish() {
  State& s = *state_;
  if (s.scopes.size() != 1) throw std::logic_error("emitter: a loop is still open");
  s.at(0);
  s.b.CreateRetVoid();
  llvm::DominatorTree tree(*s.function);
  if (!s.registers.empty()) llvm::PromoteMemToReg(s.registers, tree);
}

llvm::IRBuilderBase& Emitter::builder() {
  state_->at_top();
  return state_->b;
}
llvm::Value* Emitter::task() { return state_->task; }
llvm::Value* Emitter::scratch() { return state_->scratch; }
llvm::Value* Emitter::buffers() { return state_->function->getArg(0); }
llvm::Value* Emitter::fault() { return state_->function->getArg(3); }
llvm::Value* Emitter::buffer(ArrayRef array) { return state_->pointer_to(state_->accesses.buffer(array)); }
llvm::Value* Emitter::number(std::int64_t value) { return state_->b.getInt64(static_cast<std::uint64_t>(value)); }
llvm::Value* Emitter::take_digit(llvm::Value*& rest, std::int64_t size) {
  llvm::Value* digit = builder().CreateURem(rest, number(size));
  rest = builder().CreateUDiv(rest, number(size));
  return digit;
}
int Emitter::lanes() const { return state_->shape.lanes; }

void Emitter::State::push(llvm::Value* begin, llvm::Value* end, std::int64_t step, llvm::Value* condition) {
  Scope scope;
  scope.begin = begin, scope.end = end, scope.step = step, scope.condition = condition;
  scope.head = scope.block = llvm::BasicBlock::Create(module.getContext(), "", function);
  auto* first = begin ? llvm::dyn_cast<llvm::ConstantInt>(begin) : nullptr;
  auto* last = end ? llvm::dyn_cast<llvm::ConstantInt>(end) : nullptr;
  bool once = !begin || (first && last && first->getSExtValue() + step >= last->getSExtValue());
  if (!once) {
    b.SetInsertPoint(scope.block);
    scope.counter = b.CreatePHI(b.getInt64Ty(), 2);
  }
  scopes.push_back(std::move(scope));
}

void Emitter::State::pop() {
  Scope inner = std::move(scopes.back());
  scopes.pop_back();
  for (auto bound = inner.axes.rbegin(); bound != inner.axes.rend(); ++bound) {
    if (bound->second)
      axes[bound->first] = *bound->second;
    else
      axes.erase(bound->first);
  }
  for (ArrayRef array : inner.arrays) arrays.erase(array);
  if (inner.binds_lanes) lanes = {};
  Scope& outer = scopes.back();
  llvm::BasicBlock* after = inner.block;
  if (inner.counter) {
    after = llvm::BasicBlock::Create(module.getContext(), "", function);
    b.SetInsertPoint(inner.block);
    llvm::Value* next = b.CreateAdd(inner.counter, b.getInt64(static_cast<std::uint64_t>(inner.step)));
    inner.counter->addIncoming(inner.begin, outer.block);
    inner.counter->addIncoming(next, inner.block);
    b.CreateCondBr(b.CreateICmpSLT(next, inner.end), inner.head, after);
  } else if (inner.condition) {
    after = llvm::BasicBlock::Create(module.getContext(), "", function);
    b.SetInsertPoint(inner.block);
    b.CreateBr(after);
  }
  b.SetInsertPoint(outer.block);
  if (inner.condition)
    b.CreateCondBr(inner.condition, inner.head, after);
  else
    b.CreateBr(inner.head);
  outer.block = after;
}

llvm::Value* Emitter::open_counter(llvm::Value* begin, llvm::Value* end, std::int64_t step) {
  state_->push(begin, end, step, nullptr);
  State::Scope& scope = state_->scopes.back();
  return scope.counter ? scope.counter : begin;
}

void Emitter::open_loop(AxisRef axis, llvm::Value* begin, llvm::Value* end, std::int64_t step) {
  bind_axis(axis, open_counter(begin, end, step));
}
void Emitter::open_loop(AxisRef axis, std::int64_t size) { open_loop(axis, number(0), number(size)); }
void Emitter::close_loop() { state_->pop(); }
void Emitter::open_if(llvm::Value* condition) { state_->push(nullptr, nullptr, 1, condition); }
void Emitter::close_if() { state_->pop(); }

void Emitter::bind_axis(AxisRef axis, llvm::Value* value) {
  auto known = state_->axes.find(axis);
  state_->scopes.back().axes.emplace_back(axis, known == state_->axes.end() ? std::nullopt : std::optional(known->second));
  state_->axes[axis] = {state_->top(), value};
}

void Emitter::bind_lanes(AxisRef axis, llvm::Value* base, llvm::Value* active) {
  State& s = *state_;
  s.lanes = {axis, s.top(), base, active, nullptr};
  s.scopes.back().binds_lanes = true;
  s.intervals.assume(axis, axis->size + 16 * s.shape.lanes);
  if (!active) return;
  s.at_top();
  llvm::SmallVector<std::uint32_t, 16> iota;
  for (int lane = 0; lane < s.shape.lanes; ++lane) iota.push_back(static_cast<std::uint32_t>(lane));
  s.lanes.mask =
      s.b.CreateICmpULT(llvm::ConstantDataVector::get(s.module.getContext(), iota), s.splat(s.b.CreateTrunc(active, s.b.getInt32Ty())));
}

void Emitter::for_lanes(AxisRef axis, std::int64_t size, int unroll, const std::function<void(int)>& body) {
  for_lanes(axis, number(0), number(size), size, unroll, body);
}

void Emitter::for_lanes(AxisRef axis, llvm::Value* begin, llvm::Value* end, std::int64_t size, int unroll,
                        const std::function<void(int)>& body) {
  State& s = *state_;
  auto known = [](llvm::Value* condition) -> std::optional<bool> {
    auto* constant = llvm::dyn_cast<llvm::ConstantInt>(condition);
    return constant ? std::optional(constant->isOne()) : std::nullopt;
  };
  auto run = [&](llvm::Value* from, llvm::Value* to, std::int64_t step, int copies, bool part) {
    s.at_top();
    llvm::Value* any = s.b.CreateICmpSLT(from, to);
    if (known(any) == false) return;
    bool guarded = !known(any);
    if (guarded) open_if(any);
    llvm::Value* base = open_counter(from, to, step);
    s.at_top();
    bind_lanes(axis, base, part ? s.b.CreateSub(end, base) : nullptr);
    body(copies);
    close_loop();
    if (guarded) close_if();
  };
  std::int64_t lanes = s.shape.lanes, block = lanes * unroll;
  llvm::Value* position = begin;
  for (std::int64_t step : {block, lanes}) {
    if (size < step) continue;
    s.at_top();
    llvm::Value* whole = s.b.CreateSDiv(s.b.CreateSub(end, position), number(step));
    llvm::Value* until = s.b.CreateAdd(position, s.b.CreateMul(whole, number(step)));
    run(position, until, step, static_cast<int>(step / lanes), false);
    position = until;
    if (unroll == 1) break;
  }
  if (size % lanes != 0) run(position, end, lanes, 1, true);
}

void Emitter::unbind_lanes() {
  state_->lanes = {};
  state_->scopes.back().binds_lanes = false;
}

void Emitter::bind_array(ArrayRef array, std::vector<llvm::Value*> copies, bool varying) {
  state_->arrays[array] = {state_->top(), std::move(copies), varying};
  state_->scopes.back().arrays.push_back(array);
}

void Emitter::bind_strip(ArrayRef array, llvm::Value* pointer, int width) {
  state_->arrays[array] = {state_->top(), {}, width > 0, pointer, width};
  state_->scopes.back().arrays.push_back(array);
}

int Emitter::State::level_of(Expr x) const {
  int level = 0;
  for (AxisRef axis : x->free) {
    if (axis == lanes.axis)
      level = std::max(level, lanes.level);
    else if (auto found = axes.find(axis); found != axes.end())
      level = std::max(level, found->second.level);
  }
  for (ArrayRef array : accesses.locals_in(x)) {
    auto found = arrays.find(array);
    if (found == arrays.end()) throw std::logic_error("emitter: a local array is read before it has a value");
    level = std::max(level, found->second.level);
  }
  for (Expr guard : accesses.guards_in(x)) level = std::max(level, level_of(guard));
  return level;
}

bool Emitter::State::varying(Expr x) const {
  for (AxisRef axis : x->free)
    if (axis == lanes.axis) return true;
  for (ArrayRef array : accesses.locals_in(x)) {
    auto found = arrays.find(array);
    if (found != arrays.end() && found->second.varying) return true;
  }
  const std::vector<Expr>& guards = accesses.guards_in(x);
  return std::any_of(guards.begin(), guards.end(), [&](Expr guard) { return varying(guard); });
}

bool Emitter::is_varying(Expr x) const { return state_->varying(x); }
llvm::Value* Emitter::active_mask() { return state_->lanes.mask; }

llvm::Type* Emitter::type_of(DType compute, bool vector) {
  llvm::Type* type = compute_llvm_type(state_->module.getContext(), compute);
  return vector ? llvm::FixedVectorType::get(type, static_cast<unsigned>(state_->shape.lanes)) : type;
}

llvm::Value* Emitter::constant(DType compute, double value, bool vector) {
  llvm::Type* type = type_of(compute, vector);
  if (type->isFPOrFPVectorTy()) return llvm::ConstantFP::get(type, value);
  return llvm::ConstantInt::get(type, static_cast<std::uint64_t>(static_cast<std::int64_t>(value)), true);
}

llvm::AllocaInst* Emitter::State::make_register(llvm::Type* type) {
  llvm::IRBuilder<> entry(&function->getEntryBlock(), function->getEntryBlock().begin());
  registers.push_back(entry.CreateAlloca(type));
  return registers.back();
}

llvm::AllocaInst* Emitter::make_array(std::int64_t words) {
  llvm::IRBuilder<> entry(&state_->function->getEntryBlock(), state_->function->getEntryBlock().begin());
  return entry.CreateAlloca(entry.getInt64Ty(), number(words));
}

llvm::AllocaInst* Emitter::make_register(llvm::Type* type, llvm::Value* initial) {
  llvm::AllocaInst* slot = state_->make_register(type);
  set(slot, initial);
  return slot;
}

llvm::Value* Emitter::get(llvm::AllocaInst* slot) {
  state_->at_top();
  return state_->b.CreateLoad(slot->getAllocatedType(), slot);
}

void Emitter::set(llvm::AllocaInst* slot, llvm::Value* value) {
  state_->at_top();
  state_->b.CreateStore(value, slot);
}

}  // namespace heed
