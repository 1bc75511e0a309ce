// Arithmetic of numbers known at compile time. Sizes stay formulas; a quotient with a remainder is a real number that remembers both.
#include <fmt/format.h>

#include <cmath>
#include <limits>
#include <numeric>

#include "ir/language/elaborator.h"

namespace heed {
namespace {

using Operator = syntax::BinaryOperator;

double floored(double a, double b) { return std::floor(a / b); }

Value of_sizes(Operator op, const Dimension& a, const Dimension& b, Span span, const Builder& builder) {
  auto nonzero = [&] {
    if (b.value == 0)
      throw Mistake{span, fmt::format("{} is divided by {}{}", a.size.text(), b.size.text(), b.size.constant() ? "" : ", which is 0")};
  };
  switch (op) {
    case Operator::add:
      return a + b;
    case Operator::subtract:
      return a - b;
    case Operator::multiply:
      return a * b;
    case Operator::divide:
      nonzero();
      if (a.value % b.value == 0) return Dimension(exact_quotient(a.size, b.size), a.value / b.value);
      for (const Dimension* size : {&a, &b}) builder.suit_nominal(*size, std::abs(b.value / std::gcd(a.value, b.value)), 1);
      return Real{static_cast<double>(a.value) / static_cast<double>(b.value), fmt::format("{} / {}", a.value, b.value)};
    case Operator::floor_divide:
      nonzero();
      return Dimension(floored_quotient(a.size, b.size), a.value / b.value - (a.value % b.value != 0 && (a.value < 0) != (b.value < 0)));
    case Operator::remainder: {
      nonzero();
      std::int64_t rest = a.value % b.value;
      if (rest != 0 && (rest < 0) != (b.value < 0)) rest += b.value;
      return Dimension(a.size - b.size * floored_quotient(a.size, b.size), rest);
    }
    default:
      break;
  }
  if (b.value < 0 || b.value > 62 || !b.size.constant())
    return Real{std::pow(static_cast<double>(a.value), static_cast<double>(b.value)), ""};
  Dimension power(1);
  for (std::int64_t k = 0; k < b.value; ++k) power = power * a;
  return power;
}

double of_reals(Operator op, double a, double b) {
  switch (op) {
    case Operator::add:
      return a + b;
    case Operator::subtract:
      return a - b;
    case Operator::multiply:
      return a * b;
    case Operator::divide:
      return a / b;
    case Operator::floor_divide:
      return floored(a, b);
    case Operator::remainder:
      return a - b * floored(a, b);
    default:
      return std::pow(a, b);
  }
}

}  // namespace

std::optional<Value> number_operation(Operator op, const Value& a, const Value& b, Span span, const Builder& builder) {
  if (op == Operator::matmul || op == Operator::logical_and || op == Operator::logical_or || !is_number(a) || !is_number(b))
    return std::nullopt;
  const auto *x = get_if<Dimension>(a), *y = get_if<Dimension>(b);
  bool overflows = x && y && y->value == -1 && x->value == std::numeric_limits<std::int64_t>::min();
  if (x && y && !overflows) return of_sizes(op, *x, *y, span, builder);
  return Real{of_reals(op, number_of(a), number_of(b)), ""};
}

}  // namespace heed
