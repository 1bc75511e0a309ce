// Scalar functions, one record each: what it computes, its derivative, its interval and its documentation.
// The records serve the evaluator, the gradient, the printer, the language and the documentation; kernels emit their own
// vector code for the few primitives (codegen/tile/math.cpp) and are tested against `evaluate`.
#pragma once
#include <cmath>
#include <functional>
#include <span>
#include <string_view>

#include "ir/graph.h"

namespace heed {

struct ScalarFunction {
  std::string_view name;  // as written in a model file and in the flat form
  int arity;
  enum class Domain { floating, integer, any } domain;  // of the arguments
  DType result;  // domain floating or any: f32 stands for "as the arguments". Else i64, boolean and f32 mean themselves
  double (*evaluate)(std::span<const double> arguments);                        // reference, floating; null if the domain is integer
  std::int64_t (*evaluate_integer)(std::span<const std::int64_t> arguments);    // reference, integers; null if there is none
  double (*evaluate_integer_to_real)(std::span<const std::int64_t> arguments);  // domain integer with a floating result; else null
  // Derivative with respect to each argument, given the arguments and the result; null: no gradient flows.
  Expr (*derivative)(std::span<const Expr> arguments, Expr result, int k);
  // Range of the result over the whole domain, and arguments from which tests may draw.
  double low, high, test_low, test_high;
  std::string_view summary;  // a line of documentation
  std::string_view example;  // "exp(0.0) == 1.0": a boolean expression that is a test
};

std::span<const ScalarFunction> scalar_functions();
const ScalarFunction* find_function(std::string_view name);  // null if there is none
// Type of the result for arguments of this type.
DType result_type(const ScalarFunction& function, DType argument);

// The first word of Philox 2x32-10 (Salmon et al., 2011): rounds with multiplier 0xD256D193 and key increment 0x9E3779B9.
// Counter words: low 32 bits of index; high 32 bits of index xor high 32 bits of key. Key word: low 32 bits of key.
std::uint32_t random_word(std::int64_t key, std::int64_t index);

// Records the algebra itself needs.
namespace functions {
extern const ScalarFunction& exp;
extern const ScalarFunction& log;
extern const ScalarFunction& maximum;             // of two; NaN wins. Minimum is -maximum(-a, -b)
extern const ScalarFunction& reciprocal_or_zero;  // 1/x, 0 at 0; gradient -y^2
extern const ScalarFunction& stop_gradient;
extern const ScalarFunction& straight_through;  // value of the first argument, gradient to the second
extern const ScalarFunction& random_uniform;    // (key, index: i64) -> f32 in [0, 1): (random_word(key, index) >> 8) * 2^-24
extern const ScalarFunction& pow;               // of a variable exponent
extern const ScalarFunction& floor_divide;      // of a variable divisor, NumPy's `//`; by integer 0 it is 0
extern const ScalarFunction& remainder;         // of a variable divisor, NumPy's `%`, with the sign of the divisor
}  // namespace functions

struct ReductionRecord {
  Reduction reduction;
  std::string_view name;  // `sum`, `prod`, `max`, `argmax`, `any`
  std::string_view summary;
};
std::span<const ReductionRecord> reductions();
const ReductionRecord& record_of(Reduction reduction);

}  // namespace heed
