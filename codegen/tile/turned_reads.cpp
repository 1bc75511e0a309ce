// Maps whose reads lie along one axis and whose stores along another: read line by line into a square that is turned in registers.
#include <algorithm>
#include <optional>
#include <unordered_set>

#include "codegen/tile/schedule.h"
#include "ir/guard.h"

namespace heed {
namespace {

constexpr std::int64_t longest_side = 128, shortest_side = 32;  // of a square: its lines are some whole lines of a cache
constexpr std::int64_t most_bytes = 192 << 10;                  // of the squares of all reads, which stay in the second cache
constexpr double turning_cycles = 5;                            // of a vector: read, stored, turned, stored again

bool has(const AxisSet& set, AxisRef axis) { return std::ranges::find(set, axis) != set.end(); }

// Elements that an address moves by along an axis; nothing where it is no multiple of its positions.
std::optional<std::int64_t> stride_along(const LinearForm& address, AxisRef axis) {
  std::int64_t stride = 0;
  for (const IntegerTerm& term : address.terms) {
    if (term.x->op == Op::axis && term.x->axes[0] == axis)
      stride += term.weight;
    else if (has(term.x->free, axis))
      return {};
  }
  return stride;
}

// One store or more at each position of the rows, and nothing else.
bool is_map(const Nest& nest) {
  if (nest.sweeps.size() != 1 || !nest.parts.empty() || !nest.locals.empty() || !nest.strips.empty()) return false;
  const Sweep& sweep = nest.sweeps[0];
  return sweep.axes.empty() && sweep.accumulations.empty() &&
         std::ranges::none_of(sweep.stores, [](const NestStore& store) { return store.add || store.onto; });
}

// Reads that lie along `row` and across `lane`, wherever they stand.
std::vector<Expr> turned_reads(const Nest& nest, AxisRef row, AxisRef lane) {
  std::vector<Expr> found;
  for (Expr x : computed(nest.sweeps[0])) {
    if (x->op != Op::read || !has(x->free, row) || !has(x->free, lane) || !std::ranges::all_of(x->operands, is_affine)) continue;
    auto is_bound = [&](AxisRef axis) { return axis == lane || std::ranges::find(nest.rows, axis) != nest.rows.end(); };
    if (!std::ranges::all_of(x->free, is_bound) || may_leave(x)) continue;
    const LinearForm address = affine_address(x);
    const auto along = stride_along(address, row), across = stride_along(address, lane);
    if (along && across && std::abs(*along) == 1 && std::abs(*across) > 1) found.push_back(x);
  }
  return found;
}

// Bytes of a square and what is stored past its end.
std::int64_t bytes_of_square(Expr read, std::int64_t side, int lanes) {
  return round_up((side + lanes) * side * byte_size(read->array->dtype), 64);
}

// The longest side of which memory near holds the squares of all reads; 0: there is none.
std::int64_t side_of(const std::vector<Expr>& reads, std::int64_t longest, int lanes) {
  for (std::int64_t side = std::min(longest_side, round_up(longest, lanes)); side >= std::min(longest, shortest_side); side /= 2) {
    std::int64_t bytes = 0;
    for (Expr read : reads) bytes += bytes_of_square(read, side, lanes);
    if (bytes <= most_bytes && side % lanes == 0) return side;
  }
  return 0;
}

// The same by squares of two rows of a map; nothing if no read would be turned.
std::optional<Nest> by_squares(const Nest& nest, AxisRef row, AxisRef lane, VectorShape shape) {
  const std::vector<Expr> reads = turned_reads(nest, row, lane);
  const std::int64_t side = reads.empty() ? 0 : side_of(reads, std::max(row->size, lane->size), shape.lanes);
  if (side == 0) return {};
  Nest turned = nest;
  std::erase(turned.rows, lane);
  turned.lane_row = lane;
  Arena& arena = *row->arena;
  Sweep turning{.axes = {lane, row}, .lane_axis = row, .turns = true};
  double cycles = 0;
  for (Expr x : reads) {
    ArrayRef array = input(arena, "", {row->size * side + lane->size}, x->array->dtype);
    Expr again = read_stored(array, std::vector<Expr>{add(scale(side, value(row)), value(lane))});
    turning.stores.push_back({.array = array, .address = affine_address(again), .value = x});
    turned.strips.push_back({array, turned.scratch_bytes});
    turned.scratch_bytes += bytes_of_square(x, side, shape.lanes);
    rewrite_nest(turned, [&](Expr root) {
      return rewrite(root,
                     [&](Expr node, std::span<const Expr> operands) { return node == x ? again : with_stored_operands(node, operands); });
    });
    double lines = static_cast<double>(nest.row_count()) / static_cast<double>(row->size * lane->size);
    for (AxisRef axis : {row, lane}) lines *= static_cast<double>(ceil_divide(axis->size, shape.lanes));
    cycles += lines * shape.lanes * turning_cycles;
  }
  turned.cycles = cycles_of(turned, shape) + cycles;
  std::erase(turned.rows, row);
  turned.lane_row = nullptr;
  turned.square = Square{row, lane, side};
  turned.spare_offset = turned.scratch_bytes;
  turned.scratch_bytes += std::int64_t{8} * shape.lanes * shape.lanes;
  turned.sweeps[0].axes = {row, lane};
  turned.sweeps[0].lane_axis = lane;
  turned.sweeps.insert(turned.sweeps.begin(), std::move(turning));
  return turned;
}

}  // namespace

void turn_reads(Nest& nest, VectorShape shape) {
  if (!is_map(nest)) return;
  Nest all = nest;
  if (all.lane_row) all.rows.push_back(all.lane_row);
  all.lane_row = nullptr;
  for (AxisRef lane : all.rows)
    for (AxisRef row : all.rows) {
      if (row == lane) continue;
      std::optional<Nest> turned = by_squares(all, row, lane, shape);
      if (turned && turned->cycles < nest.cycles) nest = std::move(*turned);
    }
}

}  // namespace heed
