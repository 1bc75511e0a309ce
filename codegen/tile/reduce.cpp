// Reductions that stand inside an expression: loops of their own at the place where their value is needed.
#include "codegen/tile/reduce.h"

#include <algorithm>
#include <limits>

#include "codegen/tile/emitter_state.h"

namespace heed {

double identity_of(Reduction reduction) {
  switch (reduction) {
    case Reduction::product:
      return 1;
    case Reduction::maximum:
    case Reduction::argmax:
      return -std::numeric_limits<double>::infinity();
    default:
      return 0;
  }
}

Accumulator::Accumulator(Emitter& emitter, Reduction reduction, DType dtype, bool vector)
    : emitter_(emitter), reduction_(reduction), dtype_(dtype), vector_(vector) {
  auto initial = [&]() -> llvm::Value* {
    if (dtype == DType::i64 && (reduction == Reduction::maximum || reduction == Reduction::argmax))
      return llvm::ConstantInt::get(emitter.type_of(dtype, vector), std::uint64_t{1} << 63);
    return emitter.constant(dtype, identity_of(reduction), vector);
  };
  value_ = emitter.make_register(emitter.type_of(dtype, vector), initial());
  if (reduction == Reduction::argmax)
    index_ = emitter.make_register(emitter.type_of(DType::i64, vector), emitter.constant(DType::i64, 0, vector));
}

void Accumulator::add(Expr body, AxisRef axis, int copy, llvm::Value* mask) {
  Emitter::State& s = emitter_.state();
  llvm::Value* old = emitter_.get(value_);
  llvm::Value* next = nullptr;
  bool fused = reduction_ == Reduction::sum && body->op == Op::product && is_floating(dtype_) && body->operands.size() > 1 &&
               std::all_of(body->weights.begin(), body->weights.end(), [](double power) { return power == 1; });
  if (fused) {
    std::vector<Expr> factors = body->operands;
    order_by(factors, [&](Expr factor) { return s.level_of(factor); });
    Expr last = factors.back();
    factors.pop_back();
    int level = 0;
    for (Expr factor : factors) level = std::max(level, s.level_of(factor));
    bool wide = vector_ && std::any_of(factors.begin(), factors.end(), [&](Expr factor) { return s.varying(factor); });
    llvm::Value* rest = s.product_real(factors, std::vector<double>(factors.size(), 1.0), copy, level, wide);
    if (vector_ && !lane_count(rest)) {
      s.at(level);
      rest = s.splat(rest);
    }
    llvm::Value* factor = s.operand(last, copy, vector_);
    s.at_top();
    next = s.fma(rest, factor, old);
  } else {
    llvm::Value* value = vector_ ? emitter_.emit_lanes(body, copy) : emitter_.emit_scalar(body);
    s.at_top();
    if (reduction_ == Reduction::argmax) {
      llvm::Value* take = is_floating(dtype_) ? s.b.CreateOr(s.b.CreateFCmpOGT(value, old),
                                                             s.b.CreateAnd(s.b.CreateFCmpUNO(value, value), s.b.CreateFCmpORD(old, old)))
                                              : s.b.CreateICmpSGT(value, old);
      llvm::Value* position = s.axis_value(axis, copy, s.top(), 64);
      if (vector_ && !lane_count(position)) position = s.splat(position);
      if (mask) take = s.b.CreateAnd(take, mask);
      llvm::Value* index = emitter_.get(index_);
      emitter_.set(value_, s.b.CreateSelect(take, value, old));
      emitter_.set(index_, s.b.CreateSelect(take, position, index));
      return;
    }
    next = combine(old, value);
  }
  if (mask) next = s.b.CreateSelect(mask, next, old);
  emitter_.set(value_, next);
}

llvm::Value* Accumulator::combine(llvm::Value* old, llvm::Value* value) {
  llvm::IRBuilderBase& b = emitter_.builder();
  bool floating = is_floating(dtype_);
  switch (reduction_) {
    case Reduction::sum:
      return floating ? b.CreateFAdd(old, value) : b.CreateAdd(old, value);
    case Reduction::product:
      return floating ? b.CreateFMul(old, value) : b.CreateMul(old, value);
    case Reduction::any:
      return b.CreateOr(old, value);
    default:
      return floating ? larger(b, value, old) : b.CreateSelect(b.CreateICmpSGT(value, old), value, old);
  }
}

llvm::Value* Accumulator::result() { return emitter_.get(index_ ? index_ : value_); }

// The larger of two with its index; of equals the first.
void Accumulator::merge(llvm::Value* value, llvm::Value* index) {
  llvm::IRBuilderBase& b = emitter_.builder();
  llvm::Value* old = emitter_.get(value_);
  if (!index_) {
    emitter_.set(value_, combine(old, value));
    return;
  }
  llvm::Value* old_index = emitter_.get(index_);
  llvm::Value *more, *same;
  if (is_floating(dtype_)) {
    llvm::Value *lost = b.CreateFCmpUNO(value, value), *old_lost = b.CreateFCmpUNO(old, old);
    more = b.CreateOr(b.CreateFCmpOGT(value, old), b.CreateAnd(lost, b.CreateNot(old_lost)));
    same = b.CreateOr(b.CreateFCmpOEQ(value, old), b.CreateAnd(lost, old_lost));
  } else {
    more = b.CreateICmpSGT(value, old);
    same = b.CreateICmpEQ(value, old);
  }
  llvm::Value* take = b.CreateOr(more, b.CreateAnd(same, b.CreateICmpULT(index, old_index)));
  emitter_.set(value_, b.CreateSelect(take, value, old));
  emitter_.set(index_, b.CreateSelect(take, index, old_index));
}

std::vector<llvm::Value*> Accumulator::parts() {
  std::vector<llvm::Value*> all{emitter_.get(value_)};
  if (index_) all.push_back(emitter_.get(index_));
  return all;
}
void Accumulator::set_parts(const std::vector<llvm::Value*>& parts) {
  emitter_.set(value_, parts[0]);
  if (index_) emitter_.set(index_, parts[1]);
}
void Accumulator::merge_parts(const std::vector<llvm::Value*>& parts) { merge(parts[0], index_ ? parts[1] : nullptr); }

void Accumulator::merge(Accumulator& other) { merge(emitter_.get(other.value_), other.index_ ? emitter_.get(other.index_) : nullptr); }

// Halves the lanes until one is left: the order of the additions depends on the number of lanes alone.
llvm::Value* Accumulator::across_lanes() {
  llvm::IRBuilderBase& b = emitter_.builder();
  auto half = [&](llvm::Value* x, std::size_t lanes, std::size_t from) {
    llvm::SmallVector<int, 16> mask;
    for (std::size_t lane = 0; lane < lanes / 2; ++lane) mask.push_back(static_cast<int>(from + lane));
    return b.CreateShuffleVector(x, mask);
  };
  llvm::Value* value = emitter_.get(value_);
  llvm::Value* index = index_ ? emitter_.get(index_) : nullptr;
  for (std::size_t lanes = lane_count(value); lanes > 1; lanes /= 2) {
    Accumulator low(emitter_, reduction_, dtype_, false);
    llvm::Value *first = half(value, lanes, 0), *second = half(value, lanes, lanes / 2);
    low.value_ = emitter_.make_register(first->getType(), first);
    if (index) low.index_ = emitter_.make_register(half(index, lanes, 0)->getType(), half(index, lanes, 0));
    low.merge(second, index ? half(index, lanes, lanes / 2) : nullptr);
    value = emitter_.get(low.value_);
    index = index ? emitter_.get(low.index_) : nullptr;
  }
  return b.CreateExtractElement(index ? index : value, std::uint64_t{0});
}

llvm::Value* Emitter::State::reduce(Emitter& emitter, Expr x, int copy, int level, bool vector) {
  // The loops hang on the loop of `level`; deeper ones that are open are put aside.
  std::vector<Scope> deeper;
  while (top() > level) {
    deeper.push_back(std::move(scopes.back()));
    scopes.pop_back();
  }
  Expr body = x->operands[0];
  std::int64_t count = 1;
  for (AxisRef axis : x->axes) count *= axis->size;
  Accumulator total(emitter, x->reduction, body->dtype, vector);
  if (count > 0) {
    for (AxisRef axis : x->axes) emitter.open_loop(axis, axis->size);
    for (std::size_t k = 0; k < accesses.checks(x).size(); ++k) check(x, k, copy);
    total.add(body, x->axes[0], copy, nullptr);
    for (std::size_t k = 0; k < x->axes.size(); ++k) emitter.close_loop();
  }
  llvm::Value* result = total.result();
  if (x->dtype == DType::i64 && bits_of(x, vector) == 32)
    result = b.CreateTrunc(result, llvm::FixedVectorType::get(b.getInt32Ty(), static_cast<unsigned>(shape.lanes)));
  for (; !deeper.empty(); deeper.pop_back()) scopes.push_back(std::move(deeper.back()));
  return result;
}

}  // namespace heed
