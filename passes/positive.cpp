// Signs of expressions, from their leaves.
#include "passes/positive.h"

#include <algorithm>
#include <cmath>

#include "ir/algebra.h"
#include "ir/function.h"

namespace heed {

namespace {

bool is_even(double power) { return std::fmod(power, 2) == 0; }

bool has_elements(Expr reduction) {
  return std::ranges::all_of(reduction->axes, [](AxisRef axis) { return axis->size > 0; });
}

}  // namespace

template <class Question>
bool Signs::of_array(ArrayRef array, std::unordered_map<ArrayRef, bool>& known, Question question) {
  if (array->kind != Array::Kind::definition) return false;
  if (auto found = known.find(array); found != known.end()) return found->second;
  bool answer = question(array->body);
  known.emplace(array, answer);
  return answer;
}

bool Signs::is_positive(Expr x) {
  auto all = [&](const auto& operands) { return std::ranges::all_of(operands, [&](Expr operand) { return is_positive(operand); }); };
  switch (x->op) {
    case Op::constant:
      return x->real > 0 && std::isfinite(x->real);
    case Op::read:
      return of_array(x->array, positive_, [&](Expr body) { return is_positive(body); });
    case Op::linear: {
      bool some = x->real > 0;
      for (std::size_t k = 0; k < x->operands.size(); ++k) {
        if (x->weights[k] < 0 || !is_not_negative(x->operands[k])) return false;
        some |= is_positive(x->operands[k]);
      }
      return some && x->real >= 0;
    }
    case Op::product:
      return all(x->operands);
    case Op::function:
      if (x->function == &functions::exp) return is_finite(x->operands[0]);
      if (x->function == &functions::reciprocal_or_zero || x->function == &functions::stop_gradient) return is_positive(x->operands[0]);
      if (x->function == &functions::maximum) return is_positive(x->operands[0]) || is_positive(x->operands[1]);
      return x->function->low > 0;
    case Op::cast:
      return is_floating(x->to) && is_floating(x->operands[0]->dtype) && is_positive(x->operands[0]);
    case Op::select:
      return is_positive(x->operands[1]) && is_positive(x->operands[2]);
    case Op::reduction:
      return is_floating(x->dtype) && has_elements(x) && is_positive(x->operands[0]);
    default:
      return false;
  }
}

bool Signs::is_not_negative(Expr x) {
  switch (x->op) {
    case Op::constant:
      return x->real >= 0;
    case Op::read:
      return of_array(x->array, not_negative_, [&](Expr body) { return is_not_negative(body); });
    case Op::linear:
      for (std::size_t k = 0; k < x->operands.size(); ++k)
        if (x->weights[k] < 0 || !is_not_negative(x->operands[k])) return false;
      return x->real >= 0;
    case Op::product:
      for (std::size_t k = 0; k < x->operands.size(); ++k)
        if (!is_even(x->weights[k]) && !is_not_negative(x->operands[k])) return false;
      return true;
    case Op::function:
      if (x->function == &functions::reciprocal_or_zero || x->function == &functions::stop_gradient) return is_not_negative(x->operands[0]);
      if (x->function == &functions::maximum) return is_not_negative(x->operands[0]) || is_not_negative(x->operands[1]);
      return x->function->low >= 0;
    case Op::cast:
      return is_floating(x->to) && is_floating(x->operands[0]->dtype) && is_not_negative(x->operands[0]);
    case Op::select:
      return is_not_negative(x->operands[1]) && is_not_negative(x->operands[2]);
    case Op::reduction:
      return is_floating(x->dtype) && (x->reduction == Reduction::sum || has_elements(x)) && is_not_negative(x->operands[0]);
    default:
      return false;
  }
}

bool Signs::is_finite(Expr x) {
  auto all = [&] { return std::ranges::all_of(x->operands, [&](Expr operand) { return is_finite(operand); }); };
  if (!is_floating(x->dtype)) return true;
  switch (x->op) {
    case Op::constant:
      return std::isfinite(x->real);
    case Op::read:
      return x->array->kind != Array::Kind::definition || of_array(x->array, finite_, [&](Expr body) { return is_finite(body); });
    case Op::product:
      for (std::size_t k = 0; k < x->operands.size(); ++k)
        if ((x->weights[k] < 0 || x->weights[k] != std::floor(x->weights[k])) && !is_positive(x->operands[k])) return false;
      return all();
    case Op::function:
      if (x->function == &functions::log) return is_positive(x->operands[0]);
      return all();
    case Op::select:
      return is_finite(x->operands[1]) && is_finite(x->operands[2]);
    case Op::reduction:
      return (x->reduction != Reduction::maximum || has_elements(x)) && all();
    default:
      return all();
  }
}

}  // namespace heed
