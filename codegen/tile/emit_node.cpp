// One instruction sequence for each kind of node.
#include <algorithm>
#include <stdexcept>

#include "codegen/tile/emitter_state.h"
#include "codegen/tile/math.h"
#include "ir/function.h"

namespace heed {

llvm::Type* compute_llvm_type(llvm::LLVMContext& context, DType dtype) {
  switch (compute_type(dtype)) {
    case DType::f64:
      return llvm::Type::getDoubleTy(context);
    case DType::f32:
      return llvm::Type::getFloatTy(context);
    case DType::i64:
      return llvm::Type::getInt64Ty(context);
    default:
      return llvm::Type::getInt1Ty(context);
  }
}

std::size_t lane_count(llvm::Value* value) {
  auto* vector = llvm::dyn_cast<llvm::FixedVectorType>(value->getType());
  return vector ? vector->getNumElements() : 0;
}

llvm::Value* larger(llvm::IRBuilderBase& b, llvm::Value* x, llvm::Value* y) {
  llvm::Value* either = b.CreateSelect(b.CreateFCmpOGT(x, y), x, y);  // y if one is NaN
  return b.CreateSelect(b.CreateFCmpUNO(x, x), x, either);
}

llvm::Value* Emitter::emit(Expr x, int copy) { return state_->emit(x, copy); }
llvm::Value* Emitter::emit_lanes(Expr x, int copy) {
  llvm::Value* value = state_->operand(x, copy, true);
  if (x->dtype != DType::i64 || value->getType()->getScalarSizeInBits() == 64) return value;
  state_->at(state_->level_of(x));
  return state_->b.CreateSExt(value, type_of(DType::i64, true));
}
llvm::Value* Emitter::emit_scalar(Expr x) { return state_->emit(x, 0); }

llvm::Value* Emitter::State::emit(Expr x, int copy) {
  bool vector = varying(x);
  if (!vector) copy = 0;
  int level = level_of(x);
  auto& known = scopes[static_cast<std::size_t>(level)].memo;
  if (auto found = known.find({x, copy}); found != known.end()) return found->second;
  llvm::Value* value = compute(x, copy, level, vector);
  scopes[static_cast<std::size_t>(level)].memo[{x, copy}] = value;
  return value;
}

llvm::Value* Emitter::State::operand(Expr x, int copy, bool vector) {
  llvm::Value* value = emit(x, copy);
  if (!vector || lane_count(value)) return value;
  auto level = static_cast<std::size_t>(level_of(x));
  auto& known = scopes[level].splats[{x, 0}];
  if (!known) {
    at(static_cast<int>(level));
    known = splat(value);
  }
  return known;
}

int Emitter::State::bits_of(Expr x, bool vector) { return vector && fits_32_bits(intervals.of(x)) ? 32 : 64; }

llvm::Value* Emitter::State::integer_operand(Expr x, int copy, bool vector, int bits) {
  llvm::Value* value = emit(x, copy);
  auto level = static_cast<std::size_t>(level_of(x));
  if (static_cast<int>(value->getType()->getScalarSizeInBits()) == bits && (!vector || lane_count(value))) return value;
  auto& known = scopes[level].splats[{x, copy * 128 + bits}];
  if (known) return known;
  at(static_cast<int>(level));
  llvm::Type* type = b.getIntNTy(static_cast<unsigned>(bits));
  if (lane_count(value)) {
    known = b.CreateSExtOrTrunc(value, llvm::VectorType::get(type, llvm::cast<llvm::VectorType>(value->getType())->getElementCount()));
  } else {
    llvm::Value* scalar = b.CreateSExtOrTrunc(value, type);
    known = vector ? splat(scalar) : scalar;
  }
  return known;
}

llvm::Value* Emitter::State::fma(llvm::Value* x, llvm::Value* y, llvm::Value* z) {
  if (!shape.has_fma) return b.CreateFAdd(b.CreateFMul(x, y), z);
  return b.CreateIntrinsic(llvm::Intrinsic::fma, {x->getType()}, {x, y, z});
}

llvm::Value* Emitter::State::compute(Expr x, int copy, int level, bool vector) {
  auto boolean = [&](Expr each) { return operand(each, copy, vector); };
  switch (x->op) {
    case Op::constant:
      if (x->dtype == DType::boolean) return b.getInt1(x->integer != 0);
      if (x->dtype == DType::i64) return b.getInt64(static_cast<std::uint64_t>(x->integer));
      return llvm::ConstantFP::get(compute_llvm_type(module.getContext(), x->dtype), x->real);
    case Op::axis:
      return axis_value(x->axes[0], copy, level, bits_of(x, true));
    case Op::linear:
      return x->dtype == DType::i64 ? linear_integer(x, copy, level, vector) : linear_real(x, copy, level, vector);
    case Op::product:
      return x->dtype == DType::i64 ? product_integer(x, copy, level, vector) : product_real(x->operands, x->weights, copy, level, vector);
    case Op::function:
      return call(x, copy, level, vector);
    case Op::cast:
      return convert(x, copy, level, vector);
    case Op::quotient:
    case Op::remainder:
      return divided(x, copy, level, vector);
    case Op::at_least_zero:
    case Op::is_zero: {
      llvm::Value* a = integer_operand(x->operands[0], copy, vector, bits_of(x->operands[0], vector));
      at(level);
      llvm::Value* zero = llvm::Constant::getNullValue(a->getType());
      return x->op == Op::is_zero ? b.CreateICmpEQ(a, zero) : b.CreateICmpSGE(a, zero);
    }
    case Op::at_least:
    case Op::greater:
    case Op::equal: {
      llvm::Value* a = operand(x->operands[0], copy, vector);
      llvm::Value* c = operand(x->operands[1], copy, vector);
      at(level);
      return x->op == Op::at_least ? b.CreateFCmpOGE(a, c) : x->op == Op::greater ? b.CreateFCmpOGT(a, c) : b.CreateFCmpOEQ(a, c);
    }
    case Op::both: {
      std::vector<Expr> order = x->operands;
      order_by(order, [&](Expr each) { return level_of(each); });
      llvm::Value* all = nullptr;
      for (Expr each : order) {
        bool wide = vector && (varying(each) || (all && lane_count(all)));
        llvm::Value* value = operand(each, copy, wide);
        at(level);
        if (all && wide && !lane_count(all)) all = splat(all);
        all = all ? b.CreateAnd(all, value) : value;
      }
      if (vector && !lane_count(all)) all = splat(all);
      return all;
    }
    case Op::negation: {
      llvm::Value* a = boolean(x->operands[0]);
      at(level);
      return b.CreateNot(a);
    }
    case Op::select: {
      llvm::Value* condition = emit(x->operands[0], copy);
      if (x->dtype == DType::i64) {
        int bits = bits_of(x, vector);
        llvm::Value* yes = integer_operand(x->operands[1], copy, vector, bits);
        llvm::Value* no = integer_operand(x->operands[2], copy, vector, bits);
        at(level);
        return b.CreateSelect(condition, yes, no);
      }
      // A guard is the mask of the load it protects.
      Expr guarded = x->operands[1];
      if (vector && guarded->op == Op::read && !arrays.contains(guarded->array) && varying(guarded) && !accesses.of(guarded).inside &&
          is_constant(x->operands[2], 0))
        return read(guarded, copy, level, true, operand(x->operands[0], copy, true));
      llvm::Value* yes = operand(guarded, copy, vector);
      llvm::Value* no = operand(x->operands[2], copy, vector);
      at(level);
      return b.CreateSelect(condition, yes, no);
    }
    case Op::reduction:
      return reduce(*owner, x, copy, level, vector);
    case Op::read: {
      auto found = arrays.find(x->array);
      if (found != arrays.end() && !found->second.strip) return found->second.copies[static_cast<std::size_t>(vector ? copy : 0)];
      return read(x, copy, level, vector);
    }
  }
  throw std::logic_error("emitter: an unknown node");
}

llvm::Value* Emitter::State::axis_value(AxisRef axis, int copy, int level, int bits) {
  if (axis != lanes.axis) {
    auto found = axes.find(axis);
    if (found == axes.end()) throw std::logic_error("emitter: an axis is used outside of its loop");
    return found->second.value;
  }
  at(level);
  llvm::Type* type = b.getIntNTy(static_cast<unsigned>(bits));
  llvm::SmallVector<llvm::Constant*, 16> iota;
  for (int lane = 0; lane < shape.lanes; ++lane)
    iota.push_back(llvm::ConstantInt::get(type, static_cast<std::uint64_t>(copy * shape.lanes + lane)));
  return b.CreateAdd(splat(b.CreateSExtOrTrunc(lanes.base, type)), llvm::ConstantVector::get(iota));
}

llvm::Value* Emitter::State::convert(Expr x, int copy, int level, bool vector) {
  Expr of = x->operands[0];
  auto shaped = [&](llvm::Type* type) -> llvm::Type* {
    return vector ? llvm::FixedVectorType::get(type, static_cast<unsigned>(shape.lanes)) : type;
  };
  llvm::LLVMContext& context = module.getContext();
  bool from_real = is_floating(of->dtype), from_integer = of->dtype == DType::i64;
  llvm::Value* value = from_integer ? integer_operand(of, copy, vector, bits_of(of, vector)) : operand(of, copy, vector);
  at(level);
  if (is_floating(x->to)) {
    llvm::Type* wide = shaped(compute_llvm_type(context, x->to));
    if (from_real)
      value = b.CreateFPCast(value, wide);
    else
      value = from_integer ? b.CreateSIToFP(value, wide) : b.CreateUIToFP(value, wide);
    return from_storage(b, x->to, to_storage(b, x->to, value, shape.has_bf16));
  }
  if (x->to == DType::boolean) {
    if (from_real) return b.CreateFCmpUNE(value, llvm::Constant::getNullValue(value->getType()));
    return from_integer ? b.CreateICmpNE(value, llvm::Constant::getNullValue(value->getType())) : value;
  }
  int bits = bits_of(x, vector);
  llvm::Type* result = shaped(b.getIntNTy(static_cast<unsigned>(bits)));
  if (from_real) {
    llvm::Type* wide = shaped(b.getInt64Ty());
    value = b.CreateIntrinsic(llvm::Intrinsic::fptosi_sat, {wide, value->getType()}, {value});
  } else if (!from_integer) {
    return b.CreateZExt(value, result);
  }
  if (x->to != DType::i64 &&
      !(from_integer && intervals.of(of).low == intervals.of(x).low && intervals.of(of).high == intervals.of(x).high)) {
    llvm::Value* narrow = b.CreateTrunc(value, shaped(storage_llvm_type(context, x->to)));
    return x->to == DType::u8 ? b.CreateZExt(narrow, result) : b.CreateSExtOrTrunc(narrow, result);
  }
  return b.CreateSExtOrTrunc(value, result);
}

llvm::Value* Emitter::State::call(Expr x, int copy, int level, bool vector) {
  const ScalarFunction& f = *x->function;
  if (&f == &functions::stop_gradient || &f == &functions::straight_through) {
    if (x->dtype == DType::i64) return integer_operand(x->operands[0], copy, vector, bits_of(x, vector));
    return operand(x->operands[0], copy, vector);
  }
  std::vector<llvm::Value*> arguments;
  bool integers = x->operands[0]->dtype == DType::i64;
  if (&f == &functions::random_uniform) {
    Interval index = intervals.of(x->operands[1]);
    bool small = vector && varying(x->operands[1]) && index.low >= 0 && fits_32_bits(index) && !varying(x->operands[0]);
    if (small) {
      llvm::Value* key = emit(x->operands[0], copy);
      llvm::Value* low = integer_operand(x->operands[1], copy, true, 32);
      at(level);
      return emit_random_uniform(b, splat(b.CreateTrunc(key, b.getInt32Ty())), low,
                                 splat(b.CreateTrunc(b.CreateLShr(key, 32), b.getInt32Ty())));
    }
    llvm::Value* key = integer_operand(x->operands[0], copy, vector, 64);
    llvm::Value* word = integer_operand(x->operands[1], copy, vector, 64);
    at(level);
    llvm::Type* half = b.getInt32Ty();
    if (vector) half = llvm::FixedVectorType::get(half, static_cast<unsigned>(shape.lanes));
    llvm::Value* high = b.CreateTrunc(b.CreateLShr(b.CreateXor(key, word), 32), half);
    return emit_random_uniform(b, b.CreateTrunc(key, half), b.CreateTrunc(word, half), high);
  }
  for (Expr argument : x->operands)
    arguments.push_back(integers ? integer_operand(argument, copy, vector, 64) : operand(argument, copy, vector));
  at(level);
  if (!integers) return emit_function(b, f.name, arguments, shape.has_fma);
  llvm::Value* value = emit_integer_function(b, f.name, arguments);
  if (bits_of(x, vector) == 64 || x->dtype != DType::i64) return value;
  return b.CreateTrunc(value, llvm::FixedVectorType::get(b.getInt32Ty(), static_cast<unsigned>(shape.lanes)));
}

}  // namespace heed
