// Loads, stores, and the checks of indices that depend on data.
#include <algorithm>
#include <cstddef>
#include <stdexcept>

#include "codegen/tile/emitter_state.h"
#include "runtime/program.h"

namespace heed {

llvm::Type* storage_llvm_type(llvm::LLVMContext& context, DType dtype) {
  switch (dtype) {
    case DType::f64:
      return llvm::Type::getDoubleTy(context);
    case DType::f32:
      return llvm::Type::getFloatTy(context);
    case DType::f16:
      return llvm::Type::getHalfTy(context);
    case DType::bf16:
      return llvm::Type::getInt16Ty(context);
    case DType::i64:
      return llvm::Type::getInt64Ty(context);
    case DType::i32:
      return llvm::Type::getInt32Ty(context);
    default:
      return llvm::Type::getInt8Ty(context);
  }
}

namespace {

llvm::Type* shaped_like(llvm::Value* value, llvm::Type* scalar) {
  auto* vector = llvm::dyn_cast<llvm::VectorType>(value->getType());
  return vector ? llvm::VectorType::get(scalar, vector->getElementCount()) : scalar;
}

}  // namespace

// Integers narrower than i64 come as 32 bits in vectors, and as 64 in scalars.
llvm::Value* from_storage(llvm::IRBuilderBase& b, DType dtype, llvm::Value* value) {
  llvm::Type* word = shaped_like(value, lane_count(value) ? b.getInt32Ty() : b.getInt64Ty());
  switch (dtype) {
    case DType::f16:
      return b.CreateFPExt(value, shaped_like(value, b.getFloatTy()));
    case DType::bf16:
      return b.CreateBitCast(b.CreateShl(b.CreateZExt(value, shaped_like(value, b.getInt32Ty())), 16), shaped_like(value, b.getFloatTy()));
    case DType::i32:
    case DType::i8:
      return b.CreateSExtOrTrunc(value, word);
    case DType::u8:
      return b.CreateZExt(value, word);
    case DType::boolean:
      return b.CreateICmpNE(value, llvm::Constant::getNullValue(value->getType()));
    default:
      return value;
  }
}

llvm::Value* to_storage(llvm::IRBuilderBase& b, DType dtype, llvm::Value* value, bool has_bf16) {
  llvm::Type* type = shaped_like(value, storage_llvm_type(b.getContext(), dtype));
  if (dtype == DType::boolean) return b.CreateZExt(value, type);
  if (is_integer(dtype)) return b.CreateSExtOrTrunc(value, type);
  if (dtype != DType::bf16) return b.CreateFPCast(value, type);
  value = b.CreateFPCast(value, shaped_like(value, b.getFloatTy()));
  if (has_bf16 && lane_count(value)) return b.CreateBitCast(b.CreateFPTrunc(value, shaped_like(value, b.getBFloatTy())), type);
  llvm::Value* bits = b.CreateBitCast(value, shaped_like(value, b.getInt32Ty()));
  auto constant = [&](std::uint32_t word) { return llvm::ConstantInt::get(bits->getType(), word); };
  llvm::Value* odd = b.CreateAnd(b.CreateLShr(bits, 16), constant(1));
  llvm::Value* rounded = b.CreateLShr(b.CreateAdd(b.CreateAdd(bits, constant(0x7FFF)), odd), 16);
  rounded = b.CreateSelect(b.CreateFCmpUNO(value, value), constant(0x7FC0), rounded);
  return b.CreateTrunc(rounded, type);
}

llvm::Value* Emitter::State::pointer_to(int buffer) {
  llvm::Value*& known = buffers[buffer];
  if (!known) {
    at(0);
    llvm::Type* pointer = b.getPtrTy();
    known = b.CreateLoad(pointer, b.CreateConstInBoundsGEP1_64(pointer, function->getArg(0), static_cast<std::uint64_t>(buffer)));
  }
  return known;
}

llvm::Value* Emitter::load(DType dtype, llvm::Value* pointer, llvm::Value* element, bool vector, llvm::Value* mask) {
  State& s = *state_;
  s.at_top();
  llvm::Type* scalar = storage_llvm_type(s.module.getContext(), dtype);
  llvm::Type* type = vector ? llvm::FixedVectorType::get(scalar, static_cast<unsigned>(s.shape.lanes)) : scalar;
  llvm::Value* place = s.b.CreateGEP(scalar, pointer, element);
  llvm::Align align(static_cast<std::uint64_t>(byte_size(dtype)));
  llvm::Value* value = mask ? static_cast<llvm::Value*>(s.b.CreateMaskedLoad(type, place, align, mask, llvm::Constant::getNullValue(type)))
                            : s.b.CreateAlignedLoad(type, place, align);
  return from_storage(s.b, dtype, value);
}

void Emitter::store(DType dtype, llvm::Value* pointer, llvm::Value* element, llvm::Value* value, llvm::Value* mask) {
  State& s = *state_;
  s.at_top();
  llvm::Value* place = s.b.CreateGEP(storage_llvm_type(s.module.getContext(), dtype), pointer, element);
  llvm::Align align(static_cast<std::uint64_t>(byte_size(dtype)));
  value = to_storage(s.b, dtype, value, s.shape.has_bf16);
  if (mask)
    s.b.CreateMaskedStore(value, place, align, mask);
  else
    s.b.CreateAlignedStore(value, place, align);
}

llvm::Value* Emitter::address_of(const LinearForm& address) { return state_->scalar_sum(address, false); }

void Emitter::store_at(DType dtype, llvm::Value* pointer, const LinearForm& address, llvm::Value* value, int copy, llvm::Value* mask) {
  State& s = *state_;
  bool vector = std::any_of(address.terms.begin(), address.terms.end(), [&](const IntegerTerm& term) { return s.varying(term.x); });
  llvm::Value* base = s.scalar_sum(address, true);
  if (!vector) {
    if (mask) {
      open_if(mask);
      store(dtype, pointer, base, value);
      close_if();
    } else {
      store(dtype, pointer, base, value);
    }
    return;
  }
  if (mask && !lane_count(mask)) mask = s.splat(mask);
  if (llvm::Value* active = s.lanes.mask) {
    s.at_top();
    mask = mask ? s.b.CreateAnd(mask, active) : active;
  }
  s.at_top();
  if (!lane_count(value)) value = s.splat(value);
  std::int64_t stride = 0;
  llvm::Value* rest = s.lane_offsets(address, {}, copy, s.top(), stride);
  s.at_top();
  llvm::Value* start = s.b.CreateAdd(s.lanes.base, number(copy * s.shape.lanes));
  base = s.b.CreateAdd(base, s.b.CreateMul(start, number(stride)));
  if (stride == 1 && !rest) {
    store(dtype, pointer, base, value, mask);
    return;
  }
  llvm::SmallVector<llvm::Constant*, 16> steps;
  for (int lane = 0; lane < s.shape.lanes; ++lane) steps.push_back(s.b.getInt64(static_cast<std::uint64_t>(lane * stride)));
  llvm::Value* offsets = llvm::ConstantVector::get(steps);
  if (rest) offsets = s.b.CreateAdd(offsets, s.b.CreateSExt(rest, offsets->getType()));
  llvm::Type* scalar = storage_llvm_type(s.module.getContext(), dtype);
  llvm::Value* places = s.b.CreateGEP(scalar, s.b.CreateGEP(scalar, pointer, base), offsets);
  if (!mask) mask = llvm::Constant::getAllOnesValue(llvm::FixedVectorType::get(s.b.getInt1Ty(), static_cast<unsigned>(s.shape.lanes)));
  s.b.CreateMaskedScatter(to_storage(s.b, dtype, value, s.shape.has_bf16), places,
                          llvm::Align(static_cast<std::uint64_t>(byte_size(dtype))), mask);
}

void Emitter::store_strip(ArrayRef array, const LinearForm& address, llvm::Value* value, int copy) {
  State& s = *state_;
  const State::ArrayBinding& binding = s.arrays.at(array);
  if (binding.width == 0) {
    store_at(array->dtype, binding.strip, address, value, copy);
    return;
  }
  llvm::Value* base = s.scalar_sum(address, true);
  s.at_top();
  if (!lane_count(value)) value = s.splat(value);
  llvm::Value* element = s.b.CreateAdd(s.b.CreateMul(base, number(binding.width)), number(copy * s.shape.lanes));
  store(array->dtype, binding.strip, element, value);
}

llvm::Value* Emitter::State::clamped(llvm::Value* index, std::int64_t limit) {
  auto constant = [&](std::int64_t value) { return llvm::ConstantInt::get(index->getType(), static_cast<std::uint64_t>(value), true); };
  llvm::Value* low = b.CreateBinaryIntrinsic(llvm::Intrinsic::smax, index, constant(0));
  return b.CreateBinaryIntrinsic(llvm::Intrinsic::smin, low, constant(std::max<std::int64_t>(0, limit - 1)));
}

// The part of an address that differs between lanes, apart from stride * lane: i64 lanes, or null.
llvm::Value* Emitter::State::lane_offsets(const LinearForm& address, const std::vector<Access::Checked>& checked, int copy, int level,
                                          std::int64_t& stride) {
  llvm::Value* total = nullptr;
  stride = 0;
  auto add = [&](llvm::Value* value, std::int64_t weight) {
    at(level);
    if (weight != 1) value = b.CreateMul(value, llvm::ConstantInt::get(value->getType(), static_cast<std::uint64_t>(weight), true));
    total = total ? b.CreateAdd(total, value) : value;
  };
  for (const IntegerTerm& term : address.terms) {
    if (term.x->op == Op::axis && term.x->axes[0] == lanes.axis)
      stride += term.weight;
    else if (varying(term.x))
      add(integer_operand(term.x, copy, true, 64), term.weight);
  }
  for (const Access::Checked& each : checked) {
    if (!varying(each.index)) continue;
    llvm::Value* index = integer_operand(each.index, copy, true, 64);
    at(level);
    add(clamped(index, each.limit), each.stride);
  }
  return total;
}

llvm::Value* Emitter::State::lanes_inside(llvm::Value* element, std::int64_t count) {
  auto limit = [&](llvm::Value* x) {
    x = b.CreateBinaryIntrinsic(llvm::Intrinsic::smax, x, b.getInt64(0));
    x = b.CreateBinaryIntrinsic(llvm::Intrinsic::smin, x, b.getInt64(static_cast<std::uint64_t>(shape.lanes)));
    return b.CreateTrunc(x, b.getInt32Ty());
  };
  llvm::Value* first = limit(b.CreateNeg(element));
  llvm::Value* last = limit(b.CreateSub(b.getInt64(static_cast<std::uint64_t>(count)), element));
  llvm::SmallVector<std::uint32_t, 16> iota;
  for (int lane = 0; lane < shape.lanes; ++lane) iota.push_back(static_cast<std::uint32_t>(lane));
  llvm::Value* lane = llvm::ConstantDataVector::get(module.getContext(), iota);
  return b.CreateAnd(b.CreateICmpUGE(lane, splat(first)), b.CreateICmpULT(lane, splat(last)));
}

llvm::Value* Emitter::State::read(Expr x, int copy, int level, bool vector, llvm::Value* guard) {
  const Access& access = accesses.of(x);
  bool inside = access.inside || guard;
  DType dtype = access.array->dtype;
  std::int64_t count = element_count(access.array);
  llvm::Type* scalar = storage_llvm_type(module.getContext(), dtype);
  llvm::Type* type = vector ? llvm::FixedVectorType::get(scalar, static_cast<unsigned>(shape.lanes)) : scalar;
  llvm::Align align(static_cast<std::uint64_t>(byte_size(dtype)));
  at(level);
  if (count == 0) return from_storage(b, dtype, llvm::Constant::getNullValue(type));
  auto strip = arrays.find(access.array);
  llvm::Value* pointer = strip != arrays.end() ? strip->second.strip : pointer_to(accesses.buffer(access.array));
  llvm::Value* base = scalar_sum(access.address, true);
  if (strip != arrays.end() && strip->second.width > 0) {
    at(level);
    llvm::Value* element = b.CreateAdd(b.CreateMul(base, b.getInt64(static_cast<std::uint64_t>(strip->second.width))),
                                       b.getInt64(static_cast<std::uint64_t>(copy * shape.lanes)));
    return from_storage(b, dtype, b.CreateAlignedLoad(type, b.CreateGEP(scalar, pointer, element), align));
  }
  for (const Access::Checked& each : access.checked) {
    if (varying(each.index)) continue;
    llvm::Value* index = emit(each.index, 0);
    at(level);
    base = b.CreateAdd(base, b.CreateMul(clamped(index, each.limit), b.getInt64(static_cast<std::uint64_t>(each.stride))));
  }
  if (!vector) {
    at(level);
    if (!access.inside) base = clamped(base, count);
    return from_storage(b, dtype, b.CreateAlignedLoad(scalar, b.CreateGEP(scalar, pointer, base), align));
  }
  std::int64_t stride = 0;
  llvm::Value* rest = lane_offsets(access.address, access.checked, copy, level, stride);
  at(level);
  llvm::Value* start = b.CreateAdd(lanes.base ? lanes.base : b.getInt64(0), b.getInt64(static_cast<std::uint64_t>(copy * shape.lanes)));
  if (stride != 0) base = b.CreateAdd(base, b.CreateMul(start, b.getInt64(static_cast<std::uint64_t>(stride))));
  llvm::Value* mask = lanes.mask;
  if (guard) mask = mask ? b.CreateAnd(mask, guard) : guard;
  if (!rest && stride == 1) {
    if (!inside) {
      llvm::Value* present = lanes_inside(base, count);
      mask = mask ? b.CreateAnd(mask, present) : present;
    }
    llvm::Value* place = b.CreateGEP(scalar, pointer, base);
    llvm::Value* value = mask ? static_cast<llvm::Value*>(b.CreateMaskedLoad(type, place, align, mask, llvm::Constant::getNullValue(type)))
                              : b.CreateAlignedLoad(type, place, align);
    return from_storage(b, dtype, value);
  }
  if (!rest && stride == -1 && inside && !mask) {
    llvm::Value* place = b.CreateGEP(scalar, pointer, b.CreateSub(base, b.getInt64(static_cast<std::uint64_t>(shape.lanes - 1))));
    return from_storage(b, dtype, b.CreateVectorReverse(b.CreateAlignedLoad(type, place, align)));
  }
  llvm::SmallVector<llvm::Constant*, 16> steps;
  for (int lane = 0; lane < shape.lanes; ++lane) steps.push_back(b.getInt64(static_cast<std::uint64_t>(lane * stride)));
  llvm::Value* offsets = llvm::ConstantVector::get(steps);
  if (rest) offsets = b.CreateAdd(offsets, rest);
  if (!inside) {
    offsets = clamped(b.CreateAdd(splat(base), offsets), count);
    base = b.getInt64(0);
  } else if (count <= (std::int64_t{1} << 30)) {  // half the width: the offsets cannot leave the array
    offsets = b.CreateTrunc(offsets, llvm::FixedVectorType::get(b.getInt32Ty(), static_cast<unsigned>(shape.lanes)));
  }
  llvm::Value* places = b.CreateGEP(scalar, b.CreateGEP(scalar, pointer, base), offsets);
  return from_storage(b, dtype, b.CreateMaskedGather(type, places, align, mask, llvm::Constant::getNullValue(type)));
}

void Emitter::emit_checks(Expr owner, int copies) {
  if (owner->op == Op::reduction) return;  // All it has are its body's, which stand in its loops.
  for (std::size_t k = 0; k < state_->accesses.checks(owner).size(); ++k)
    for (int copy = 0; copy < copies; ++copy) state_->check(owner, k, copy);
}

// Stands at the loop of the index and its guard; the first lane that fails is reported, by whoever is first.
void Emitter::State::check(Expr owner, std::size_t k, int copy) {
  const Check& c = accesses.checks(owner)[k];
  bool vector = varying(c.index) || (c.guard && varying(c.guard));
  if (!vector) copy = 0;
  int level = std::max(level_of(c.index), c.guard ? level_of(c.guard) : 0);
  Scope& scope = scopes[static_cast<std::size_t>(level)];
  if (!scope.checked.insert({owner, k, copy}).second) return;
  llvm::Value* index = integer_operand(c.index, copy, vector, 64);
  llvm::Value* guard = c.guard ? operand(c.guard, copy, vector) : nullptr;
  at(level);
  llvm::Value* outside = b.CreateICmpUGE(index, llvm::ConstantInt::get(index->getType(), static_cast<std::uint64_t>(c.limit)));
  if (guard) outside = b.CreateAnd(outside, guard);
  if (vector && lanes.mask) outside = b.CreateAnd(outside, lanes.mask);
  llvm::Value* any = vector ? b.CreateOrReduce(outside) : outside;
  auto block = [&] { return llvm::BasicBlock::Create(module.getContext(), "", function); };
  llvm::BasicBlock *fault = block(), *won = block(), *after = block();
  b.CreateCondBr(any, fault, after);
  b.SetInsertPoint(fault);
  llvm::Value* value = index;
  if (vector) {
    llvm::Value* bits = b.CreateBitCast(outside, b.getIntNTy(static_cast<unsigned>(shape.lanes)));
    llvm::Value* first = b.CreateIntrinsic(llvm::Intrinsic::cttz, {bits->getType()}, {bits, b.getTrue()});
    value = b.CreateExtractElement(index, b.CreateZExt(first, b.getInt64Ty()));
  }
  llvm::Value* record = this->fault;
  llvm::Value* swapped = b.CreateAtomicCmpXchg(record, b.getInt32(0), b.getInt32(static_cast<std::uint32_t>(c.place)), llvm::Align(4),
                                               llvm::AtomicOrdering::AcquireRelease, llvm::AtomicOrdering::Acquire);
  b.CreateCondBr(b.CreateExtractValue(swapped, 1), won, after);
  b.SetInsertPoint(won);
  b.CreateStore(value, b.CreateConstInBoundsGEP1_64(b.getInt8Ty(), record, offsetof(Fault, value)));
  b.CreateStore(b.getInt64(static_cast<std::uint64_t>(c.limit)),
                b.CreateConstInBoundsGEP1_64(b.getInt8Ty(), record, offsetof(Fault, limit)));
  b.CreateBr(after);
  scopes[static_cast<std::size_t>(level)].block = after;
}

}  // namespace heed
