// Runs the evaluator's loops.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <stdexcept>

#include "input_error.h"
#include "ir/algebra.h"
#include "ir/integer.h"
#include "ir/loop_program.h"

namespace heed::loops {
namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

std::uint64_t bits(std::int64_t value) { return static_cast<std::uint64_t>(value); }
std::int64_t wrapped_product(std::int64_t a, std::int64_t b) { return static_cast<std::int64_t>(bits(a) * bits(b)); }

bool depends_on_data(Expr index) {
  return std::ranges::any_of(nodes_of(index), [](Expr node) { return node->op == Op::read; });
}

[[noreturn]] void report_outside(Expr read, int dimension, std::int64_t index) {
  const Origin& origin = read->arena->origin(read->origin);
  std::string place = origin.line ? fmt::format(" ({}:{})", origin.file, origin.line) : "";
  std::string name = read->array->name.empty() ? "an array" : read->array->name;
  std::int64_t size = read->array->shape[static_cast<std::size_t>(dimension)];
  std::string text = fmt::format("index {} is outside of dimension {} of {}, which has size {}{}", index, dimension, name, size, place);
  if (depends_on_data(read->operands[static_cast<std::size_t>(dimension)])) throw InputError(text);
  throw std::logic_error("evaluate: " + text);
}

double raised(double x, double exponent) {
  if (exponent == 1) return x;
  if (exponent == 2) return x * x;
  if (exponent == 0.5) return std::sqrt(x);
  return std::pow(x, exponent);
}

// A row of values, or one value that stands for all.
struct Row {
  Slot* at;
  int step;
  Slot& operator[](int lane) const { return at[lane * step]; }
};

class Runner {
 public:
  Runner(const Program& program, const std::vector<const Slot*>& arrays, bool rounding, Slot* out)
      : program_(program),
        arrays_(arrays),
        rounding_(rounding),
        out_(out),
        slots_(static_cast<std::size_t>(program.slots)),
        first_(program.loops.size()) {}

  void run(int number) {
    const Loop& loop = program_.loops[static_cast<std::size_t>(number)];
    int step = loop.innermost ? lanes : 1;
    for (std::int64_t start = 0; start < loop.size; start += step) {
      int count = static_cast<int>(std::min<std::int64_t>(step, loop.size - start));
      first_[static_cast<std::size_t>(number)] = start;
      if (loop.index >= 0)
        for (int lane = 0; lane < count; ++lane) row(loop.index)[lane].integer = start + lane;
      for (const Instruction& instruction : loop.code) execute(instruction, number, count);
    }
  }

 private:
  Row row(int value) {
    const Value& place = program_.values[static_cast<std::size_t>(value)];
    return {slots_.data() + place.offset, place.step};
  }

  template <class Function>
  void each(const Instruction& instruction, int count, Function function) {
    Row result = row(instruction.result);
    Row a = instruction.operands.empty() ? result : row(instruction.operands[0]);
    Row b = instruction.operands.size() < 2 ? a : row(instruction.operands[1]);
    for (int lane = 0; lane < count; ++lane) function(result[lane], a[lane], b[lane]);
  }

  void execute(const Instruction& x, int loop, int count) {
    switch (x.code) {
      case Code::constant:
        return constant(x, count);
      case Code::linear_real:
        return linear_real(x, count);
      case Code::linear_integer:
        return linear_integer(x, count);
      case Code::product_real:
        return product_real(x, count);
      case Code::product_integer:
        return product_integer(x, count);
      case Code::call:
        return call(x, count);
      case Code::cast:
        return cast(x, count);
      case Code::quotient:
        return each(x, count, [&](Slot& r, Slot a, Slot) { r.integer = floored(a.integer, x.integer); });
      case Code::remainder:
        return each(x, count, [&](Slot& r, Slot a, Slot) {
          std::int64_t rest = a.integer % x.integer;
          r.integer = rest < 0 ? rest + x.integer : rest;
        });
      case Code::at_least_zero:
        return each(x, count, [](Slot& r, Slot a, Slot) { r.integer = a.integer >= 0; });
      case Code::is_zero:
        return each(x, count, [](Slot& r, Slot a, Slot) { r.integer = a.integer == 0; });
      case Code::at_least:
        return each(x, count, [](Slot& r, Slot a, Slot b) { r.integer = a.real >= b.real; });
      case Code::greater:
        return each(x, count, [](Slot& r, Slot a, Slot b) { r.integer = a.real > b.real; });
      case Code::equal_real:
        return each(x, count, [](Slot& r, Slot a, Slot b) { r.integer = a.real == b.real; });
      case Code::equal_integer:
        return each(x, count, [](Slot& r, Slot a, Slot b) { r.integer = a.integer == b.integer; });
      case Code::both:
        return both(x, count);
      case Code::negation:
        return each(x, count, [](Slot& r, Slot a, Slot) { r.integer = !a.integer; });
      case Code::only_not:
        return each(x, count, [](Slot& r, Slot a, Slot b) { r.integer = a.integer && !b.integer; });
      case Code::select:
        return select(x, count);
      case Code::check:
        return check(x, count);
      case Code::read:
        return read(x, loop, count);
      case Code::reduce:
        return reduce(x);
      case Code::accumulate:
        return accumulate(x, count);
      case Code::run:
        return run(x.loop);
      case Code::store:
        return store(x, count);
    }
  }

  void constant(const Instruction& x, int count) {
    Row result = row(x.result);
    bool floating = is_floating(x.node->dtype);
    for (int lane = 0; lane < count; ++lane)
      if (floating)
        result[lane].real = x.real;
      else
        result[lane].integer = x.integer;
  }

  void linear_real(const Instruction& x, int count) {
    Row result = row(x.result);
    for (int lane = 0; lane < count; ++lane) result[lane].real = x.real;
    for (std::size_t k = 0; k < x.operands.size(); ++k) {
      Row a = row(x.operands[k]);
      double weight = x.weights[k];
      for (int lane = 0; lane < count; ++lane) result[lane].real += weight * a[lane].real;
    }
  }

  void linear_integer(const Instruction& x, int count) {
    Row result = row(x.result);
    for (int lane = 0; lane < count; ++lane) result[lane].integer = x.integer;
    for (std::size_t k = 0; k < x.operands.size(); ++k) {
      Row a = row(x.operands[k]);
      for (int lane = 0; lane < count; ++lane)
        result[lane].integer =
            static_cast<std::int64_t>(bits(result[lane].integer) + bits(wrapped_product(x.integers[k], a[lane].integer)));
    }
  }

  void product_real(const Instruction& x, int count) {
    Row result = row(x.result);
    for (int lane = 0; lane < count; ++lane) result[lane].real = 1;
    for (std::size_t k = 0; k < x.operands.size(); ++k) {
      if (x.weights[k] < 0) continue;
      Row a = row(x.operands[k]);
      if (x.weights[k] == 1)
        for (int lane = 0; lane < count; ++lane) result[lane].real *= a[lane].real;
      else
        for (int lane = 0; lane < count; ++lane) result[lane].real *= raised(a[lane].real, x.weights[k]);
    }
    for (std::size_t k = 0; k < x.operands.size(); ++k) {  // Divided last, so that whole quotients are exact.
      if (x.weights[k] >= 0) continue;
      Row a = row(x.operands[k]);
      for (int lane = 0; lane < count; ++lane) result[lane].real /= raised(a[lane].real, -x.weights[k]);
    }
  }

  void product_integer(const Instruction& x, int count) {
    Row result = row(x.result);
    for (int lane = 0; lane < count; ++lane) result[lane].integer = 1;
    for (std::size_t k = 0; k < x.operands.size(); ++k) {
      Row a = row(x.operands[k]);
      for (int times = 0; times < x.weights[k]; ++times)
        for (int lane = 0; lane < count; ++lane) result[lane].integer = wrapped_product(result[lane].integer, a[lane].integer);
    }
  }

  void call(const Instruction& x, int count) {
    const ScalarFunction& function = *x.node->function;
    Row result = row(x.result);
    std::array<Row, 4> arguments{};
    std::size_t arity = x.operands.size();
    for (std::size_t k = 0; k < arity; ++k) arguments[k] = row(x.operands[k]);
    std::array<double, 4> reals{};
    std::array<std::int64_t, 4> integers{};
    for (int lane = 0; lane < count; ++lane) {
      if (x.from_real) {
        for (std::size_t k = 0; k < arity; ++k) reals[k] = arguments[k][lane].real;
        result[lane].real = function.evaluate(std::span(reals.data(), arity));
        continue;
      }
      for (std::size_t k = 0; k < arity; ++k) integers[k] = arguments[k][lane].integer;
      if (is_floating(x.node->dtype))
        result[lane].real = function.evaluate_integer_to_real(std::span(integers.data(), arity));
      else
        result[lane].integer = function.evaluate_integer(std::span(integers.data(), arity));
    }
  }

  void cast(const Instruction& x, int count) {
    DType to = x.node->to;
    each(x, count, [&](Slot& result, Slot a, Slot) {
      if (is_floating(to)) {
        double value = x.from_real ? a.real : static_cast<double>(a.integer);
        result.real = rounding_ ? round_to(to, value) : value;
      } else if (to == DType::boolean) {
        result.integer = x.from_real ? a.real != 0 : a.integer != 0;
      } else {
        result.integer = wrap_to(to, x.from_real ? truncated(a.real) : a.integer);
      }
    });
  }

  void both(const Instruction& x, int count) {
    Row result = row(x.result);
    for (int lane = 0; lane < count; ++lane) result[lane].integer = 1;
    for (int operand : x.operands) {
      Row a = row(operand);
      for (int lane = 0; lane < count; ++lane) result[lane].integer &= a[lane].integer;
    }
  }

  void select(const Instruction& x, int count) {
    Row result = row(x.result), condition = row(x.operands[0]), a = row(x.operands[1]), b = row(x.operands[2]);
    for (int lane = 0; lane < count; ++lane) result[lane] = condition[lane].integer ? a[lane] : b[lane];
  }

  void check(const Instruction& x, int count) {
    Row index = row(x.operands[0]), mask = x.mask < 0 ? Row{} : row(x.mask);
    for (int lane = 0; lane < count; ++lane)
      if ((!mask.at || mask[lane].integer) && (index[lane].integer < 0 || index[lane].integer >= x.integer))
        report_outside(x.node, x.dimension, index[lane].integer);
  }

  void read(const Instruction& x, int loop, int count) {
    Row result = row(x.result), mask = x.mask < 0 ? Row{} : row(x.mask);
    Slot none{.integer = x.integer};
    Row base = x.operands.empty() ? Row{&none, 0} : row(x.operands[0]);
    std::int64_t first = x.step * first_[static_cast<std::size_t>(loop)];
    const Slot* data = arrays_[static_cast<std::size_t>(x.array)];
    if (!mask.at) {
      for (int lane = 0; lane < count; ++lane) result[lane] = data[base[lane].integer + first + x.step * lane];
    } else {
      for (int lane = 0; lane < count; ++lane)
        result[lane] = mask[lane].integer ? data[base[lane].integer + first + x.step * lane] : Slot{.integer = 0};
    }
  }

  void reduce(const Instruction& x) {
    Slot& result = row(x.result)[0];
    Slot lowest{};
    if (x.from_real)
      lowest.real = -infinity;
    else
      lowest.integer = std::numeric_limits<std::int64_t>::min();
    switch (x.node->reduction) {
      case Reduction::sum:
        result = Slot{.integer = 0};
        break;  // also 0.0
      case Reduction::product:
        x.from_real ? void(result.real = 1) : void(result.integer = 1);
        break;
      case Reduction::maximum:
        result = lowest;
        break;
      case Reduction::argmax:
        result.integer = -1;
        row(x.operands[0])[0] = lowest;
        break;
      case Reduction::any:
        result.integer = 0;
        break;
    }
    if (x.mask < 0 || row(x.mask)[0].integer) run(x.loop);
  }

  void accumulate(const Instruction& x, int count) {
    Slot& result = row(x.result)[0];
    Row a = row(x.operands[0]);
    switch (x.node->reduction) {
      case Reduction::sum:
        if (x.from_real)
          result.real += sum(a, count);
        else
          for (int lane = 0; lane < count; ++lane) result.integer = static_cast<std::int64_t>(bits(result.integer) + bits(a[lane].integer));
        break;
      case Reduction::product:
        for (int lane = 0; lane < count; ++lane)
          if (x.from_real)
            result.real *= a[lane].real;
          else
            result.integer = wrapped_product(result.integer, a[lane].integer);
        break;
      case Reduction::maximum:
        for (int lane = 0; lane < count; ++lane)
          if (x.from_real ? a[lane].real > result.real || std::isnan(a[lane].real) : a[lane].integer > result.integer) result = a[lane];
        break;
      case Reduction::argmax: {
        Slot& best = row(x.operands[1])[0];
        Row index = row(x.operands[2]);
        for (int lane = 0; lane < count; ++lane) {
          bool wins = x.from_real ? a[lane].real > best.real || (std::isnan(a[lane].real) && !std::isnan(best.real))
                                  : a[lane].integer > best.integer;
          if (!wins && result.integer >= 0) continue;
          best = a[lane];
          result.integer = index[lane].integer;
        }
        break;
      }
      case Reduction::any:
        for (int lane = 0; lane < count; ++lane) result.integer |= a[lane].integer;
        break;
    }
  }

  // Four sums side by side: the processor need not wait for one addition to begin the next.
  static double sum(Row a, int count) {
    double parts[4] = {0, 0, 0, 0};
    int lane = 0;
    for (; lane + 4 <= count; lane += 4)
      for (int k = 0; k < 4; ++k) parts[k] += a[lane + k].real;
    for (; lane < count; ++lane) parts[0] += a[lane].real;
    return (parts[0] + parts[1]) + (parts[2] + parts[3]);
  }

  void store(const Instruction& x, int count) {
    Row value = row(x.operands[0]);
    for (int lane = 0; lane < count; ++lane) *out_++ = value[lane];
  }

  const Program& program_;
  const std::vector<const Slot*>& arrays_;
  bool rounding_;
  Slot* out_;
  std::vector<Slot> slots_;
  std::vector<std::int64_t> first_;  // by loop: the index of lane 0
};

}  // namespace

void run(const Program& program, const std::vector<const Slot*>& arrays, bool rounding, Slot* out) {
  Runner(program, arrays, rounding, out).run(0);
}

}  // namespace heed::loops
