// Interval arithmetic that saturates at the limits of 64 bits, which stand for "anything, it may have wrapped".
#include "codegen/tile/interval.h"

#include <algorithm>
#include <limits>

#include "ir/function.h"
#include "ir/integer.h"

namespace heed {
namespace {

using Wide = __int128;
constexpr std::int64_t lowest = std::numeric_limits<std::int64_t>::min(), highest = std::numeric_limits<std::int64_t>::max();
constexpr Interval anything{lowest, highest};

Interval narrowed(Wide low, Wide high) {
  if (low <= lowest || high >= highest) return anything;
  return {static_cast<std::int64_t>(low), static_cast<std::int64_t>(high)};
}
bool unknown(Interval i) { return i.low == lowest || i.high == highest; }

Interval times(Interval a, Interval b) {
  if (unknown(a) || unknown(b)) return anything;
  Wide corners[] = {Wide(a.low) * b.low, Wide(a.low) * b.high, Wide(a.high) * b.low, Wide(a.high) * b.high};
  return narrowed(*std::min_element(corners, corners + 4), *std::max_element(corners, corners + 4));
}

}  // namespace

bool fits_32_bits(Interval i) { return i.low >= -(std::int64_t{1} << 31) && i.high < (std::int64_t{1} << 31); }

Interval Intervals::of(Expr x) {
  auto found = known_.find(x);
  if (found != known_.end()) return found->second;
  Interval result = compute(x);
  known_[x] = result;
  return result;
}

Interval Intervals::compute(Expr x) {
  if (x->dtype == DType::boolean) return {0, 1};
  if (is_floating(x->dtype)) return anything;
  switch (x->op) {
    case Op::constant:
      return {x->integer, x->integer};
    case Op::axis: {
      auto found = highs_.find(x->axes[0]);
      return {0, std::max<std::int64_t>(0, found != highs_.end() ? found->second : x->axes[0]->size - 1)};
    }
    case Op::linear: {
      Wide low = x->integer, high = x->integer;
      for (std::size_t k = 0; k < x->operands.size(); ++k) {
        Interval term = times({x->integers[k], x->integers[k]}, of(x->operands[k]));
        if (unknown(term)) return anything;
        low += term.low, high += term.high;
      }
      return narrowed(low, high);
    }
    case Op::product: {
      Interval result{1, 1};
      for (std::size_t k = 0; k < x->operands.size(); ++k)
        for (int power = 0; power < static_cast<int>(x->weights[k]); ++power) {
          if (power > 64) return anything;
          result = times(result, of(x->operands[k]));
        }
      return result;
    }
    case Op::quotient: {
      Interval a = of(x->operands[0]);
      return unknown(a) ? anything : Interval{floored(a.low, x->integer), floored(a.high, x->integer)};
    }
    case Op::remainder: {
      Interval a = of(x->operands[0]);
      return !unknown(a) && a.low >= 0 && a.high < x->integer ? a : Interval{0, x->integer - 1};
    }
    case Op::select: {
      Interval a = of(x->operands[1]), b = of(x->operands[2]);
      return {std::min(a.low, b.low), std::max(a.high, b.high)};
    }
    case Op::cast: {
      Interval range = range_of(x->to);
      if (is_floating(x->operands[0]->dtype)) return range;
      Interval a = of(x->operands[0]);
      return a.low >= range.low && a.high <= range.high ? a : range;
    }
    case Op::read:
      return x->array->range ? *x->array->range : range_of(x->array->dtype);
    case Op::reduction: {
      Interval body = of(x->operands[0]);
      Wide count = 1;
      for (AxisRef axis : x->axes) count = std::min<Wide>(count * axis->size, highest);
      if (x->reduction == Reduction::argmax) return {0, std::max<std::int64_t>(0, x->axes[0]->size - 1)};
      if (x->reduction == Reduction::maximum && count > 0) return body;
      if (x->reduction != Reduction::sum || unknown(body)) return anything;
      return narrowed(std::min<Wide>(0, count * body.low), std::max<Wide>(0, count * body.high));
    }
    case Op::function: {
      auto is = [&](const ScalarFunction& f) { return x->function == &f; };
      if (is(functions::stop_gradient) || is(functions::straight_through)) return of(x->operands[0]);
      if (is(functions::maximum)) {
        Interval a = of(x->operands[0]), b = of(x->operands[1]);
        return {std::max(a.low, b.low), std::max(a.high, b.high)};
      }
      return anything;
    }
    default:
      return anything;
  }
}

}  // namespace heed
