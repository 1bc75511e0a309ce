// Which axis lies along the lanes, what is kept in strips, and how the work is cut into tasks: by an estimate of cycles.
#include <algorithm>
#include <cmath>
#include <optional>
#include <unordered_set>

#include "codegen/tile/nest.h"
#include "ir/function.h"

namespace heed {
namespace {

constexpr double gather_cycles = 20, scatter_cycles = 26, call_cycles = 60;
constexpr double task_cycles = 40000;  // about what is worth handing to a thread
constexpr std::int64_t most_tasks = 512;
constexpr std::int64_t enough_tasks = 16;        // to cut work into more gains little
constexpr std::int64_t strip_limit = 512 << 10;  // bytes of scratch that stay near
constexpr std::int64_t far_bytes = 1024;         // between elements: lines so far apart fall into few sets of a cache
constexpr double dear_cycles = 12;               // to compute a value again that a strip keeps

bool has(const AxisSet& set, AxisRef axis) { return axis && std::ranges::find(set, axis) != set.end(); }

double vectors(std::int64_t size, int lanes) { return static_cast<double>((size + lanes - 1) / lanes); }

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

// What the loops compute: addresses are left out.
void collect(Expr x, std::unordered_set<Expr>& seen, std::vector<Expr>& out) {
  if (!seen.insert(x).second) return;
  for (Expr operand : x->operands)
    if (x->op != Op::read || !is_affine(operand)) collect(operand, seen, out);
  out.push_back(x);
}
std::vector<Expr> computed(const Sweep& pass) {
  std::unordered_set<Expr> seen;
  std::vector<Expr> out;
  for (const Accumulation& each : pass.accumulations) collect(each.body, seen, out);
  for (const NestStore& store : pass.stores) {
    collect(store.value, seen, out);
    if (store.guard) collect(store.guard, seen, out);
  }
  return out;
}

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

double sweep_cycles(const Nest& nest, const Sweep& pass, VectorShape shape, Locals& locals) {
  AxisRef lane = nest.lane_row ? nest.lane_row : pass.lane_axis;
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
  for (AxisRef axis : pass.axes) inner *= axis == lane ? vectors(axis->size, shape.lanes) : static_cast<double>(axis->size);
  for (Expr x : computed(pass)) {
    bool local = locals.in(x);
    bool vector = has(x->free, lane) || (local && nest.lane_row);
    total += trips(x->free, local) * node_cycles(x, vector, lane, shape.lanes);
    if (x->op == Op::reduction) total += 2 * trips(x->operands[0]->free, locals.in(x->operands[0]));
  }
  total += static_cast<double>(pass.accumulations.size()) * rows * lane_rows * (inner + (pass.lane_axis ? 12 : 2));
  for (const NestStore& store : pass.stores) {
    double each = 1;
    std::int64_t stride = 0;
    bool other = false;
    for (const IntegerTerm& term : store.address.terms) {
      if (term.x->op == Op::axis && term.x->axes[0] == lane)
        stride += term.weight;
      else
        other = other || has(term.x->free, lane);
    }
    bool strip = std::ranges::any_of(nest.strips, [&](const Strip& known) { return known.array == store.array; });
    if (lane && !strip && (other || stride != 1)) each = stride == 0 && !other ? 1 : scatter_cycles;
    total += rows * lane_rows * inner * (store.add ? 3 : 1) * each;
  }
  return total;
}

// A sweep down a column of a wide array: what it reads once is gone from the first cache when the next sweep comes.
bool reads_far(Expr read, const Sweep& sweep) {
  for (const IntegerTerm& term : affine_address(read).terms)
    if (term.x->op == Op::axis && std::ranges::find(sweep.axes, term.x->axes[0]) != sweep.axes.end() &&
        std::abs(term.weight) * byte_size(read->array->dtype) >= far_bytes && term.x->axes[0]->size >= 64)
      return true;
  return false;
}

bool adds(const Nest& nest) {
  return std::ranges::any_of(
      nest.sweeps, [](const Sweep& pass) { return std::ranges::any_of(pass.stores, [](const NestStore& store) { return store.add; }); });
}

// Lanes that lie side by side in every scattered store.
bool may_be_lanes(const Nest& nest, AxisRef axis) {
  for (const Sweep& pass : nest.sweeps)
    for (const NestStore& store : pass.stores) {
      if (!store.add) continue;
      std::int64_t stride = 0;
      for (const IntegerTerm& term : store.address.terms) {
        if (term.x->op == Op::axis && term.x->axes[0] == axis)
          stride += term.weight;
        else if (has(term.x->free, axis))
          return false;
      }
      if (stride != 1 || has(store.guard->free, axis)) return false;
    }
  return true;
}

std::int64_t wanted_tasks(double cycles) {
  return std::clamp<std::int64_t>(static_cast<std::int64_t>(cycles / task_cycles), 1, most_tasks);
}

// Cycles with as many threads as are worth having.
double parallel_cycles(const Nest& nest, VectorShape shape) {
  double parts = static_cast<double>(nest.row_count()) * (nest.lane_row ? vectors(nest.lane_row->size, shape.lanes) : 1);
  return nest.cycles / std::min({parts, static_cast<double>(wanted_tasks(nest.cycles)), static_cast<double>(enough_tasks)});
}

void choose_lanes(Nest& nest, VectorShape shape) {
  Nest inside = nest;
  Locals locals(nest);
  if (!adds(nest))
    for (Sweep& pass : inside.sweeps) {
      double best = sweep_cycles(inside, pass, shape, locals);
      Sweep chosen = pass;
      for (AxisRef axis : pass.axes) {
        Sweep with = pass;
        with.lane_axis = axis;
        double cycles = sweep_cycles(inside, with, shape, locals);
        if (cycles < best) best = cycles, chosen = with;
      }
      pass = chosen;
    }
  Nest best = inside;
  best.cycles = cycles_of(inside, shape);
  for (AxisRef axis : nest.rows) {
    if (!may_be_lanes(nest, axis)) continue;
    Nest outside = nest;
    std::erase(outside.rows, axis);
    outside.lane_row = axis;
    outside.cycles = cycles_of(outside, shape);
    if (parallel_cycles(outside, shape) <= parallel_cycles(best, shape)) best = std::move(outside);  // of equals the inner axis
  }
  nest = std::move(best);
}

int unroll_of(std::int64_t size, const Sweep& pass, VectorShape shape) {
  std::vector<Expr> nodes = computed(pass);
  bool reduces = std::ranges::any_of(nodes, [](Expr x) { return x->op == Op::reduction; });
  if (reduces || nodes.size() > 120) return 1;
  int most = nodes.size() > 40 || pass.accumulations.size() > 3 ? 2 : 4;
  while (most > 1 && size < most * shape.lanes) most /= 2;
  return most;
}

void choose_unroll(Nest& nest, VectorShape shape) {
  if (!nest.lane_row) {
    for (Sweep& pass : nest.sweeps)
      if (pass.lane_axis && !pass.accumulations.empty()) pass.unroll = unroll_of(pass.lane_axis->size, pass, shape);
    return;
  }
  bool accumulates = false;
  int least = 4;
  for (const Sweep& pass : nest.sweeps) {
    accumulates =
        accumulates || !pass.accumulations.empty() || std::ranges::any_of(pass.stores, [](const NestStore& store) { return store.add; });
    least = std::min(least, unroll_of(nest.lane_row->size, pass, shape));
  }
  std::int64_t parts = nest.row_count() * ((nest.lane_row->size + shape.lanes - 1) / shape.lanes);
  while (least > 1 && parts / least < std::min(wanted_tasks(nest.cycles), enough_tasks)) least /= 2;
  if (accumulates) nest.unroll = least;
}

// A value that sweep `later` needs again and that was first computed in sweep `first`.
struct Repeated {
  Expr value;
  std::size_t first, later;
};

// The first dear value that a later sweep over the same axes computes again.
std::optional<Repeated> repeated_value(const Nest& nest, const std::unordered_set<Expr>& refused, VectorShape shape) {
  std::unordered_map<Expr, std::size_t> first;
  std::unordered_map<Expr, double> dear;
  for (std::size_t p = 0; p < nest.sweeps.size(); ++p)
    for (Expr x : computed(nest.sweeps[p])) {
      if (!first.try_emplace(x, p).second) continue;
      double cycles = x->op == Op::read ? (nest.lane_row && reads_far(x, nest.sweeps[p]) ? dear_cycles : 0)
                                        : node_cycles(x, true, nullptr, shape.lanes) + (x->op == Op::reduction ? 100 : 0);
      for (Expr operand : x->operands)
        if (x->op != Op::read || !is_affine(operand)) cycles += dear.at(operand);
      dear[x] = std::min(cycles, 1e9);
    }
  for (std::size_t p = 1; p < nest.sweeps.size(); ++p) {
    const std::vector<AxisRef>& axes = nest.sweeps[p].axes;
    if (axes.empty()) continue;
    auto known = [&](AxisRef axis) {
      return std::ranges::find(axes, axis) != axes.end() || std::ranges::find(nest.rows, axis) != nest.rows.end() || axis == nest.lane_row;
    };
    std::unordered_set<Expr> seen;
    std::optional<Repeated> found;
    auto search = [&](auto& self, Expr x) -> void {
      if (found || x->free.empty() || !seen.insert(x).second) return;
      std::size_t q = first.at(x);
      bool whole = std::ranges::all_of(x->free, known) && std::ranges::all_of(axes, [&](AxisRef axis) { return has(x->free, axis); });
      if (q < p && nest.sweeps[q].axes == axes && whole && dear.at(x) >= dear_cycles && !refused.contains(x)) {
        found = {x, q, p};
        return;
      }
      for (Expr operand : x->operands)
        if (x->op != Op::read || !is_affine(operand)) self(self, operand);
    };
    for (const Accumulation& each : nest.sweeps[p].accumulations) search(search, each.body);
    for (const NestStore& store : nest.sweeps[p].stores) search(search, store.value);
    if (found) return found;
  }
  return {};
}

void add_strip(Nest& nest, const Repeated& repeated, std::int64_t bytes) {
  const std::vector<AxisRef> axes = nest.sweeps[repeated.first].axes;
  std::vector<std::int64_t> sizes;
  std::vector<Expr> indices;
  for (AxisRef axis : axes) sizes.push_back(axis->size), indices.push_back(value(axis));
  Expr x = repeated.value;
  ArrayRef array = input(*x->arena, "", sizes, x->dtype);
  Expr again = read_stored(array, indices);
  nest.strips.push_back({array, nest.scratch_bytes});
  nest.scratch_bytes += bytes;
  std::unordered_map<Expr, Expr> made{{x, again}};
  auto replaced = [&](Expr root) {
    for (Expr node : nodes_of(root)) {
      if (made.contains(node)) continue;
      std::vector<Expr> operands;
      for (Expr operand : node->operands) operands.push_back(made.at(operand));
      bool same = operands == node->operands;
      made[node] = same ? node : node->op == Op::read ? read_stored(node->array, operands) : rebuild(node, operands);
    }
    return made.at(root);
  };
  for (std::size_t later = repeated.first + 1; later < nest.sweeps.size(); ++later) {
    if (nest.sweeps[later].axes != axes) continue;
    for (Accumulation& each : nest.sweeps[later].accumulations) each.body = replaced(each.body);
    for (NestStore& store : nest.sweeps[later].stores) store.value = replaced(store.value);
  }
  nest.sweeps[repeated.first].stores.push_back({array, affine_address(again), x});
}

// Dear values that a later sweep over the same axes needs again.
void keep_strips(Nest& nest, VectorShape shape) {
  std::unordered_set<Expr> refused;  // for want of space
  while (auto repeated = repeated_value(nest, refused, shape)) {
    std::int64_t elements = nest.lane_row ? nest.unroll * shape.lanes : 1;
    for (AxisRef axis : nest.sweeps[repeated->later].axes) elements *= axis->size;
    std::int64_t bytes = (elements * byte_size(repeated->value->dtype) + 63) / 64 * 64;
    if (nest.scratch_bytes + bytes <= strip_limit)
      add_strip(nest, *repeated, bytes);
    else
      refused.insert(repeated->value);
  }
}

void cut_tasks(Nest& nest, VectorShape shape) {
  std::int64_t rows = nest.row_count();
  std::int64_t wanted = wanted_tasks(nest.cycles);
  std::int64_t row_parts = std::min(rows, wanted);
  nest.rows_per_task = (rows + row_parts - 1) / row_parts;
  row_parts = (rows + nest.rows_per_task - 1) / nest.rows_per_task;
  std::int64_t lane_parts = 1;
  nest.lanes_per_task = 1;
  if (nest.lane_row) {
    std::int64_t block = nest.unroll * shape.lanes, blocks = (nest.lane_row->size + block - 1) / block;
    lane_parts = std::clamp<std::int64_t>((wanted + row_parts - 1) / row_parts, 1, blocks);
    nest.lanes_per_task = (blocks + lane_parts - 1) / lane_parts * block;
    lane_parts = (nest.lane_row->size + nest.lanes_per_task - 1) / nest.lanes_per_task;
  }
  nest.tasks = row_parts * lane_parts;
}

}  // namespace

double cycles_of(const Nest& nest, VectorShape shape) {
  Locals locals(nest);
  double total = 0;
  for (const Sweep& pass : nest.sweeps) total += sweep_cycles(nest, pass, shape, locals);
  return total;
}

double traffic_of(const Nest& nest) {
  std::unordered_set<ArrayRef> arrays;
  for (const Strip& strip : nest.strips) arrays.insert(strip.array);
  for (ArrayRef local : nest.locals) arrays.insert(local);
  double bytes = 0;
  auto touch = [&](ArrayRef array) {
    if (arrays.insert(array).second) bytes += static_cast<double>(element_count(array) * byte_size(array->dtype));
  };
  for (const Sweep& sweep : nest.sweeps) {
    for (Expr x : computed(sweep))
      if (x->op == Op::read) touch(x->array);
    for (const NestStore& store : sweep.stores) touch(store.array);
  }
  return bytes;
}

void schedule(Nest& nest, VectorShape shape) {
  merge_axes(nest);
  choose_lanes(nest, shape);
  choose_unroll(nest, shape);
  keep_strips(nest, shape);
  nest.cycles = cycles_of(nest, shape);
  cut_tasks(nest, shape);
}

}  // namespace heed
