// What the emitter's parts share: the open loops, what was emitted in each, and the lanes.
#pragma once
#include <llvm/IR/IRBuilder.h>
#include <llvm/IR/Module.h>

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "codegen/tile/emitter.h"

namespace heed {

struct Emitter::State {
  State(llvm::Module& module, const Accesses& accesses, VectorShape shape)
      : module(module), b(module.getContext()), accesses(accesses), shape(shape) {}

  struct AxisBinding {
    int level;
    llvm::Value* value;
  };
  // A loop, a condition, or the whole function. Code is added at the end of `block`; a scope that is not innermost has no terminator
  // yet, so that what does not change in the loops it holds can still be put before them.
  struct Scope {
    llvm::BasicBlock* block = nullptr;
    llvm::BasicBlock* head = nullptr;  // first block inside
    llvm::PHINode* counter = nullptr;  // null: runs once
    llvm::Value *begin = nullptr, *end = nullptr;
    llvm::Value* condition = nullptr;  // of open_if
    std::int64_t step = 1;
    bool binds_lanes = false;
    std::vector<std::pair<AxisRef, std::optional<AxisBinding>>> axes;  // with what each was bound to around it: sums may share axes
    std::vector<ArrayRef> arrays;
    std::map<std::pair<Expr, int>, llvm::Value*> memo, splats;
    std::map<std::tuple<Expr, double, int>, llvm::Value*> reciprocals;
    std::set<std::tuple<Expr, std::size_t, int>> checked;
  };
  struct ArrayBinding {
    int level;
    std::vector<llvm::Value*> copies;
    bool varying;
    llvm::Value* strip = nullptr;  // where it lies in scratch; else copies has its values
    int width = 0;
  };
  struct LanesBinding {
    AxisRef axis = nullptr;
    int level = 0;
    llvm::Value *base = nullptr, *active = nullptr, *mask = nullptr;
  };

  llvm::Module& module;
  llvm::IRBuilder<> b;
  const Accesses& accesses;
  VectorShape shape;
  llvm::Function* function = nullptr;
  llvm::Value *task = nullptr, *scratch = nullptr, *fault = nullptr;
  std::vector<Scope> scopes;
  std::map<AxisRef, AxisBinding> axes;  // these three are only looked up
  std::map<ArrayRef, ArrayBinding> arrays;
  std::map<int, llvm::Value*> buffers;
  LanesBinding lanes;
  Intervals intervals;
  std::vector<llvm::AllocaInst*> registers;

  // scopes.cpp
  int top() const { return static_cast<int>(scopes.size()) - 1; }
  void at(int level) { b.SetInsertPoint(scopes[static_cast<std::size_t>(level)].block); }
  void at_top() { at(top()); }
  void push(llvm::Value* begin, llvm::Value* end, std::int64_t step, llvm::Value* condition);
  void pop();
  int level_of(Expr x) const;
  bool varying(Expr x) const;
  llvm::AllocaInst* make_register(llvm::Type* type);

  // emit_node.cpp
  llvm::Value* emit(Expr x, int copy);
  llvm::Value* compute(Expr x, int copy, int level, bool varying);
  llvm::Value* axis_value(AxisRef axis, int copy, int level, int bits);
  llvm::Value* operand(Expr x, int copy, bool vector);  // a vector of the node's own type if `vector`
  llvm::Value* integer_operand(Expr x, int copy, bool vector, int bits);
  llvm::Value* linear_real(Expr x, int copy, int level, bool vector);
  llvm::Value* linear_integer(Expr x, int copy, int level, bool vector);
  llvm::Value* product_real(std::span<const Expr> operands, std::span<const double> weights, int copy, int level, bool vector);
  llvm::Value* product_integer(Expr x, int copy, int level, bool vector);
  llvm::Value* call(Expr x, int copy, int level, bool vector);
  llvm::Value* convert(Expr x, int copy, int level, bool vector);
  llvm::Value* divided(Expr x, int copy, int level, bool vector);
  llvm::Value* splat(llvm::Value* scalar) { return b.CreateVectorSplat(static_cast<unsigned>(shape.lanes), scalar); }
  llvm::Value* fma(llvm::Value* x, llvm::Value* y, llvm::Value* z);
  int bits_of(Expr x, bool vector);  // width of an integer's lanes

  // reduce.cpp
  llvm::Value* reduce(Emitter& emitter, Expr x, int copy, int level, bool vector);

  // memory.cpp
  // `guard`: lanes outside of it are 0, and inside of it the address is in its array.
  llvm::Value* read(Expr x, int copy, int level, bool vector, llvm::Value* guard = nullptr);
  llvm::Value* scalar_sum(const LinearForm& form, bool skip_varying);  // hoisted by level, i64
  llvm::Value* lane_offsets(const LinearForm& address, const std::vector<Access::Checked>& checked, int copy, int level,
                            std::int64_t& stride);
  llvm::Value* lanes_inside(llvm::Value* element, std::int64_t count);  // lanes whose contiguous elements are in 0 … count - 1
  llvm::Value* clamped(llvm::Value* index, std::int64_t limit);
  void check(Expr owner, std::size_t k, int copy);
  llvm::Value* pointer_to(int buffer);

  Emitter* owner = nullptr;
};

// Sorts a few things by rank, equal ones in the order they have. (libstdc++'s stable sort allocates by a function that is deprecated.)
template <class Items, class Rank>
void order_by(Items& items, Rank rank) {
  for (auto each = items.begin(); each != items.end(); ++each)
    std::rotate(std::upper_bound(items.begin(), each, *each, [&](const auto& p, const auto& q) { return rank(p) < rank(q); }), each,
                std::next(each));
}

llvm::Type* compute_llvm_type(llvm::LLVMContext& context, DType dtype);  // integers i64
llvm::Type* storage_llvm_type(llvm::LLVMContext& context, DType dtype);
// Between what is computed with and what lies in memory.
llvm::Value* from_storage(llvm::IRBuilderBase& b, DType dtype, llvm::Value* value);
llvm::Value* to_storage(llvm::IRBuilderBase& b, DType dtype, llvm::Value* value, bool has_bf16);
llvm::Value* larger(llvm::IRBuilderBase& b, llvm::Value* x, llvm::Value* y);  // floating; NaN wins
std::size_t lane_count(llvm::Value* value);                                   // 0 of a scalar

}  // namespace heed
