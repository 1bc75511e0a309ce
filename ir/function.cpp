// The records of the scalar functions and of the reductions.
#include "ir/function.h"

#include <array>
#include <limits>
#include <numbers>

#include "ir/algebra.h"

namespace heed {
namespace {

using Reals = std::span<const double>;
using Integers = std::span<const std::int64_t>;
using Arguments = std::span<const Expr>;
using Domain = ScalarFunction::Domain;
constexpr double infinity = std::numeric_limits<double>::infinity();

Expr constant_like(Expr x, double value) { return real(*x->arena, value, x->dtype); }
Expr plus(double constant, double weight, Expr x) { return linear(std::array{Term{weight, x}}, constant, *x->arena, x->dtype); }
Expr call(std::string_view name, std::initializer_list<Expr> arguments) { return apply(*find_function(name), arguments); }

std::int64_t wrapping_multiply(std::int64_t a, std::int64_t b) {
  return static_cast<std::int64_t>(static_cast<std::uint64_t>(a) * static_cast<std::uint64_t>(b));
}

double floor_remainder(double a, double b) {
  double rest = std::fmod(a, b);
  if (rest == 0) return std::copysign(0.0, b);
  return (rest < 0) != (b < 0) ? rest + b : rest;
}

double floor_quotient(double a, double b) {
  if (b == 0) return a / b;
  double quotient = (a - floor_remainder(a, b)) / b;  // whole up to rounding
  return quotient == 0 ? std::copysign(0.0, a / b) : std::nearbyint(quotient);
}

std::int64_t floor_remainder(std::int64_t a, std::int64_t b) {
  if (b == 0 || b == -1) return 0;  // -1: the smallest integer has no opposite
  std::int64_t rest = a % b;
  return rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;
}

std::int64_t floor_quotient(std::int64_t a, std::int64_t b) {
  if (b == 0) return 0;
  if (b == -1) return wrapping_multiply(a, -1);
  return a / b - (a % b != 0 && (a < 0) != (b < 0));
}

std::int64_t integer_power(std::int64_t base, std::int64_t exponent) {
  if (exponent < 0) return base == 1 ? 1 : base == -1 ? (exponent % 2 ? -1 : 1) : 0;
  std::int64_t result = 1;
  for (; exponent > 0; exponent /= 2, base = wrapping_multiply(base, base))
    if (exponent % 2) result = wrapping_multiply(result, base);
  return result;
}

// A constant bound gets no gradient and the other side none where they are equal (relu'(0) = 0); two values share it (abs'(0) = 0).
Expr maximum_derivative(Arguments a, Expr, int k) {
  Expr mine = a[k], other = a[1 - k];
  Expr zero = constant_like(mine, 0), one = constant_like(mine, 1);
  Expr tied = is_constant(other) ? zero : select(equal(mine, other), constant_like(mine, 0.5), zero);
  return select(greater(mine, other), one, tied);
}

Expr power_derivative(Arguments a, Expr, int k) {
  if (k == 0) return multiply(a[1], call("pow", {a[0], plus(-1, 1, a[1])}));
  Expr zero = constant_like(a[0], 0);
  return select(greater(a[0], zero), multiply(call("pow", {a[0], a[1]}), call("log", {a[0]})), zero);
}

Expr arc_tangent_derivative(Arguments a, Expr, int k) {
  Expr squares = add(power(a[0], 2), power(a[1], 2));
  return k == 0 ? divide(a[1], squares) : scale(-1.0, divide(a[0], squares));
}

constexpr auto as_arguments = DType::f32;
constexpr std::array table{
    ScalarFunction{"exp", 1, Domain::floating, as_arguments, [](Reals a) { return std::exp(a[0]); }, nullptr, nullptr,
                   [](Arguments, Expr y, int) { return y; }, 0, infinity, -4, 4, "e to the power of x", "exp(0.0) == 1.0"},
    ScalarFunction{"expm1", 1, Domain::floating, as_arguments, [](Reals a) { return std::expm1(a[0]); }, nullptr, nullptr,
                   [](Arguments, Expr y, int) { return plus(1, 1, y); }, -1, infinity, -4, 4, "exp(x) - 1, exact near 0",
                   "expm1(1e-20) == 1e-20"},
    ScalarFunction{"log", 1, Domain::floating, as_arguments, [](Reals a) { return std::log(a[0]); }, nullptr, nullptr,
                   [](Arguments a, Expr, int) { return power(a[0], -1); }, -infinity, infinity, 0.05, 8, "natural logarithm",
                   "log(1.0) == 0.0"},
    ScalarFunction{"log1p", 1, Domain::floating, as_arguments, [](Reals a) { return std::log1p(a[0]); }, nullptr, nullptr,
                   [](Arguments a, Expr, int) { return power(plus(1, 1, a[0]), -1); }, -infinity, infinity, -0.9, 8,
                   "log(1 + x), exact near 0", "log1p(1e-20) == 1e-20"},
    ScalarFunction{"tanh", 1, Domain::floating, as_arguments, [](Reals a) { return std::tanh(a[0]); }, nullptr, nullptr,
                   [](Arguments, Expr y, int) { return plus(1, -1, power(y, 2)); }, -1, 1, -4, 4, "hyperbolic tangent", "tanh(0.0) == 0.0"},
    ScalarFunction{"sin", 1, Domain::floating, as_arguments, [](Reals a) { return std::sin(a[0]); }, nullptr, nullptr,
                   [](Arguments a, Expr, int) { return call("cos", {a[0]}); }, -1, 1, -8, 8, "sine of an angle in radians",
                   "sin(0.0) == 0.0"},
    ScalarFunction{"cos", 1, Domain::floating, as_arguments, [](Reals a) { return std::cos(a[0]); }, nullptr, nullptr,
                   [](Arguments a, Expr, int) { return scale(-1.0, call("sin", {a[0]})); }, -1, 1, -8, 8, "cosine of an angle in radians",
                   "cos(0.0) == 1.0"},
    ScalarFunction{"tan", 1, Domain::floating, as_arguments, [](Reals a) { return std::tan(a[0]); }, nullptr, nullptr,
                   [](Arguments, Expr y, int) { return plus(1, 1, power(y, 2)); }, -infinity, infinity, -1.4, 1.4,
                   "tangent of an angle in radians", "tan(0.0) == 0.0"},
    ScalarFunction{"asin", 1, Domain::floating, as_arguments, [](Reals a) { return std::asin(a[0]); }, nullptr, nullptr,
                   [](Arguments a, Expr, int) { return power(plus(1, -1, power(a[0], 2)), -0.5); }, -std::numbers::pi / 2,
                   std::numbers::pi / 2, -0.9, 0.9, "angle in -pi/2 … pi/2 whose sine is x", "asin(0.0) == 0.0"},
    ScalarFunction{"acos", 1, Domain::floating, as_arguments, [](Reals a) { return std::acos(a[0]); }, nullptr, nullptr,
                   [](Arguments a, Expr, int) { return scale(-1.0, power(plus(1, -1, power(a[0], 2)), -0.5)); }, 0, std::numbers::pi, -0.9,
                   0.9, "angle in 0 … pi whose cosine is x", "acos(1.0) == 0.0"},
    ScalarFunction{"atan", 1, Domain::floating, as_arguments, [](Reals a) { return std::atan(a[0]); }, nullptr, nullptr,
                   [](Arguments a, Expr, int) { return power(plus(1, 1, power(a[0], 2)), -1); }, -std::numbers::pi / 2,
                   std::numbers::pi / 2, -8, 8, "angle in -pi/2 … pi/2 whose tangent is x", "atan(0.0) == 0.0"},
    ScalarFunction{"atan2", 2, Domain::floating, as_arguments, [](Reals a) { return std::atan2(a[0], a[1]); }, nullptr, nullptr,
                   arc_tangent_derivative, -std::numbers::pi, std::numbers::pi, 0.1, 8, "angle of the point (x, y), called as atan2(y, x)",
                   "atan2(0.0, 1.0) == 0.0"},
    ScalarFunction{"erf", 1, Domain::floating, as_arguments, [](Reals a) { return std::erf(a[0]); }, nullptr, nullptr,
                   [](Arguments a, Expr, int) { return scale(2 * std::numbers::inv_sqrtpi, call("exp", {scale(-1.0, power(a[0], 2))})); },
                   -1, 1, -3, 3, "error function", "erf(0.0) == 0.0"},
    ScalarFunction{"floor", 1, Domain::floating, as_arguments, [](Reals a) { return std::floor(a[0]); }, nullptr, nullptr, nullptr,
                   -infinity, infinity, -8, 8, "largest whole number that is not above x", "floor(-1.5) == -2.0"},
    ScalarFunction{"ceil", 1, Domain::floating, as_arguments, [](Reals a) { return std::ceil(a[0]); }, nullptr, nullptr, nullptr, -infinity,
                   infinity, -8, 8, "smallest whole number that is not below x", "ceil(1.5) == 2.0"},
    ScalarFunction{"round", 1, Domain::floating, as_arguments, [](Reals a) { return std::nearbyint(a[0]); }, nullptr, nullptr, nullptr,
                   -infinity, infinity, -8, 8, "nearest whole number, halves to the even one", "round(2.5) == 2.0"},
    ScalarFunction{"sign", 1, Domain::any, as_arguments, [](Reals a) { return a[0] > 0   ? 1.0
                                                                              : a[0] < 0 ? -1.0
                                                                                         : a[0]; },
                   [](Integers a) -> std::int64_t { return (a[0] > 0) - (a[0] < 0); }, nullptr, nullptr, -1, 1, -8, 8, "-1, 0 or 1",
                   "sign(-3.0) == -1.0"},
    ScalarFunction{"maximum", 2, Domain::any, as_arguments, [](Reals a) { return a[0] > a[1] || std::isnan(a[0]) ? a[0] : a[1]; },
                   [](Integers a) { return a[0] > a[1] ? a[0] : a[1]; }, nullptr, maximum_derivative, -infinity, infinity, -8, 8,
                   "the larger of two values; NaN wins", "maximum(1.0, 2.0) == 2.0"},
    ScalarFunction{"reciprocal_or_zero", 1, Domain::floating, as_arguments, [](Reals a) { return a[0] == 0 ? 0 : 1 / a[0]; }, nullptr,
                   nullptr, [](Arguments, Expr y, int) { return scale(-1.0, power(y, 2)); }, -infinity, infinity, 0.1, 8,
                   "1 / x, and 0 where x is 0, with gradient 0 there", "reciprocal_or_zero(0.0) == 0.0"},
    ScalarFunction{"stop_gradient", 1, Domain::any, as_arguments, [](Reals a) { return a[0]; }, [](Integers a) { return a[0]; }, nullptr,
                   nullptr, -infinity, infinity, -8, 8, "x, constant to the gradient", "stop_gradient(2.0) == 2.0"},
    ScalarFunction{"straight_through", 2, Domain::any, as_arguments, [](Reals a) { return a[0]; }, [](Integers a) { return a[0]; }, nullptr,
                   [](Arguments a, Expr, int k) { return constant_like(a[0], k); }, -infinity, infinity, -8, 8,
                   "value of the first argument, gradient to the second", "straight_through(1.0, 2.0) == 1.0"},
    ScalarFunction{"random_uniform", 2, Domain::integer, DType::f32, nullptr, nullptr,
                   [](Integers a) { return (random_word(a[0], a[1]) >> 8) * 0x1p-24; }, nullptr, 0, 1, 0, 1000,
                   "a number in [0, 1) that depends on (key, index) alone", "random_uniform(0, 0) < 1.0"},
    ScalarFunction{"pow", 2, Domain::any, as_arguments, [](Reals a) { return std::pow(a[0], a[1]); },
                   [](Integers a) { return integer_power(a[0], a[1]); }, nullptr, power_derivative, -infinity, infinity, 0.1, 4,
                   "x to a power that varies", "pow(2.0, 3.0) == 8.0"},
    ScalarFunction{"floor_divide", 2, Domain::any, as_arguments, [](Reals a) { return floor_quotient(a[0], a[1]); },
                   [](Integers a) { return floor_quotient(a[0], a[1]); }, nullptr, nullptr, -infinity, infinity, 1, 8,
                   "the whole number of times that b fits into a, rounded down; for integers 0 where b is 0", "floor_divide(-7, 2) == -4"},
    ScalarFunction{
        "remainder", 2, Domain::any, as_arguments, [](Reals a) { return floor_remainder(a[0], a[1]); },
        [](Integers a) { return floor_remainder(a[0], a[1]); }, nullptr,
        [](Arguments a, Expr, int k) { return k == 0 ? constant_like(a[0], 1) : scale(-1.0, call("floor_divide", {a[0], a[1]})); },
        -infinity, infinity, 1, 8, "a - b * floor_divide(a, b); for integers 0 where b is 0", "remainder(-7, 2) == 1"},
};

constexpr const ScalarFunction* find(std::string_view name) {
  for (const ScalarFunction& each : table)
    if (each.name == name) return &each;
  return nullptr;
}

constexpr std::array reduction_table{
    ReductionRecord{Reduction::sum, "sum", "sum; 0 of nothing"},
    ReductionRecord{Reduction::product, "prod", "product; 1 of nothing"},
    ReductionRecord{Reduction::maximum, "max", "largest value; NaN wins, the lowest value of the type of nothing"},
    ReductionRecord{Reduction::argmax, "argmax", "index of the largest value, the first one of equals; 0 of nothing"},
    ReductionRecord{Reduction::any, "any", "whether it holds anywhere"},
};

}  // namespace

std::span<const ScalarFunction> scalar_functions() { return table; }
const ScalarFunction* find_function(std::string_view name) { return find(name); }

DType result_type(const ScalarFunction& function, DType argument) {
  bool as_argument = function.domain != Domain::integer && function.result == as_arguments;
  return as_argument ? argument : function.result;
}

namespace functions {
const ScalarFunction& exp = *find("exp");
const ScalarFunction& log = *find("log");
const ScalarFunction& maximum = *find("maximum");
const ScalarFunction& reciprocal_or_zero = *find("reciprocal_or_zero");
const ScalarFunction& stop_gradient = *find("stop_gradient");
const ScalarFunction& straight_through = *find("straight_through");
const ScalarFunction& random_uniform = *find("random_uniform");
const ScalarFunction& pow = *find("pow");
const ScalarFunction& floor_divide = *find("floor_divide");
const ScalarFunction& remainder = *find("remainder");
}  // namespace functions

std::span<const ReductionRecord> reductions() { return reduction_table; }
const ReductionRecord& record_of(Reduction reduction) { return reduction_table[static_cast<std::size_t>(reduction)]; }

}  // namespace heed
