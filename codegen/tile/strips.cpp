// What a sweep keeps in scratch for the sweeps after it.
#include <algorithm>
#include <optional>
#include <unordered_map>
#include <unordered_set>

#include "codegen/tile/schedule.h"
#include "ir/integer.h"

namespace heed {
namespace {

constexpr std::int64_t strip_limit = 512 << 10;  // bytes of scratch that stay near
constexpr std::int64_t far_bytes = 1024;         // between elements: lines so far apart fall into few sets of a cache
constexpr double dear_cycles = 12;               // to compute a value again that a strip keeps

bool has(const AxisSet& set, AxisRef axis) { return axis && std::ranges::find(set, axis) != set.end(); }

// A sweep down a column of a wide array: what it reads once is gone from the first cache when the next sweep comes.
bool reads_far(Expr read, const Sweep& sweep) {
  for (const IntegerTerm& term : affine_address(read).terms)
    if (term.x->op == Op::axis && std::ranges::find(sweep.axes, term.x->axes[0]) != sweep.axes.end() &&
        std::abs(term.weight) * byte_size(read->array->dtype) >= far_bytes && term.x->axes[0]->size >= 64)
      return true;
  return false;
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
  auto replaced = [&](Expr root) {
    return rewrite(root,
                   [&](Expr node, std::span<const Expr> operands) { return node == x ? again : with_stored_operands(node, operands); });
  };
  for (std::size_t later = repeated.first + 1; later < nest.sweeps.size(); ++later) {
    if (nest.sweeps[later].axes != axes) continue;
    for (Accumulation& each : nest.sweeps[later].accumulations) each.body = replaced(each.body);
    for (NestStore& store : nest.sweeps[later].stores) store.value = replaced(store.value);
  }
  nest.sweeps[repeated.first].stores.push_back({array, affine_address(again), x});
}

}  // namespace

void keep_strips(Nest& nest, VectorShape shape) {
  std::unordered_set<Expr> refused;  // for want of space
  while (auto repeated = repeated_value(nest, refused, shape)) {
    std::int64_t elements = nest.lane_row ? nest.unroll * shape.lanes : 1;
    for (AxisRef axis : nest.sweeps[repeated->later].axes) elements *= axis->size;
    std::int64_t bytes = round_up(elements * byte_size(repeated->value->dtype), 64);
    if (nest.scratch_bytes + bytes <= strip_limit)
      add_strip(nest, *repeated, bytes);
    else
      refused.insert(repeated->value);
  }
}

}  // namespace heed
