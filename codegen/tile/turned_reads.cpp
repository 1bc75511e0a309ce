// Maps whose reads lie along one axis and whose stores along another: read line by line into a square that is turned in registers.
#include <algorithm>
#include <cmath>
#include <optional>
#include <unordered_map>
#include <utility>

#include "codegen/tile/schedule.h"
#include "ir/guard.h"

namespace heed {
namespace {

constexpr std::int64_t longest_side = 128, shortest_side = 32;  // of a square: its lines are some whole lines of a cache
constexpr std::int64_t most_bytes = 192 << 10;                  // of the squares of all reads, which stay in the second cache
constexpr double turning_cycles = 5;                            // of a vector: read, stored, turned, stored again

// One store or more at each position of the rows, and nothing else.
bool is_map(const Nest& nest) {
  if (nest.sweeps.size() != 1 || !nest.parts.empty() || !nest.locals.empty() || !nest.strips.empty()) return false;
  const Sweep& sweep = nest.sweeps[0];
  return sweep.axes.empty() && sweep.accumulations.empty() &&
         std::ranges::none_of(sweep.stores, [](const NestStore& store) { return store.add || store.onto; });
}

struct PlainRead {
  Expr x;
  LinearForm address;
};

// Those of arrays at places that rows alone decide, and that lie in the array wherever they stand.
std::vector<PlainRead> plain_reads(const Nest& map) {
  std::vector<PlainRead> found;
  auto is_row = [&](AxisRef axis) { return std::ranges::find(map.rows, axis) != map.rows.end(); };
  for (Expr x : computed(map.sweeps[0]))
    if (x->op == Op::read && std::ranges::all_of(x->operands, is_affine) && std::ranges::all_of(x->free, is_row) && !may_leave(x))
      found.push_back({x, affine_address(x)});
  return found;
}

// Reads that lie along `row` and across `lane`.
std::vector<Expr> turned_reads(const std::vector<PlainRead>& reads, AxisRef row, AxisRef lane) {
  std::vector<Expr> found;
  for (const auto& [x, address] : reads) {
    const auto along = lane_stride(address, row), across = lane_stride(address, lane);
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
std::optional<Nest> by_squares(const Nest& map, const std::vector<PlainRead>& plain, AxisRef row, AxisRef lane, VectorShape shape) {
  const std::vector<Expr> reads = turned_reads(plain, row, lane);
  const std::int64_t side = reads.empty() ? 0 : side_of(reads, std::max(row->size, lane->size), shape.lanes);
  if (side == 0) return {};
  Nest turned = map;
  std::erase(turned.rows, lane);
  turned.lane_row = lane;
  Arena& arena = *row->arena;
  Sweep turning{.axes = {lane, row}, .lane_axis = row, .turns = true};
  std::unordered_map<Expr, Expr> strips;
  for (Expr x : reads) {
    ArrayRef array = input(arena, "", {row->size * side + lane->size}, x->array->dtype);
    Expr again = strips[x] = read_stored(array, std::vector<Expr>{add(scale(side, value(row)), value(lane))});
    turning.stores.push_back({.array = array, .address = affine_address(again), .value = x});
    turned.strips.push_back({array, turned.scratch_bytes});
    turned.scratch_bytes += bytes_of_square(x, side, shape.lanes);
  }
  rewrite_nest(turned, [&](Expr root) {
    return rewrite(root, [&](Expr node, std::span<const Expr> operands) {
      auto strip = strips.find(node);
      return strip == strips.end() ? with_stored_operands(node, operands) : strip->second;
    });
  });
  double lines = static_cast<double>(map.row_count() / (row->size * lane->size)) * shape.lanes;
  for (AxisRef axis : {row, lane}) lines *= static_cast<double>(ceil_divide(axis->size, shape.lanes));
  turned.cycles = cycles_of(turned, shape) + static_cast<double>(reads.size()) * lines * turning_cycles;
  std::erase(turned.rows, row);
  turned.lane_row = nullptr;
  turned.square = Square{row, lane, side};
  turned.sweeps[0].axes = {row, lane};
  turned.sweeps[0].lane_axis = lane;
  turned.sweeps.insert(turned.sweeps.begin(), std::move(turning));
  return turned;
}

}  // namespace

void turn_reads(Nest& nest, VectorShape shape) {
  if (!is_map(nest)) return;
  Nest map = nest;
  if (map.lane_row) map.rows.push_back(std::exchange(map.lane_row, nullptr));
  const std::vector<PlainRead> reads = plain_reads(map);
  for (AxisRef lane : map.rows)
    for (AxisRef row : map.rows) {
      std::optional<Nest> turned = by_squares(map, reads, row, lane, shape);
      if (turned && turned->cycles < nest.cycles) nest = std::move(*turned);
    }
}

}  // namespace heed
