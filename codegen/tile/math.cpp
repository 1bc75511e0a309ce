// Polynomials are Cephes', Juffa's (single precision) and minimax fits; ranges are reduced so that no branch is needed.
#include "codegen/tile/math.h"

#include <fmt/format.h>
#include <llvm/IR/IRBuilder.h>
#include <llvm/IR/Module.h>

#include <array>
#include <limits>
#include <numbers>
#include <stdexcept>

namespace heed {
namespace {

using Value = llvm::Value;
constexpr double infinity = std::numeric_limits<double>::infinity();

unsigned lanes_of(Value* x) {
  auto* vector = llvm::dyn_cast<llvm::FixedVectorType>(x->getType());
  return vector ? vector->getNumElements() : 0;
}
llvm::Type* like(Value* x, llvm::Type* scalar) { return lanes_of(x) ? llvm::FixedVectorType::get(scalar, lanes_of(x)) : scalar; }

// What the formulas are written with.
struct Math {
  llvm::IRBuilderBase& b;
  bool has_fma;

  Value* constant(Value* x, double value) { return llvm::ConstantFP::get(x->getType(), value); }
  Value* bits(Value* x, std::uint32_t value) { return llvm::ConstantInt::get(like(x, b.getInt32Ty()), value); }
  Value* as_bits(Value* x) { return b.CreateBitCast(x, like(x, b.getInt32Ty())); }
  Value* as_real(Value* x) { return b.CreateBitCast(x, like(x, b.getFloatTy())); }
  Value* fma(Value* x, Value* y, Value* z) {
    if (!has_fma) return b.CreateFAdd(b.CreateFMul(x, y), z);
    return b.CreateIntrinsic(llvm::Intrinsic::fma, {x->getType()}, {x, y, z});
  }
  Value* fma(Value* x, double y, Value* z) { return fma(x, constant(x, y), z); }
  Value* fma(Value* x, Value* y, double z) { return fma(x, y, constant(x, z)); }
  Value* times(Value* x, double y) { return b.CreateFMul(x, constant(x, y)); }
  Value* plus(Value* x, double y) { return b.CreateFAdd(x, constant(x, y)); }
  Value* polynomial(Value* x, std::span<const double> coefficients) {  // highest first
    Value* sum = constant(x, coefficients[0]);
    for (double each : coefficients.subspan(1)) sum = fma(sum, x, each);
    return sum;
  }
  Value* below(Value* x, double limit, Value* yes, Value* no) { return b.CreateSelect(b.CreateFCmpOLT(x, constant(x, limit)), yes, no); }
  Value* absolute(Value* x) { return b.CreateUnaryIntrinsic(llvm::Intrinsic::fabs, x); }
  Value* with_sign_of(Value* x, Value* sign) { return b.CreateBinaryIntrinsic(llvm::Intrinsic::copysign, x, sign); }

  // Adding this number leaves the nearest whole one in the low bits; no conversion that is undefined for NaN.
  static constexpr double magic = 12582912.0;

  Value* exp(Value* x) {
    Value* y = b.CreateSelect(b.CreateFCmpOLT(x, constant(x, -87.33654)), constant(x, -87.33654), x);
    y = b.CreateSelect(b.CreateFCmpOGT(y, constant(x, 88.8)), constant(x, 88.8), y);
    Value* shifted = fma(y, std::numbers::log2e, constant(x, magic));
    Value* n = plus(shifted, -magic);
    Value* r = fma(n, -0.693145751953125, y);
    r = fma(n, -1.42860682030941723e-6, r);
    constexpr std::array twice{2 * 0.0013814464964398594,
                               2 * 0.008368780844002263,
                               2 * 0.04166839427189143,
                               2 * 0.16666520103715662,
                               2 * 0.49999993412160715,
                               2.0,
                               2.0};
    Value* scale = as_real(b.CreateShl(b.CreateAdd(as_bits(shifted), bits(x, 126U - 0x4B400000U)), bits(x, 23)));  // 2^(n - 1)
    return b.CreateFMul(polynomial(r, twice), scale);
  }

  Value* log(Value* x) {
    Value* word = b.CreateSub(as_bits(x), bits(x, 0x3F3504F3));
    Value* exponent = b.CreateAShr(word, bits(x, 23));
    Value* m = as_real(b.CreateSub(as_bits(x), b.CreateShl(exponent, bits(x, 23))));
    Value* e = b.CreateSIToFP(exponent, x->getType());
    Value* f = plus(m, -1);
    Value* z = b.CreateFMul(f, f);
    constexpr std::array c{7.0376836292e-2,  -1.1514610310e-1, 1.1676998740e-1,  -1.2420140846e-1, 1.4249322787e-1,
                           -1.6668057665e-1, 2.0000714765e-1,  -2.4999993993e-1, 3.3333331174e-1};
    Value* y = b.CreateFMul(b.CreateFMul(polynomial(f, c), f), z);
    y = fma(e, -2.12194440e-4, y);
    y = fma(z, -0.5, y);
    y = fma(e, 0.693359375, b.CreateFAdd(f, y));
    y = b.CreateSelect(b.CreateFCmpOEQ(x, constant(x, infinity)), x, y);
    y = below(x, 0x1p-126, constant(x, -infinity), y);
    return b.CreateSelect(b.CreateFCmpULT(x, constant(x, 0)), constant(x, std::numeric_limits<double>::quiet_NaN()), y);
  }

  Value* log1p(Value* x) {
    Value* u = plus(x, 1);
    Value* lost = b.CreateFDiv(b.CreateFSub(x, plus(u, -1)), u);
    Value* finite = b.CreateAnd(b.CreateFCmpOGT(u, constant(x, 0)), b.CreateFCmpOLT(u, constant(x, infinity)));
    Value* y = b.CreateFAdd(log(u), b.CreateSelect(finite, lost, constant(x, 0)));
    return below(absolute(x), 0x1p-24, x, y);
  }

  Value* expm1(Value* x) {
    constexpr std::array c{0.00019849807750176542, 0.0013996177781924232, 0.008333579051010837,
                           0.04166535855621758,    0.16666663985311356,   0.500000038534018};
    Value* small = fma(b.CreateFMul(x, x), polynomial(x, c), x);
    return below(absolute(x), 0.5, small, plus(exp(x), -1));
  }

  // By d = exp(2 |x|) - 1, exact also where it is small, as d / (d + 2). Of the exponent to base 2, the whole part scales and the rest goes
  // through a polynomial: 2^r - 1, fitted for |r| <= 1/2. From 9.36 on the result is 1.
  Value* tanh(Value* x) {
    Value* y = times(absolute(x), 2 * std::numbers::log2e);
    y = b.CreateSelect(b.CreateFCmpOGT(y, constant(x, 27)), constant(x, 27), y);
    Value* shifted = plus(y, magic);
    Value* r = b.CreateFSub(y, plus(shifted, -magic));
    constexpr std::array c{0.00014953153312799192, 0.0013371538375023838, 0.00961935238248849,
                           0.05550410735531211,    0.24022650664499298,   0.6931471805599785};
    Value* scale = as_real(b.CreateShl(b.CreateAdd(as_bits(shifted), bits(x, 127U - 0x4B400000U)), bits(x, 23)));  // 2^(y - r)
    Value* d = fma(scale, b.CreateFMul(polynomial(r, c), r), plus(scale, -1));
    return with_sign_of(b.CreateFDiv(d, plus(d, 2)), x);
  }

  Value* erf(Value* x) {
    Value* a = absolute(x);
    Value* s = b.CreateFMul(x, x);
    constexpr std::array near{-5.96761703e-4, 4.99119423e-3, -2.67681349e-2, 1.12819925e-1, -3.76125336e-1, 1.28379166e-1};
    Value* small = fma(polynomial(s, near), x, x);
    constexpr std::array far{-1.72853470e-5, 3.83197126e-4, -3.88396438e-3, 2.42546219e-2, -1.06777877e-1, -6.34846687e-1, -1.28717512e-1};
    Value* r = fma(polynomial(a, far), a, b.CreateFNeg(a));
    Value* large = with_sign_of(b.CreateFSub(constant(x, 1), exp(r)), x);
    large = b.CreateSelect(b.CreateFCmpUNO(x, x), x, large);
    return below(a, 0.927734375, small, large);
  }

  // Sine and cosine of x. The argument is reduced in f64, which is exact enough for every f32 whose sine means anything.
  std::pair<Value*, Value*> sine_cosine(Value* x) {
    llvm::Type* wide = like(x, b.getDoubleTy());
    Value* exact = b.CreateFPExt(x, wide);
    Value* quarter = b.CreateUnaryIntrinsic(llvm::Intrinsic::rint, times(exact, 2 * std::numbers::inv_pi));
    Value* r = fma(quarter, -0x1.921fb54442d18p0, exact);
    r = b.CreateFPTrunc(fma(quarter, -0x1.1a62633145c07p-54, r), x->getType());
    Value* turn = b.CreateFSub(quarter, times(b.CreateUnaryIntrinsic(llvm::Intrinsic::floor, times(quarter, 0.25)), 4));  // 0 … 3
    Value* z = b.CreateFMul(r, r);
    constexpr std::array odd{-1.9515295891e-4, 8.3321608736e-3, -1.6666654611e-1};
    constexpr std::array even{2.443315711809948e-5, -1.388731625493765e-3, 4.166664568298827e-2};
    Value* sine = fma(b.CreateFMul(polynomial(z, odd), z), r, r);
    Value* cosine = plus(fma(z, -0.5, b.CreateFMul(b.CreateFMul(polynomial(z, even), z), z)), 1);
    auto is = [&](double quarters) { return b.CreateFCmpOEQ(turn, constant(turn, quarters)); };
    Value* swapped = b.CreateOr(is(1), is(3));
    Value* sine_negative = b.CreateOr(is(2), is(3));
    Value* cosine_negative = b.CreateOr(is(1), is(2));
    Value* out_sine = b.CreateSelect(swapped, cosine, sine);
    Value* out_cosine = b.CreateSelect(swapped, sine, cosine);
    return {b.CreateSelect(sine_negative, b.CreateFNeg(out_sine), out_sine),
            b.CreateSelect(cosine_negative, b.CreateFNeg(out_cosine), out_cosine)};
  }

  // A function of the C library, in f64, for each lane.
  Value* library(const std::string& name, std::span<Value* const> arguments) {
    llvm::Module& module = *b.GetInsertBlock()->getModule();
    std::vector<llvm::Type*> types(arguments.size(), b.getDoubleTy());
    auto callee = module.getOrInsertFunction(name, llvm::FunctionType::get(b.getDoubleTy(), types, false));
    llvm::Type* scalar = arguments[0]->getType()->getScalarType();
    auto one = [&](const std::vector<Value*>& values) -> Value* {
      std::vector<Value*> exact;
      for (Value* value : values) exact.push_back(b.CreateFPCast(value, b.getDoubleTy()));
      return b.CreateFPCast(b.CreateCall(callee, exact), scalar);
    };
    unsigned lanes = lanes_of(arguments[0]);
    if (!lanes) return one(std::vector<Value*>(arguments.begin(), arguments.end()));
    Value* result = llvm::PoisonValue::get(arguments[0]->getType());
    for (std::uint64_t lane = 0; lane < lanes; ++lane) {
      std::vector<Value*> values;
      for (Value* argument : arguments) values.push_back(b.CreateExtractElement(argument, lane));
      result = b.CreateInsertElement(result, one(values), lane);
    }
    return result;
  }
};

using Formula = Value* (*)(Math&, std::span<Value* const>);
struct Entry {
  std::string_view name;
  Formula formula;      // of f32 if there is a library function too, else of both
  const char* library;  // of f64, and of f32 if there is no formula
};

Value* floor_remainder(Math& m, Value* a, Value* c) {
  Value* rest = m.library("fmod", std::array{a, c});
  Value* zero = m.constant(a, 0);
  Value* differs = m.b.CreateXor(m.b.CreateFCmpOLT(rest, zero), m.b.CreateFCmpOLT(c, zero));
  Value* moved = m.b.CreateSelect(differs, m.b.CreateFAdd(rest, c), rest);
  return m.b.CreateSelect(m.b.CreateFCmpOEQ(rest, zero), m.with_sign_of(zero, c), moved);
}

Value* floor_quotient(Math& m, Value* a, Value* c) {
  Value* exact = m.b.CreateFDiv(a, c);
  Value* whole = m.b.CreateUnaryIntrinsic(llvm::Intrinsic::rint, m.b.CreateFDiv(m.b.CreateFSub(a, floor_remainder(m, a, c)), c));
  Value* zero = m.constant(a, 0);
  whole = m.b.CreateSelect(m.b.CreateFCmpOEQ(whole, zero), m.with_sign_of(zero, exact), whole);
  return m.b.CreateSelect(m.b.CreateFCmpOEQ(c, zero), exact, whole);
}

Value* sign(Math& m, Value* x) {
  Value* zero = m.constant(x, 0);
  Value* one = m.b.CreateSelect(m.b.CreateFCmpOLT(x, zero), m.constant(x, -1), x);
  return m.b.CreateSelect(m.b.CreateFCmpOGT(x, zero), m.constant(x, 1), one);
}

Value* maximum(Math& m, Value* x, Value* y) {
  Value* either = m.b.CreateSelect(m.b.CreateFCmpOGT(x, y), x, y);
  return m.b.CreateSelect(m.b.CreateFCmpUNO(x, x), x, either);
}

Value* reciprocal_or_zero(Math& m, Value* x) {
  Value* zero = m.constant(x, 0);
  return m.b.CreateSelect(m.b.CreateFCmpOEQ(x, zero), zero, m.b.CreateFDiv(m.constant(x, 1), x));
}

using Arguments = std::span<Value* const>;
Value* unary(Math& m, Arguments a, llvm::Intrinsic::ID id) { return m.b.CreateUnaryIntrinsic(id, a[0]); }

constexpr std::array entries{
    Entry{"exp", [](Math& m, Arguments a) { return m.exp(a[0]); }, "exp"},
    Entry{"expm1", [](Math& m, Arguments a) { return m.expm1(a[0]); }, "expm1"},
    Entry{"log", [](Math& m, Arguments a) { return m.log(a[0]); }, "log"},
    Entry{"log1p", [](Math& m, Arguments a) { return m.log1p(a[0]); }, "log1p"},
    Entry{"tanh", [](Math& m, Arguments a) { return m.tanh(a[0]); }, "tanh"},
    Entry{"sin", [](Math& m, Arguments a) { return m.sine_cosine(a[0]).first; }, "sin"},
    Entry{"cos", [](Math& m, Arguments a) { return m.sine_cosine(a[0]).second; }, "cos"},
    Entry{"tan",
          [](Math& m, Arguments a) {
            auto [sine, cosine] = m.sine_cosine(a[0]);
            return m.b.CreateFDiv(sine, cosine);
          },
          "tan"},
    Entry{"asin", nullptr, "asin"},
    Entry{"acos", nullptr, "acos"},
    Entry{"atan", nullptr, "atan"},
    Entry{"atan2", nullptr, "atan2"},
    Entry{"pow", nullptr, "pow"},
    Entry{"erf", [](Math& m, Arguments a) { return m.erf(a[0]); }, "erf"},
    Entry{"floor", [](Math& m, Arguments a) { return unary(m, a, llvm::Intrinsic::floor); }, nullptr},
    Entry{"ceil", [](Math& m, Arguments a) { return unary(m, a, llvm::Intrinsic::ceil); }, nullptr},
    Entry{"round", [](Math& m, Arguments a) { return unary(m, a, llvm::Intrinsic::rint); }, nullptr},
    Entry{"sign", [](Math& m, Arguments a) { return sign(m, a[0]); }, nullptr},
    Entry{"maximum", [](Math& m, Arguments a) { return maximum(m, a[0], a[1]); }, nullptr},
    Entry{"reciprocal_or_zero", [](Math& m, Arguments a) { return reciprocal_or_zero(m, a[0]); }, nullptr},
    Entry{"floor_divide", [](Math& m, Arguments a) { return floor_quotient(m, a[0], a[1]); }, nullptr},
    Entry{"remainder", [](Math& m, Arguments a) { return floor_remainder(m, a[0], a[1]); }, nullptr},
};

}  // namespace

llvm::Value* emit_function(llvm::IRBuilderBase& b, std::string_view name, std::span<llvm::Value* const> arguments, bool has_fma) {
  Math math{b, has_fma};
  bool exact = arguments[0]->getType()->getScalarType()->isDoubleTy();
  for (const Entry& entry : entries)
    if (entry.name == name)
      return entry.formula && (!exact || !entry.library) ? entry.formula(math, arguments) : math.library(entry.library, arguments);
  throw std::logic_error(fmt::format("emitter: no code for the function {}", name));
}

llvm::Value* emit_power(llvm::IRBuilderBase& b, llvm::Value* x, llvm::Value* exponent) {
  return emit_function(b, "pow", std::array{x, exponent}, false);
}

llvm::Value* emit_random_uniform(llvm::IRBuilderBase& b, llvm::Value* word, llvm::Value* low, llvm::Value* high) {
  llvm::Type* half = low->getType();
  llvm::Type* wide = like(low, b.getInt64Ty());
  for (int round = 0; round < 10; ++round) {
    Value* product = b.CreateMul(b.CreateZExt(low, wide), llvm::ConstantInt::get(wide, 0xD256D193U));
    low = b.CreateXor(b.CreateXor(b.CreateTrunc(b.CreateLShr(product, 32), half), word), high);
    high = b.CreateTrunc(product, half);
    word = b.CreateAdd(word, llvm::ConstantInt::get(half, 0x9E3779B9U));
  }
  Value* real = b.CreateSIToFP(b.CreateLShr(low, 8), like(low, b.getFloatTy()));
  return b.CreateFMul(real, llvm::ConstantFP::get(real->getType(), 0x1p-24));
}

// By zero they are 0, and the smallest integer divided by -1 wraps: neither may reach the instruction.
llvm::Value* emit_integer_function(llvm::IRBuilderBase& b, std::string_view name, std::span<llvm::Value* const> a) {
  auto constant = [&](std::int64_t value) { return llvm::ConstantInt::get(a[0]->getType(), static_cast<std::uint64_t>(value), true); };
  Value* zero = constant(0);
  if (name == "maximum") return b.CreateSelect(b.CreateICmpSGT(a[0], a[1]), a[0], a[1]);
  if (name == "sign") {
    Value* below = b.CreateSExt(b.CreateICmpSLT(a[0], zero), a[0]->getType());
    return b.CreateOr(below, b.CreateZExt(b.CreateICmpSGT(a[0], zero), a[0]->getType()));
  }
  if (name == "floor_divide" || name == "remainder") {
    Value* by_zero = b.CreateICmpEQ(a[1], zero);
    Value* by_minus_one = b.CreateICmpEQ(a[1], constant(-1));
    Value* divisor = b.CreateSelect(b.CreateOr(by_zero, by_minus_one), constant(1), a[1]);
    Value* quotient = b.CreateSDiv(a[0], divisor);
    Value* rest = b.CreateSub(a[0], b.CreateMul(quotient, divisor));
    Value* moved = b.CreateAnd(b.CreateICmpNE(rest, zero), b.CreateICmpSLT(b.CreateXor(rest, divisor), zero));
    if (name == "remainder") {
      Value* result = b.CreateSelect(moved, b.CreateAdd(rest, divisor), rest);
      return b.CreateSelect(b.CreateOr(by_zero, by_minus_one), zero, result);
    }
    quotient = b.CreateSub(quotient, b.CreateZExt(moved, quotient->getType()));
    return b.CreateSelect(by_zero, zero, b.CreateSelect(by_minus_one, b.CreateNeg(a[0]), quotient));
  }
  if (name == "pow") {  // by the bits of the exponent; a negative one leaves only powers of 1 and -1
    Value *result = constant(1), *base = a[0], *rest = a[1];
    for (int bit = 0; bit < 63; ++bit) {
      Value* odd = b.CreateICmpNE(b.CreateAnd(rest, constant(1)), zero);
      result = b.CreateSelect(odd, b.CreateMul(result, base), result);
      base = b.CreateMul(base, base);
      rest = b.CreateAShr(rest, constant(1));
    }
    Value* odd = b.CreateICmpNE(b.CreateAnd(a[1], constant(1)), zero);
    Value* unit = b.CreateSelect(b.CreateICmpEQ(a[0], constant(1)), constant(1), zero);
    unit = b.CreateSelect(b.CreateICmpEQ(a[0], constant(-1)), b.CreateSelect(odd, constant(-1), constant(1)), unit);
    return b.CreateSelect(b.CreateICmpSLT(a[1], zero), unit, result);
  }
  throw std::logic_error(fmt::format("emitter: no code for the function {} of integers", name));
}

}  // namespace heed
