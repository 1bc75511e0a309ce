// Which columns some rows need: every condition is decided by intervals, and a value that is decided by them is followed to the reductions.
#include <cmath>
#include <limits>
#include <optional>

#include "ir/algebra.h"
#include "ir/function.h"
#include "ir/integer.h"
#include "passes/blocks.h"

namespace heed {

namespace {

// Values of one array's expressions where axes lie in intervals; what is not known is nothing.
class Reader {
 public:
  Reader(const BlockRegion& region, std::size_t array, Interval rows, Interval columns,
         const std::unordered_map<ArrayRef, std::optional<double>>& members)
      : region_(region), axes_(region.axes.frame.axis_of[array]), rows_(rows), columns_(columns), members_(members) {}

  std::optional<double> value(Expr x) {
    if (auto found = values_.find(x); found != values_.end()) return found->second;
    return values_[x] = x->dtype == DType::boolean ? condition(x) : is_floating(x->dtype) ? real(x) : std::nullopt;
  }

 private:
  Interval range(Expr x) {
    constexpr std::int64_t low = std::numeric_limits<std::int64_t>::min(), high = std::numeric_limits<std::int64_t>::max();
    if (x->op == Op::axis) {
      auto found = axes_.find(x->axes[0]);
      if (found != axes_.end() && found->second == region_.axes.row) return rows_;
      if (found != axes_.end() && found->second == region_.axes.column) return columns_;
      return bounds(x);
    }
    if (x->op == Op::linear) {
      __int128 least = x->integer, most = x->integer;
      for (std::size_t k = 0; k < x->operands.size(); ++k) {
        Interval part = range(x->operands[k]);
        if (part.low == low || part.high == high) return {low, high};
        __int128 a = static_cast<__int128>(x->integers[k]) * part.low, b = static_cast<__int128>(x->integers[k]) * part.high;
        least += std::min(a, b), most += std::max(a, b);
      }
      if (least <= low || most >= high) return {low, high};
      return {static_cast<std::int64_t>(least), static_cast<std::int64_t>(most)};
    }
    if (x->op == Op::quotient) {
      Interval part = range(x->operands[0]);
      return {part.low == low ? low : floored(part.low, x->integer), part.high == high ? high : floored(part.high, x->integer)};
    }
    return bounds(x);
  }

  std::optional<double> condition(Expr x) {
    switch (x->op) {
      case Op::constant:
        return static_cast<double>(x->integer != 0);
      case Op::at_least_zero: {
        Interval at = range(x->operands[0]);
        if (at.low >= 0) return 1;
        if (at.high < 0) return 0;
        return {};
      }
      case Op::is_zero: {
        Interval at = range(x->operands[0]);
        if (at.low > 0 || at.high < 0) return 0;
        if (at.low == 0 && at.high == 0) return 1;
        return {};
      }
      case Op::both: {
        bool all = true;
        for (Expr operand : x->operands) {
          std::optional<double> part = value(operand);
          if (part == 0.0) return 0;
          all = all && part.has_value();
        }
        return all ? std::optional<double>(1) : std::nullopt;
      }
      case Op::negation: {
        std::optional<double> part = value(x->operands[0]);
        return part ? std::optional<double>(1 - *part) : std::nullopt;
      }
      default:
        return {};
    }
  }

  std::optional<double> real(Expr x) {
    switch (x->op) {
      case Op::constant:
        return x->real;
      case Op::select: {
        std::optional<double> decided = value(x->operands[0]);
        if (decided) return value(x->operands[*decided != 0 ? 1 : 2]);
        std::optional<double> a = value(x->operands[1]), b = value(x->operands[2]);
        return a && b && *a == *b ? a : std::nullopt;
      }
      case Op::linear: {
        double total = x->real;
        bool known = true;
        for (std::size_t k = 0; k < x->operands.size(); ++k) {
          std::optional<double> part = value(x->operands[k]);
          if (part)
            total += x->weights[k] * *part;
          else
            known = false;
        }
        return known || std::isinf(total) ? std::optional<double>(total) : std::nullopt;  // the rest is finite
      }
      case Op::product: {
        double total = 1;
        bool known = true;
        for (std::size_t k = 0; k < x->operands.size(); ++k) {
          std::optional<double> part = value(x->operands[k]);
          if (part == 0.0 && x->weights[k] > 0) return 0;
          if (part)
            total *= std::pow(*part, x->weights[k]);
          else
            known = false;
        }
        return known ? std::optional<double>(total) : std::nullopt;
      }
      case Op::function: {
        if (!x->function->evaluate) return {};
        std::vector<double> arguments;
        for (Expr operand : x->operands) {
          std::optional<double> part = is_floating(operand->dtype) ? value(operand) : std::nullopt;
          if (!part) return {};
          arguments.push_back(*part);
        }
        return x->function->evaluate(arguments);
      }
      case Op::cast: {
        if (!is_floating(x->operands[0]->dtype)) return {};
        std::optional<double> part = value(x->operands[0]);
        return part && (*part == 0 || std::isinf(*part)) ? part : std::nullopt;
      }
      case Op::reduction: {
        std::optional<double> part = value(x->operands[0]);
        bool keeps = part == 0.0 || (x->reduction == Reduction::maximum && part);
        return keeps && x->reduction != Reduction::argmax ? part : std::nullopt;
      }
      case Op::read: {
        auto found = members_.find(x->array);
        return found == members_.end() ? std::nullopt : found->second;
      }
      default:
        return {};
    }
  }

  const BlockRegion& region_;
  const std::unordered_map<AxisRef, int>& axes_;
  Interval rows_, columns_;
  const std::unordered_map<ArrayRef, std::optional<double>>& members_;
  std::unordered_map<Expr, std::optional<double>> values_;
};

bool is_identity(Reduction reduction, std::optional<double> value) {
  if (reduction == Reduction::sum) return value == 0.0;
  if (reduction == Reduction::maximum) return value == -std::numeric_limits<double>::infinity();
  return false;
}

// No reduction over the columns, and none that has columns and is completed by other blocks, gets anything there.
bool are_idle(const BlockRegion& region, Interval rows, Interval columns) {
  std::unordered_map<ArrayRef, std::optional<double>> members;
  for (std::size_t k = 0; k < region.arrays.size(); ++k) {
    ArrayRef array = region.arrays[k];
    Reader reader(region, k, rows, columns, members);
    const auto& axis_of = region.axes.frame.axis_of[k];
    bool has_columns = region.axes.position_on(k, region.axes.column) >= 0;
    for (Expr node : nodes_of(array->body)) {
      if (node->op != Op::reduction) continue;
      bool over_columns = false;
      for (AxisRef axis : node->axes)
        if (auto found = axis_of.find(axis); found != axis_of.end()) over_columns |= found->second == region.axes.column;
      bool adds = has_columns && !region.axes.reduced[k].empty();
      if ((over_columns || adds) && !is_identity(node->reduction, reader.value(node->operands[0]))) return false;
    }
    members[array] = has_columns && region.axes.reduced[k].empty() ? reader.value(array->body) : std::nullopt;
  }
  return true;
}

}  // namespace

ColumnRange needed_columns(const BlockRegion& region, std::int64_t first, std::int64_t last) {
  std::int64_t count = region.axes.frame.sizes[static_cast<std::size_t>(region.axes.column)];
  Interval rows{first, last};
  // The most columns from either end that are idle together; what is idle together is idle in part.
  auto most_idle = [&](auto columns_of) {
    std::int64_t low = 0, high = count;
    while (low < high) {
      std::int64_t middle = low + (high - low + 1) / 2;
      if (are_idle(region, rows, columns_of(middle)))
        low = middle;
      else
        high = middle - 1;
    }
    return low;
  };
  std::int64_t begin = most_idle([](std::int64_t n) { return Interval{0, n - 1}; });
  std::int64_t end = count - most_idle([&](std::int64_t n) { return Interval{count - n, count - 1}; });
  if (begin >= end) return {0, 0};
  return {begin, end};
}

}  // namespace heed
