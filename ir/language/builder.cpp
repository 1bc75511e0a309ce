// Definitions at symbolic shapes, and the keys of random numbers.
#include "ir/language/builder.h"

#include <array>

#include "ir/function.h"

namespace heed {
namespace {

// FNV-1a of a place: which random numbers are drawn there.
std::int64_t hash_of(const std::string& place, std::int64_t draw) {
  std::uint64_t hash = 14695981039346656037u;
  auto mix = [&](unsigned char byte) { hash = (hash ^ byte) * 1099511628211u; };
  for (char c : place) mix(static_cast<unsigned char>(c));
  for (int k = 0; k < 8; ++k) mix(static_cast<unsigned char>(draw >> (8 * k)));
  return static_cast<std::int64_t>(hash >> 2);  // leaves room for adding seed and step
}

}  // namespace

Builder::Builder() { graph.arena = std::make_shared<Arena>(); }

ShapedArray Builder::define(std::vector<Dimension> shape, DType dtype, const Body& body) {
  count_of(shape);  // throws where it cannot be counted
  std::string name = std::exchange(name_hint, {});
  std::vector<AxisRef> axes;
  std::vector<Expr> values;
  for (const Dimension& dimension : shape) {
    axes.push_back(fresh_axis(arena(), dimension.value));
    values.push_back(value(axes.back()));
  }
  return {heed::define(axes, body(values), dtype, name), std::move(shape)};
}

ShapedArray Builder::constant(const Value& number, DType dtype) {
  return define({}, dtype, [&](std::span<const Expr>) -> Expr {
    if (is_floating(dtype)) return real(arena(), round_to(dtype, number_of(number)), compute_type(dtype));
    if (dtype == DType::boolean) return boolean(arena(), number_of(number) != 0);
    return integer(arena(), wrap_to(dtype, std::get<Dimension>(number.variant()).value));
  });
}

ShapedArray Builder::random(const std::vector<Dimension>& shape) {
  constexpr std::int64_t seed_weight = 0x5DEECE66D, step_weight = 0x2545F491;
  std::int64_t here = hash_of(place, draws_[place]++);
  std::array terms{IntegerTerm{seed_weight, seed()}, IntegerTerm{step_weight, step()}};
  Expr key = linear(std::span(terms).first(filled ? 1 : 2), here, arena());  // initial values are before the first step
  return define(shape, DType::f32, [&](std::span<const Expr> positions) {
    std::vector<IntegerTerm> flat;
    std::int64_t stride = 1;
    for (std::size_t k = positions.size(); k-- > 0; stride *= shape[k].value) flat.push_back({stride, positions[k]});
    for (auto turn = turns.rbegin(); turn != turns.rend(); stride *= turn->length, ++turn) {
      drawn_at.insert(turn->index);
      flat.push_back({stride, read(turn->index, {})});
    }
    return apply(functions::random_uniform, {key, linear(flat, 0, arena())});
  });
}

void Builder::suit_nominal(const Dimension& size, std::int64_t multiply, std::int64_t divide) const {
  if (may_change_nominal && !size.size.constant()) throw NominalMismatch{multiply, divide};
}

Expr Builder::seed() {
  if (!seed_) {
    seed_ = input(arena(), "seed", {}, DType::i64);
    graph.inputs.push_back({GraphInput::Role::seed, seed_});
  }
  return read(seed_, {});
}

Expr Builder::step() {
  if (!step_) {
    step_ = input(arena(), "step", {}, DType::i64, Interval{1, std::int64_t{1} << 40});
    graph.inputs.push_back({GraphInput::Role::step, step_});
  }
  return read(step_, {});
}

Expr at(const ShapedArray& array, std::span<const Expr> indices) { return read(array.array, indices); }

std::vector<Expr> broadcast_positions(const std::vector<Dimension>& shape, std::span<const Expr> positions, Arena& arena) {
  std::vector<Expr> result;
  std::size_t skipped = positions.size() - shape.size();
  for (std::size_t k = 0; k < shape.size(); ++k) result.push_back(shape[k] == Dimension(1) ? integer(arena, 0) : positions[skipped + k]);
  return result;
}

}  // namespace heed
