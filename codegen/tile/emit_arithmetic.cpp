// Sums, products and quotients: what stands in outer loops is computed there, products in sums are fused.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "codegen/tile/emitter_state.h"
#include "codegen/tile/math.h"

namespace heed {

// A sum starts with a term that needs no instruction; products in it are fused.
llvm::Value* Emitter::State::linear_real(Expr x, int copy, int level, bool vector) {
  llvm::Type* type = compute_llvm_type(module.getContext(), x->dtype);
  auto constant = [&](double value) -> llvm::Value* {
    llvm::Constant* scalar = llvm::ConstantFP::get(type, value);
    return vector ? llvm::ConstantVector::getSplat(llvm::ElementCount::getFixed(static_cast<unsigned>(shape.lanes)), scalar) : scalar;
  };
  std::vector<std::size_t> order(x->operands.size());
  std::iota(order.begin(), order.end(), 0);
  order_by(order, [&](std::size_t k) { return std::pair(level_of(x->operands[k]), x->weights[k] != 1); });
  llvm::Value* total = x->real != 0 || order.empty() ? constant(x->real) : nullptr;
  for (std::size_t k : order) {
    Expr each = x->operands[k];
    double weight = x->weights[k];
    bool fused = total && each->op == Op::product && each->operands.size() > 1 && level_of(each) == level &&
                 std::all_of(each->weights.begin(), each->weights.end(), [](double power) { return power == 1; }) &&
                 !scopes[static_cast<std::size_t>(level)].memo.contains({each, vector && varying(each) ? copy : 0});
    if (fused) {
      std::vector<Expr> factors = each->operands;
      order_by(factors, [&](Expr factor) { return level_of(factor); });
      llvm::Value* last = operand(factors.back(), copy, vector);
      factors.pop_back();
      std::vector<double> ones(factors.size(), 1.0);
      int rest_level = 0;
      for (Expr factor : factors) rest_level = std::max(rest_level, level_of(factor));
      llvm::Value* rest = product_real(factors, ones, copy, rest_level, vector);
      at(rest_level);
      if (weight != 1) rest = b.CreateFMul(rest, constant(weight));
      at(level);
      total = fma(rest, last, total);
      continue;
    }
    llvm::Value* value = operand(each, copy, vector);
    at(level);
    if (weight == 1)
      total = total ? b.CreateFAdd(total, value) : value;
    else if (weight == -1)
      total = total ? b.CreateFSub(total, value) : b.CreateFNeg(value);
    else
      total = total ? fma(value, constant(weight), total) : b.CreateFMul(value, constant(weight));
  }
  return total;
}

// What does not vary between lanes is added up before, each part at its own loop. Wraps, so partial sums may pass the limits.
llvm::Value* Emitter::State::linear_integer(Expr x, int copy, int level, bool vector) {
  LinearForm uniform{{}, x->integer}, rest;
  for (std::size_t k = 0; k < x->operands.size(); ++k)
    (vector && varying(x->operands[k]) ? rest : uniform).terms.push_back({x->integers[k], x->operands[k]});
  llvm::Value* total = scalar_sum(uniform, false);
  if (!vector) return total;
  int bits = bits_of(x, true);
  at(level);
  total = splat(b.CreateSExtOrTrunc(total, b.getIntNTy(static_cast<unsigned>(bits))));
  for (const IntegerTerm& term : rest.terms) {
    llvm::Value* value = integer_operand(term.x, copy, true, bits);
    at(level);
    if (term.weight != 1)
      value = b.CreateMul(value, llvm::ConstantInt::get(value->getType(), static_cast<std::uint64_t>(term.weight), true));
    total = b.CreateAdd(total, value);
  }
  return total;
}

llvm::Value* Emitter::State::scalar_sum(const LinearForm& form, bool skip_varying) {
  std::vector<IntegerTerm> terms;
  for (const IntegerTerm& term : form.terms)
    if (!skip_varying || !varying(term.x)) terms.push_back(term);
  order_by(terms, [&](const IntegerTerm& term) { return level_of(term.x); });
  llvm::Value* total = b.getInt64(static_cast<std::uint64_t>(form.constant));
  int level = 0;
  for (const IntegerTerm& term : terms) {
    llvm::Value* value = emit(term.x, 0);
    level = std::max(level, level_of(term.x));
    at(level);
    if (term.weight != 1) value = b.CreateMul(value, b.getInt64(static_cast<std::uint64_t>(term.weight)));
    total = b.CreateAdd(total, value);
  }
  return total;
}

namespace {

// x ** power, power > 0.
llvm::Value* raised(Emitter::State& s, llvm::Value* x, double power) {
  llvm::IRBuilderBase& b = s.b;
  double whole = std::floor(power);
  if (whole > 64 || (power != whole && power != whole + 0.5)) return emit_power(b, x, llvm::ConstantFP::get(x->getType(), power));
  llvm::Value* result = power == whole ? nullptr : b.CreateUnaryIntrinsic(llvm::Intrinsic::sqrt, x);
  for (auto n = static_cast<std::int64_t>(whole); n > 0; n /= 2) {
    if (n % 2) result = result ? b.CreateFMul(result, x) : x;
    if (n > 1) x = b.CreateFMul(x, x);
  }
  return result;
}

}  // namespace

// Factors are multiplied in the order of the loops they belong to. A divisor of an outer loop is inverted there once.
llvm::Value* Emitter::State::product_real(std::span<const Expr> operands, std::span<const double> weights, int copy, int level,
                                          bool vector) {
  std::vector<std::size_t> order(operands.size());
  std::iota(order.begin(), order.end(), 0);
  order_by(order, [&](std::size_t k) { return level_of(operands[k]); });
  llvm::Value *total = nullptr, *divisor = nullptr;
  int at_level = 0;
  for (std::size_t k : order) {
    Expr each = operands[k];
    bool wide = vector && varying(each);
    int own = level_of(each);
    at_level = std::max(at_level, own);
    llvm::Value* value = operand(each, copy, wide);
    if (weights[k] < 0 && own < level) {
      auto& known = scopes[static_cast<std::size_t>(own)].reciprocals[{each, weights[k], wide ? copy : 0}];
      if (!known) {
        at(own);
        known = b.CreateFDiv(llvm::ConstantFP::get(value->getType(), 1.0), raised(*this, value, -weights[k]));
      }
      value = known;
    } else if (weights[k] < 0) {
      at(level);
      value = raised(*this, value, -weights[k]);
      if (divisor && lane_count(divisor) != lane_count(value))
        (lane_count(divisor) ? value : divisor) = splat(lane_count(divisor) ? value : divisor);
      divisor = divisor ? b.CreateFMul(divisor, value) : value;
      continue;
    } else if (weights[k] != 1) {
      at(own);
      value = raised(*this, value, weights[k]);
    }
    at(at_level);
    if (total && lane_count(total) != lane_count(value)) (lane_count(total) ? value : total) = splat(lane_count(total) ? value : total);
    total = total ? b.CreateFMul(total, value) : value;
  }
  at(level);
  if (vector && total && !lane_count(total)) total = splat(total);
  if (!divisor) return total;
  if (vector && !lane_count(divisor)) divisor = splat(divisor);
  return b.CreateFDiv(total ? total : llvm::ConstantFP::get(divisor->getType(), 1.0), divisor);
}

llvm::Value* Emitter::State::product_integer(Expr x, int copy, int level, bool vector) {
  int bits = bits_of(x, vector);
  llvm::Value* total = nullptr;
  for (std::size_t k = 0; k < x->operands.size(); ++k) {
    llvm::Value* value = integer_operand(x->operands[k], copy, vector, bits);
    at(level);
    for (auto n = static_cast<std::int64_t>(x->weights[k]); n > 0; n /= 2) {
      if (n % 2) total = total ? b.CreateMul(total, value) : value;
      if (n > 1) value = b.CreateMul(value, value);
    }
  }
  return total;
}

// Quotient and remainder, floored, by a constant.
llvm::Value* Emitter::State::divided(Expr x, int copy, int level, bool vector) {
  Expr of = x->operands[0];
  int bits = x->integer >> 31 ? 64 : bits_of(of, vector);
  llvm::Value* a = integer_operand(of, copy, vector, bits);
  Interval range = intervals.of(of);
  at(level);
  auto constant = [&](std::int64_t value) { return llvm::ConstantInt::get(a->getType(), static_cast<std::uint64_t>(value), true); };
  std::int64_t n = x->integer;
  llvm::Value* result;
  if ((n & (n - 1)) == 0) {
    std::int64_t shift = 0;
    while ((std::int64_t{1} << shift) < n) ++shift;
    result = x->op == Op::quotient ? b.CreateAShr(a, constant(shift)) : b.CreateAnd(a, constant(n - 1));
  } else if (range.low >= 0) {
    result = x->op == Op::quotient ? b.CreateUDiv(a, constant(n)) : b.CreateURem(a, constant(n));
  } else {
    llvm::Value* quotient = b.CreateSDiv(a, constant(n));
    llvm::Value* rest = b.CreateSub(a, b.CreateMul(quotient, constant(n)));
    llvm::Value* below = b.CreateICmpSLT(rest, constant(0));
    result = x->op == Op::quotient ? b.CreateSub(quotient, b.CreateZExt(below, a->getType()))
                                   : b.CreateSelect(below, b.CreateAdd(rest, constant(n)), rest);
  }
  int wanted = bits_of(x, vector);
  if (wanted == bits) return result;
  llvm::Type* type = b.getIntNTy(static_cast<unsigned>(wanted));
  if (vector) type = llvm::FixedVectorType::get(type, static_cast<unsigned>(shape.lanes));
  return b.CreateSExtOrTrunc(result, type);
}

}  // namespace heed
