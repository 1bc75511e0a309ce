// One sequence of instructions for each kind of node, in scalar code.
#include "codegen/cuda/register_values.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "codegen/cuda/builtins.h"
#include "codegen/tile/emitter_state.h"
#include "codegen/tile/math.h"
#include "ir/function.h"

namespace heed {

namespace {

constexpr double log2_of_e = 1.4426950408889634;
constexpr double most_shift = 0x1p120;               // of an exponent: no sum of it and a score is undefined
constexpr std::int64_t exact_integers = 1 << 23;     // in f32, also with an element's constant
constexpr std::int64_t far = std::int64_t{1} << 30;  // indices below need 32 bits, also with an element's constant

bool is_near(Interval range) { return range.low > -far && range.high < far; }

}  // namespace

void RegisterValues::bind_axis(AxisRef axis, llvm::Value* base) { axes_[axis] = base; }

void RegisterValues::set_end(AxisRef axis, std::int64_t end) { ends_[axis] = end; }

void RegisterValues::bind(ArrayRef stand_in, std::vector<llvm::Value*> values, int columns) {
  bound_[stand_in] = {std::move(values), columns};
}

bool RegisterValues::is_unit(AxisRef axis) const { return std::ranges::find(program_.units, axis) != program_.units.end(); }

std::int64_t RegisterValues::constant_of(AxisRef axis, int r, int c) const {
  const int element = is_row(axis) ? r : c;
  if (is_unit(axis) || element < 0) return 0;
  return is_row(axis) ? fragment::row_of(r) : fragment::column_of(c);
}

llvm::Value* RegisterValues::inside(AxisRef axis, int r, int c) {
  auto found = ends_.find(axis);
  if (found == ends_.end() || found->second == 0) return nullptr;
  const std::int64_t constant = constant_of(axis, r, c);
  llvm::Value*& known = insides_[{axis, is_row(axis) ? r : -1, is_row(axis) ? -1 : c}];
  if (!known) known = b_.CreateICmpSLT(axes_.at(axis), b_.getInt32(static_cast<std::uint32_t>(found->second - constant)));
  return known;
}

unsigned RegisterValues::bits_of(Expr x) {
  const Interval range = intervals_.of(x);
  return is_near(range) || (x->op == Op::read && fits_32_bits(range)) ? 32 : 64;
}

llvm::Value* RegisterValues::value(Expr x, int r, int c) {
  bool has_row = false, has_column = false;
  for (AxisRef axis : x->free) {
    has_row |= is_row(axis);
    has_column |= !is_row(axis) && !is_unit(axis);
  }
  if (!has_row) r = -1;
  if (!has_column) c = -1;
  if (auto found = known_.find({x, r, c}); found != known_.end()) return found->second;
  auto vector = vectors_.find({x, false});
  llvm::Value* made = vector != vectors_.end() ? of_vector(vector->second, {x, false, vector->second.is_start}, 0, c) : compute(x, r, c);
  known_[{x, r, c}] = made;
  return made;
}

llvm::Value* RegisterValues::integer(Expr x, int r, int c, unsigned bits) {
  llvm::Value* made = value(x, r, c);
  return b_.CreateSExtOrTrunc(made, b_.getIntNTy(bits));
}

// Terms that are axes are a base of the thread, which all elements share, and a constant.
RegisterValues::Sum RegisterValues::sum_of(const std::vector<IntegerTerm>& terms, std::int64_t constant, int r, int c, unsigned bits) {
  llvm::Type* type = b_.getIntNTy(bits);
  std::vector<std::pair<std::int64_t, AxisRef>> own;
  llvm::Value* rest = nullptr;
  auto weighted = [&](llvm::Value* x, std::int64_t weight) {
    return weight == 1 ? x : b_.CreateMul(x, llvm::ConstantInt::get(type, static_cast<std::uint64_t>(weight), true));
  };
  for (const IntegerTerm& term : terms) {
    if (term.x->op == Op::axis) {
      own.emplace_back(term.weight, term.x->axes[0]);
      constant += term.weight * constant_of(term.x->axes[0], r, c);
    } else {
      llvm::Value* next = weighted(integer(term.x, r, c, bits), term.weight);
      rest = rest ? b_.CreateAdd(rest, next) : next;
    }
  }
  llvm::Value*& base = bases_[{own, bits}];
  if (!base) {
    for (const auto& [weight, axis] : own) {
      llvm::Value* next = weighted(b_.CreateSExtOrTrunc(axes_.at(axis), type), weight);
      base = base ? b_.CreateAdd(base, next) : next;
    }
    if (!base) base = llvm::ConstantInt::get(type, 0);
  }
  return {rest ? b_.CreateAdd(base, rest) : base, constant};
}

std::optional<RegisterValues::Sum> RegisterValues::sum_of(Expr x, int r, int c, unsigned bits) {
  std::vector<IntegerTerm> terms;
  if (x->op == Op::axis) {
    terms.push_back({1, x});
  } else if (x->op == Op::linear) {
    for (std::size_t k = 0; k < x->operands.size(); ++k) terms.push_back({x->integers[k], x->operands[k]});
  } else {
    return {};
  }
  return sum_of(terms, x->op == Op::linear ? x->integer : 0, r, c, bits);
}

llvm::Value* RegisterValues::address(const LinearForm& form, int r, int c) {
  Sum sum = sum_of(form.terms, form.constant, r, c, 64);
  return b_.CreateAdd(sum.base, b_.getInt64(static_cast<std::uint64_t>(sum.constant)));
}

llvm::Value* RegisterValues::compute(Expr x, int r, int c) {
  switch (x->op) {
    case Op::constant:
      if (x->dtype == DType::boolean) return b_.getInt1(x->integer != 0);
      if (x->dtype == DType::i64) return llvm::ConstantInt::get(b_.getIntNTy(bits_of(x)), static_cast<std::uint64_t>(x->integer), true);
      return real(x->real);
    case Op::axis:
    case Op::linear: {
      if (x->dtype != DType::i64) return linear(x, r, c);
      Sum sum = *sum_of(x, r, c, bits_of(x));
      return b_.CreateAdd(sum.base, llvm::ConstantInt::get(sum.base->getType(), static_cast<std::uint64_t>(sum.constant), true));
    }
    case Op::product:
      return product(x, r, c);
    case Op::function:
      return call(x, r, c);
    case Op::cast:
      return converted(x, r, c);
    case Op::quotient:
    case Op::remainder:
      return divided(x, r, c);
    case Op::at_least_zero:
    case Op::is_zero: {
      Expr of = x->operands[0];
      if (llvm::Value* compared = difference_compared(x, r, c)) return compared;
      const unsigned bits = bits_of(of);
      Sum sum = sum_of(of, r, c, bits).value_or(Sum{nullptr, 0});
      if (!sum.base) sum.base = value(of, r, c);
      llvm::Value* limit = llvm::ConstantInt::get(sum.base->getType(), static_cast<std::uint64_t>(-sum.constant), true);
      return x->op == Op::is_zero ? b_.CreateICmpEQ(sum.base, limit) : b_.CreateICmpSGE(sum.base, limit);
    }
    case Op::at_least:
      return b_.CreateFCmpOGE(value(x->operands[0], r, c), value(x->operands[1], r, c));
    case Op::greater:
      return b_.CreateFCmpOGT(value(x->operands[0], r, c), value(x->operands[1], r, c));
    case Op::equal:
      return b_.CreateFCmpOEQ(value(x->operands[0], r, c), value(x->operands[1], r, c));
    case Op::both: {
      llvm::Value* all = nullptr;
      for (Expr each : x->operands) {
        llvm::Value* next = value(each, r, c);
        all = all ? b_.CreateAnd(all, next) : next;
      }
      return all;
    }
    case Op::negation:
      return b_.CreateNot(value(x->operands[0], r, c));
    case Op::select: {
      llvm::Value* condition = value(x->operands[0], r, c);
      if (x->dtype != DType::i64) return b_.CreateSelect(condition, value(x->operands[1], r, c), value(x->operands[2], r, c));
      const unsigned bits = bits_of(x);
      return b_.CreateSelect(condition, integer(x->operands[1], r, c, bits), integer(x->operands[2], r, c, bits));
    }
    case Op::read:
      return read(x, r, c);
    case Op::reduction:
      break;
  }
  throw std::logic_error("registers: a node that no program has");
}

// Of two values of 32 bits whose difference may need more.
llvm::Value* RegisterValues::difference_compared(Expr x, int r, int c) {
  Expr of = x->operands[0];
  if (of->op != Op::linear || of->operands.size() != 2 || of->integer != 0 || std::abs(of->integers[0]) != 1 ||
      of->integers[0] != -of->integers[1] || is_near(intervals_.of(of)))
    return nullptr;
  const std::size_t plus = of->integers[0] == 1 ? 0 : 1;
  unsigned bits = 32;
  for (Expr each : of->operands)
    if (!fits_32_bits(intervals_.of(each))) bits = 64;
  llvm::Value *a = integer(of->operands[plus], r, c, bits), *z = integer(of->operands[1 - plus], r, c, bits);
  return x->op == Op::is_zero ? b_.CreateICmpEQ(a, z) : b_.CreateICmpSGE(a, z);
}

bool RegisterValues::has_columns(Expr x) const {
  return std::ranges::any_of(x->free, [&](AxisRef axis) { return !is_row(axis) && !is_unit(axis); });
}

llvm::Value* RegisterValues::linear(Expr x, int r, int c) {
  llvm::Value* total = x->real != 0 || x->operands.empty() ? real(x->real) : nullptr;
  // Terms of fewer axes first: they are shared, and what comes last is fused.
  std::vector<std::size_t> order(x->operands.size());
  for (std::size_t k = 0; k < order.size(); ++k) order[k] = k;
  std::ranges::sort(order, {}, [&](std::size_t k) { return std::tuple(has_columns(x->operands[k]), x->weights[k] != 1, k); });
  for (std::size_t k : order) {
    llvm::Value* term = value(x->operands[k], r, c);
    const double weight = x->weights[k];
    if (!total)
      total = weight == 1 ? term : weight == -1 ? b_.CreateFNeg(term) : b_.CreateFMul(term, real(weight));
    else if (weight == 1)
      total = b_.CreateFAdd(total, term);
    else if (weight == -1)
      total = b_.CreateFSub(total, term);
    else
      total = fused(term, real(weight), total);
  }
  return total;
}

// x * f32(base + constant), where x is the same for all elements: they share x * f32(base).
llvm::Value* RegisterValues::times_integer(Expr x, int r, int c) {
  if (x->dtype != DType::f32 || x->operands.size() != 2 || x->weights[0] != 1 || x->weights[1] != 1) return nullptr;
  for (std::size_t k : {0, 1}) {
    Expr number = x->operands[k], other = x->operands[1 - k];
    const bool is_uniform = std::ranges::all_of(other->free, [&](AxisRef axis) { return is_unit(axis); });
    if (number->op != Op::cast || number->to != DType::f32 || !is_uniform) continue;
    std::optional<Sum> sum = exact_sum(number->operands[0], r, c);
    if (!sum || sum->constant == 0) continue;
    llvm::Value* factor = value(other, r, c);
    llvm::Value* base = b_.CreateFMul(b_.CreateSIToFP(sum->base, b_.getFloatTy()), factor);
    return fused(factor, real(static_cast<double>(sum->constant)), base);
  }
  return nullptr;
}

// Of what is exact in f32.
std::optional<RegisterValues::Sum> RegisterValues::exact_sum(Expr x, int r, int c) {
  if (x->dtype != DType::i64) return {};
  const Interval range = intervals_.of(x);
  return range.low > -exact_integers && range.high < exact_integers ? sum_of(x, r, c, 32) : std::nullopt;
}

llvm::Value* RegisterValues::product(Expr x, int r, int c) {
  if (llvm::Value* made = times_integer(x, r, c)) return made;
  llvm::Value* total = nullptr;
  std::vector<std::size_t> order(x->operands.size());
  for (std::size_t k = 0; k < order.size(); ++k) order[k] = k;
  std::ranges::sort(order, {}, [&](std::size_t k) { return std::pair(x->operands[k]->free.size(), k); });
  for (std::size_t k : order) {
    const double power = x->weights[k];
    if (x->dtype == DType::i64) {
      llvm::Value* factor = integer(x->operands[k], r, c, bits_of(x));
      for (int n = 0; n < static_cast<int>(power); ++n) total = total ? b_.CreateMul(total, factor) : factor;
      continue;
    }
    llvm::Value* factor = value(x->operands[k], r, c);
    const double size = std::abs(power);
    if (size == 0.5)
      factor = b_.CreateUnaryIntrinsic(llvm::Intrinsic::sqrt, factor);
    else if (size != 1 && size != 2)
      factor = emit_power(b_, factor, real(size));
    if (power < 0) factor = reciprocal(b_, factor);
    if (size == 2) factor = b_.CreateFMul(factor, factor);  // after that: others may need the reciprocal
    total = total ? b_.CreateFMul(total, factor) : factor;
  }
  return total;
}

llvm::Value* RegisterValues::divided(Expr x, int r, int c) {
  Expr of = x->operands[0];
  const unsigned bits = x->integer >= far ? 64 : bits_of(of);
  llvm::Value* a = integer(of, r, c, bits);
  auto constant = [&](std::int64_t number) { return llvm::ConstantInt::get(a->getType(), static_cast<std::uint64_t>(number), true); };
  llvm::Value* quotient = b_.CreateSDiv(a, constant(x->integer));
  llvm::Value* rest = b_.CreateSub(a, b_.CreateMul(quotient, constant(x->integer)));
  if (intervals_.of(of).low < 0) {
    llvm::Value* below = b_.CreateICmpSLT(rest, constant(0));
    quotient = b_.CreateSub(quotient, b_.CreateZExt(below, a->getType()));
    rest = b_.CreateSelect(below, b_.CreateAdd(rest, constant(x->integer)), rest);
  }
  return b_.CreateSExtOrTrunc(x->op == Op::quotient ? quotient : rest, b_.getIntNTy(bits_of(x)));
}

llvm::Value* RegisterValues::converted(Expr x, int r, int c) {
  Expr of = x->operands[0];
  const bool from_real = is_floating(of->dtype), from_integer = of->dtype == DType::i64;
  if (is_floating(x->to)) {
    if (from_integer) {
      if (std::optional<Sum> sum = exact_sum(of, r, c); sum && x->to == DType::f32) {
        llvm::Value* base = b_.CreateSIToFP(sum->base, b_.getFloatTy());  // elements share it
        return sum->constant == 0 ? base : b_.CreateFAdd(base, real(static_cast<double>(sum->constant)));
      }
    }
    llvm::Value* made = value(of, r, c);
    if (!from_real) made = from_integer ? b_.CreateSIToFP(made, b_.getFloatTy()) : b_.CreateUIToFP(made, b_.getFloatTy());
    return from_storage(b_, x->to, to_storage(b_, x->to, made, false));
  }
  llvm::Value* made = value(of, r, c);
  if (x->to == DType::boolean) {
    if (from_real) return b_.CreateFCmpUNE(made, real(0));
    return from_integer ? b_.CreateICmpNE(made, llvm::Constant::getNullValue(made->getType())) : made;
  }
  llvm::Type* type = b_.getIntNTy(bits_of(x));
  if (from_real) made = b_.CreateIntrinsic(llvm::Intrinsic::fptosi_sat, {b_.getInt64Ty(), made->getType()}, {made});
  if (!from_real && !from_integer) return b_.CreateZExt(made, type);
  if (x->to != DType::i64) {
    made = b_.CreateSExtOrTrunc(made, b_.getInt64Ty());
    llvm::Value* narrow = b_.CreateTrunc(made, storage_llvm_type(b_.getContext(), x->to));
    return x->to == DType::u8 ? b_.CreateZExt(narrow, type) : b_.CreateSExtOrTrunc(narrow, type);
  }
  return b_.CreateSExtOrTrunc(made, type);
}

// factor * x, where the weights of a sum take the factor up.
llvm::Value* RegisterValues::scaled(Expr x, double factor, int r, int c) {
  if (x->op != Op::linear) return b_.CreateFMul(value(x, r, c), real(factor));
  if (x->operands.size() == 2 && x->real == 0 && x->weights[0] == -x->weights[1])  // exact where both are as far as f32 goes
    return b_.CreateFMul(b_.CreateFSub(value(x->operands[0], r, c), value(x->operands[1], r, c)), real(x->weights[0] * factor));
  llvm::Value* total = x->real != 0 ? real(x->real * factor) : nullptr;
  std::vector<std::size_t> order(x->operands.size());
  for (std::size_t k = 0; k < order.size(); ++k) order[k] = k;
  std::ranges::sort(order, {}, [&](std::size_t k) { return std::pair(x->weights[k] > 0, k); });  // what is subtracted is shared
  for (std::size_t k : order) {
    llvm::Value *term = value(x->operands[k], r, c), *weight = real(x->weights[k] * factor);
    total = total ? fused(term, weight, total) : b_.CreateFMul(term, weight);
  }
  return total;
}

llvm::Value* RegisterValues::fused(llvm::Value* x, llvm::Value* y, llvm::Value* z) {
  return b_.CreateIntrinsic(llvm::Intrinsic::fma, {x->getType()}, {x, y, z});
}

llvm::Value* RegisterValues::exponential(Expr x, int r, int c) {
  const Exponent* parts = accesses_.exponent(x);
  if (!parts) return power_of_two(b_, scaled(x->operands[0], log2_of_e, r, c));
  llvm::Value* inner = value(parts->inner, r, c);
  llvm::Value* weight = real(parts->weight * log2_of_e);
  if (is_constant(parts->outer, 0)) return power_of_two(b_, b_.CreateFMul(inner, weight));
  return power_of_two(b_, fused(inner, weight, shift(parts->outer, r, c)));
}

// By the row, or the column: where a maximum is of no column yet the shift is the lowest value, which a weight above one would make
// infinite.
llvm::Value* RegisterValues::shift(Expr outer, int r, int c) {
  const bool by_column = has_columns(outer);
  const std::tuple key{outer, by_column ? -2 : r, by_column ? c : -2};
  if (auto found = known_.find(key); found != known_.end()) return found->second;
  llvm::Value* made = nullptr;
  if (auto vector = vectors_.find({outer, true}); vector != vectors_.end()) {
    made = of_vector(vector->second, {outer, true}, 0, c);
  } else {
    made = scaled(outer, log2_of_e, r, c);
    const bool is_small = outer->op == Op::linear && outer->operands.size() == 1 && std::abs(outer->weights[0] * log2_of_e) <= 1;
    if (!is_small) made = b_.CreateBinaryIntrinsic(llvm::Intrinsic::minimum, made, real(most_shift));
  }
  return known_[key] = made;
}

llvm::Value* RegisterValues::call(Expr x, int r, int c) {
  const ScalarFunction& f = *x->function;
  if (&f == &functions::stop_gradient || &f == &functions::straight_through) return value(x->operands[0], r, c);
  if (&f == &functions::random_uniform) {
    llvm::Value *key = integer(x->operands[0], r, c, 64), *word = integer(x->operands[1], r, c, 64);
    llvm::Type* half = b_.getInt32Ty();
    llvm::Value* high = b_.CreateTrunc(b_.CreateLShr(b_.CreateXor(key, word), 32), half);
    return emit_random_uniform(b_, b_.CreateTrunc(key, half), b_.CreateTrunc(word, half), high);
  }
  std::vector<llvm::Value*> arguments;
  const bool integers = x->operands[0]->dtype == DType::i64;
  for (Expr argument : x->operands) arguments.push_back(integers ? integer(argument, r, c, 64) : value(argument, r, c));
  if (integers) {
    llvm::Value* made = emit_integer_function(b_, f.name, arguments);
    return x->dtype == DType::i64 ? b_.CreateTrunc(made, b_.getIntNTy(bits_of(x))) : made;
  }
  if (&f == &functions::exp) return exponential(x, r, c);
  if (&f == &functions::maximum) return b_.CreateBinaryIntrinsic(llvm::Intrinsic::maximum, arguments[0], arguments[1]);
  if (f.name == "tanh") return hyperbolic_tangent(b_, arguments[0]);
  if (&f == &functions::reciprocal_or_zero)
    return b_.CreateSelect(b_.CreateFCmpOEQ(arguments[0], real(0)), real(0), reciprocal(b_, arguments[0]));
  return emit_function(b_, f.name, arguments, true);
}

llvm::Value* RegisterValues::read(Expr x, int r, int c) {
  if (auto found = bound_.find(x->array); found != bound_.end()) {
    const auto& [values, columns] = found->second;
    return values[static_cast<std::size_t>(columns == 0 ? r : r * columns + c)];
  }
  if (Expr named = accesses_.named(x->array)) return value(named, r, c);
  if (accesses_.is_stand_in(x->array)) throw std::logic_error("registers: a value is read before it is made: " + x->array->name);
  llvm::Value* element = address(accesses_.address(x), r, c);
  for (AxisRef axis : x->free)
    if (!is_unit(axis))
      if (llvm::Value* exists = inside(axis, r, c)) element = b_.CreateSelect(exists, element, b_.getInt64(0));
  const DType dtype = x->array->dtype;
  llvm::Type* type = storage_llvm_type(b_.getContext(), dtype);
  auto* loaded =
      b_.CreateAlignedLoad(type, b_.CreateGEP(type, buffer(x->array), element), llvm::Align(static_cast<std::uint64_t>(byte_size(dtype))));
  llvm::Value* made = from_storage(b_, dtype, loaded);
  return x->dtype == DType::i64 ? b_.CreateSExtOrTrunc(made, b_.getIntNTy(bits_of(x))) : made;
}

}  // namespace heed
