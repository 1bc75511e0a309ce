// An estimate of the cycles that a nest takes on one core: what schedules are compared by.
#include <algorithm>
#include <cmath>
#include <unordered_set>

#include "codegen/tile/schedule.h"
#include "ir/function.h"
#include "ir/integer.h"

namespace heed {
namespace {

constexpr double gather_cycles = 20, scatter_cycles = 26, call_cycles = 60;

bool has(const AxisSet& set, AxisRef axis) { return axis && std::ranges::find(set, axis) != set.end(); }

double vectors(std::int64_t size, int lanes) { return static_cast<double>(ceil_divide(size, lanes)); }

// Cycles of a function of f32 for a vector.
double function_cycles(const Node& x, bool vector, int lanes) {
  struct Cost {
    std::string_view name;
    double cycles;
  };
  static constexpr Cost costs[] = {{"exp", 14},
                                   {"expm1", 22},
                                   {"log", 22},
                                   {"log1p", 34},
                                   {"tanh", 30},
                                   {"sin", 45},
                                   {"cos", 45},
                                   {"tan", 55},
                                   {"erf", 32},
                                   {"floor", 1},
                                   {"ceil", 1},
                                   {"round", 1},
                                   {"sign", 3},
                                   {"maximum", 3},
                                   {"reciprocal_or_zero", 10},
                                   {"stop_gradient", 0},
                                   {"straight_through", 0},
                                   {"random_uniform", 45}};
  double calls = call_cycles * (vector ? lanes : 1);
  for (const Cost& each : costs)
    if (each.name == x.function->name) return x.dtype == DType::f64 && each.cycles > 10 ? calls : each.cycles;
  return calls;
}

}  // namespace

double node_cycles(Expr x, bool vector, AxisRef lane, int lanes) {
  auto count = static_cast<double>(x->operands.size());
  switch (x->op) {
    case Op::constant:
    case Op::axis:
      return 0;
    case Op::product: {
      double sum = count - 1;
      for (double power : x->weights) sum += power == 1 ? 0 : power < 0 ? 10 : power == std::floor(power) ? 2 : 12;
      return sum;
    }
    case Op::function:
      return function_cycles(*x, vector, lanes);
    case Op::quotient:
    case Op::remainder:
      return 6;
    case Op::read: {
      if (!vector || x->operands.empty()) return 0.5;
      std::int64_t stride = 0;
      for (const IntegerTerm& term : affine_address(x).terms) {
        if (term.x->op == Op::axis && term.x->axes[0] == lane)
          stride += term.weight;
        else if (has(term.x->free, lane))
          return gather_cycles;
      }
      for (Expr index : x->operands)
        if (!is_affine(index) && has(index->free, lane)) return gather_cycles;
      return stride == 1 ? 1 : stride == -1 ? 2 : gather_cycles;
    }
    default:
      return std::max(1.0, count);
  }
}

namespace {

// What the loops compute: addresses are left out.
void collect(Expr x, std::unordered_set<Expr>& seen, std::vector<Expr>& out) {
  if (!seen.insert(x).second) return;
  for (Expr operand : x->operands)
    if (x->op != Op::read || !is_affine(operand)) collect(operand, seen, out);
  out.push_back(x);
}

}  // namespace

std::vector<Expr> computed(const Sweep& sweep) {
  std::unordered_set<Expr> seen;
  std::vector<Expr> out;
  for (const Accumulation& each : sweep.accumulations) collect(each.body, seen, out);
  for (const NestStore& store : sweep.stores) {
    collect(store.value, seen, out);
    if (store.guard) collect(store.guard, seen, out);
  }
  return out;
}

namespace {

class Locals {  // which expressions read values of the row
 public:
  explicit Locals(const Nest& nest) {
    for (ArrayRef local : nest.locals) arrays_.insert(local);
    for (const Strip& strip : nest.strips) arrays_.insert(strip.array);
  }
  bool in(Expr x) {
    auto [found, added] = known_.try_emplace(x, false);
    if (!added) return found->second;
    bool result = x->op == Op::read && arrays_.contains(x->array);
    for (Expr operand : x->operands) result = result || in(operand);
    return known_[x] = result;
  }

 private:
  std::unordered_set<ArrayRef> arrays_;
  std::unordered_map<Expr, bool> known_;
};

double sweep_cycles(const Nest& nest, const Sweep& sweep, VectorShape shape, Locals& locals) {
  AxisRef lane = nest.lane_row ? nest.lane_row : sweep.lane_axis;
  double rows = static_cast<double>(nest.row_count());
  double lane_rows = nest.lane_row ? vectors(nest.lane_row->size, shape.lanes) : 1;
  double total = 0;
  auto trips = [&](const AxisSet& free, bool all_rows) {
    double count = all_rows ? rows * lane_rows : 1;
    for (AxisRef axis : free) {
      if (axis == lane)
        count *= all_rows && nest.lane_row ? 1 : vectors(axis->size, shape.lanes);
      else if (!all_rows || std::ranges::find(nest.rows, axis) == nest.rows.end())
        count *= static_cast<double>(axis->size);
    }
    return count;
  };
  double inner = 1;
  for (AxisRef axis : sweep.axes) inner *= axis == lane ? vectors(axis->size, shape.lanes) : static_cast<double>(axis->size);
  for (Expr x : computed(sweep)) {
    bool local = locals.in(x);
    bool vector = has(x->free, lane) || (local && nest.lane_row);
    total += trips(x->free, local) * node_cycles(x, vector, lane, shape.lanes);
    if (x->op == Op::reduction) total += 2 * trips(x->operands[0]->free, locals.in(x->operands[0]));
  }
  total += static_cast<double>(sweep.accumulations.size()) * rows * lane_rows * (inner + (sweep.lane_axis ? 12 : 2));
  for (const NestStore& store : sweep.stores) {
    const bool strip = std::ranges::any_of(nest.strips, [&](const Strip& known) { return known.array == store.array; });
    const auto stride = lane && !strip ? lane_stride(store.address, lane) : 1;
    const double each = stride == 0 || stride == 1 ? 1 : scatter_cycles;
    total += rows * lane_rows * inner * (store.add || store.onto ? 3 : 1) * each;
  }
  return total;
}

}  // namespace

double sweep_cycles(const Nest& nest, const Sweep& sweep, VectorShape shape) {
  Locals locals(nest);
  return sweep_cycles(nest, sweep, shape, locals);
}

double cycles_of(const Nest& nest, VectorShape shape) {
  Locals locals(nest);
  double total = 0;
  for (const Sweep& sweep : nest.sweeps) total += sweep_cycles(nest, sweep, shape, locals);
  return total;
}

double traffic_of(const Nest& nest) {
  std::unordered_set<ArrayRef> arrays;
  for (const Strip& strip : nest.strips) arrays.insert(strip.array);
  for (ArrayRef local : nest.locals) arrays.insert(local);
  for (const Part& part : nest.parts) arrays.insert(part.array);
  double bytes = 0;
  auto touch = [&](ArrayRef array) {
    if (arrays.insert(array).second) bytes += static_cast<double>(byte_count(array));
  };
  for (const Part& part : nest.parts) touch(part.into);
  for (const Sweep& sweep : nest.sweeps) {
    for (Expr x : computed(sweep))
      if (x->op == Op::read) touch(x->array);
    for (const NestStore& store : sweep.stores) touch(store.array);
  }
  return bytes;
}

}  // namespace heed
