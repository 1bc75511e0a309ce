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
  std::string_view name;   // as written in a model file and in the flat form
  int arity;
  enum class Domain { floating, integer, any } domain;  // of the arguments
  DType result;            // f32 stands for "as the arguments"; i64, boolean mean themselves
  double (*evaluate)(std::span<const double> arguments);                     // reference, floating
  std::int64_t (*evaluate_integer)(std::span<const std::int64_t> arguments);  // reference, integers; null if there is none
  // Derivative with respect to each argument, given the arguments and the result; null: no gradient flows.
  Expr (*derivative)(std::span<const Expr> arguments, Expr result, int k);
  // Range of the result over the whole domain, and arguments from which tests may draw.
  double low, high, test_low, test_high;
  std::string_view summary;  // a line of documentation
  std::string_view example;  // "exp(0.0) == 1.0": a boolean expression that is a test
};

std::span<const ScalarFunction> scalar_functions();
const ScalarFunction* find_function(std::string_view name);  // null if there is none

// Records the algebra itself needs.
namespace functions {
extern const ScalarFunction& exp;
extern const ScalarFunction& log;
extern const ScalarFunction& maximum;                // of two; NaN wins. Minimum is -maximum(-a, -b)
extern const ScalarFunction& reciprocal_or_zero;     // 1/x, 0 at 0; gradient -y^2
extern const ScalarFunction& stop_gradient;
extern const ScalarFunction& straight_through;       // value of the first argument, gradient to the second
extern const ScalarFunction& random_uniform;         // (key, index: i64) -> f32 in [0, 1): Philox 2x32-10, counter-based
}  // namespace functions

struct ReductionRecord {
  Reduction reduction;
  std::string_view name;  // `sum`, `prod`, `max`, `argmax`, `any`
  std::string_view summary;
};
std::span<const ReductionRecord> reductions();
const ReductionRecord& record_of(Reduction reduction);

}  // namespace heed
