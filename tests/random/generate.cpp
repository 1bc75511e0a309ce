// Random graphs from the algebra's constructors: steps that make one array of others.
#include "tests/random/generate.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "ir/algebra.h"
#include "ir/function.h"
#include "tests/random/ingredients.h"

namespace heed {
namespace {

class Generator : Ingredients {
 public:
  Generator(std::uint64_t seed, bool smooth) : Ingredients(seed, smooth) {}

  Graph make() {
    int inputs = 1 + static_cast<int>(below(3));
    for (int k = 0; k < inputs; ++k) pool_.push_back(given(shape(1 + below(3))));
    bool attends = chance(0.5);
    int steps = 1 + static_cast<int>(below(5));
    for (int k = 0; k < steps; ++k) step();
    if (attends) {
      attention();
      for (std::uint64_t k = below(3); k > 0; --k) step();
    }
    std::vector<ArrayRef> results{pool_.back()};
    if (chance(0.4)) results.push_back(pool_[below(pool_.size())]);
    for (ArrayRef result : results)
      if (result->kind != Array::Kind::input && std::ranges::find(graph_.outputs, result, &GraphOutput::array) == graph_.outputs.end())
        graph_.outputs.push_back({fmt::format("y{}", graph_.outputs.size()), result});
    if (graph_.outputs.empty()) graph_.outputs.push_back({"y0", unary(pool_.back())});
    drop_unread_inputs();
    return std::move(graph_);
  }

 private:
  // --- elementwise
  ArrayRef unary(ArrayRef x) {
    Axes axes = axes_of(x->shape);
    return made(axes, map(at(x, axes)));
  }

  Axes some_axes(ArrayRef like) {
    if (chance(0.6)) return axes_of(like->shape);
    return axes_of(shape(1 + below(3)));
  }

  ArrayRef binary() {
    ArrayRef a = any(), b = any();
    Axes axes = some_axes(a);
    Expr x = read_somehow(a, axes), y = read_somehow(b, axes);
    switch (below(7)) {
      case 0:
        return made(axes, add(x, y));
      case 1:
        return made(axes, subtract(scale(0.5, x), y));
      case 2:
        return made(axes, multiply(x, call("tanh", {y})));
      case 3:
        return made(axes, divide(x, add(power(y, 2), constant(1))));
      case 4:
        return made(axes, apply(functions::maximum, {x, y}));
      case 5:
        return made(axes, select(greater(x, y), map(x), y));
      default:
        return made(axes, multiply(map(x), map(y)));
    }
  }

  // --- reductions
  ArrayRef reduction() {
    ArrayRef a = any();
    Axes axes = axes_of(shape(below(3))), inner = axes_of(chance(0.75) || a->shape.empty() ? shape(1) : shape(2));
    if (!a->shape.empty() && chance(0.7)) {  // rows or columns of it
      Axes own = axes_of(a->shape);
      std::uint64_t k = below(own.size());
      inner = {own[k]};
      own.erase(own.begin() + static_cast<std::ptrdiff_t>(k));
      axes = own;
    }
    Axes all = axes;
    all.insert(all.end(), inner.begin(), inner.end());
    Expr x = read_somehow(a, all);
    double count = 1;
    for (AxisRef axis : inner) count *= static_cast<double>(std::max<std::int64_t>(axis->size, 1));
    switch (below(8)) {
      case 0:
        return made(axes, apply(functions::maximum,
                                {reduce(Reduction::maximum, std::array{inner[0]}, read_somehow(a, with(axes, inner[0]))), constant(-9)}));
      case 1: {
        Expr best = reduce(Reduction::argmax, std::array{inner[0]}, read_somehow(a, with(axes, inner[0])));
        return made(axes, scale(0.1, cast(DType::f32, best)));
      }
      case 2: {
        Expr found = reduce(Reduction::any, std::array{inner[0]}, greater(read_somehow(a, with(axes, inner[0])), constant(0.9)));
        return made(axes, select(found, constant(1), constant(-0.5)));
      }
      case 3:
        return made(axes, scale(1 / std::sqrt(count), sum(inner, map(x))));
      case 4:
        return made(axes, scale(1 / count, sum(inner, multiply(x, read_somehow(any(), all)))));
      case 5:
        return made(axes, reduce(Reduction::product, std::array{inner[0]},
                                 add(constant(1), scale(1 / count, call("tanh", {read_somehow(a, with(axes, inner[0]))})))));
      default:
        return made(axes, scale(1 / std::sqrt(count), sum(inner, x)));
    }
  }
  static Axes with(Axes axes, AxisRef axis) {
    axes.push_back(axis);
    return axes;
  }

  ArrayRef matrix_product() {
    ArrayRef a = any();
    Axes axes = axes_of(a->shape.empty() ? shape(1) : a->shape);
    AxisRef k = axes.back(), n = fresh_axis(arena(), size());
    axes.pop_back();
    ArrayRef w = chance(0.7) ? given({k->size, n->size}) : any();
    Expr x = read_somehow(a, with(axes, k)), y = w->shape == std::vector{k->size, n->size} ? at(w, {k, n}) : read_somehow(w, {k, n});
    if (chance(0.2)) x = map(x);
    Expr total = scale(1 / std::sqrt(static_cast<double>(std::max<std::int64_t>(k->size, 1))), sum(std::array{k}, multiply(x, y)));
    if (chance(0.3)) total = map(total);
    return made(with(axes, n), total);
  }

  ArrayRef window() {
    ArrayRef a = any();
    Axes axes = axes_of(a->shape.empty() ? shape(1) : a->shape);
    if (a->shape.empty()) return unary(a);
    AxisRef u = fresh_axis(arena(), 1 + static_cast<std::int64_t>(below(3)));
    ArrayRef w = given({u->size});
    std::vector<Expr> indices;
    for (AxisRef axis : axes) indices.push_back(value(axis));
    std::int64_t stride = 1 + static_cast<std::int64_t>(below(2));
    std::int64_t last = a->shape.back(), out = (last + stride - 1) / stride;
    axes.back() = fresh_axis(arena(), out);
    Expr moved = add(scale(stride, value(axes.back())), shift(value(u), -1));
    indices.back() = moved;
    return made(axes, sum(std::array{u}, multiply(select(inside(moved, last), read(a, indices), constant(0)), at(w, {u}))));
  }

  // --- movement
  ArrayRef reshape() {
    ArrayRef a = any();
    std::int64_t count = element_count(a);
    std::vector<std::int64_t> to;
    std::int64_t rest = count;
    for (std::int64_t divisor : {2, 3, 4, 5}) {
      if (rest > 0 && rest % divisor == 0 && chance(0.5)) {
        to.push_back(divisor);
        rest /= divisor;
      }
    }
    to.insert(to.begin() + static_cast<std::ptrdiff_t>(below(to.size() + 1)), rest);
    Axes axes = axes_of(to);
    std::vector<IntegerTerm> terms;
    std::int64_t stride = 1;
    for (std::size_t k = axes.size(); k-- > 0; stride *= to[k]) terms.push_back({stride, value(axes[k])});
    Expr flat = linear(terms, 0, arena());
    std::vector<Expr> indices(a->shape.size());
    for (std::size_t k = a->shape.size(); k-- > 0;) {
      indices[k] = k == 0 ? flat : remainder(flat, std::max<std::int64_t>(a->shape[k], 1));
      flat = floor_divide(flat, std::max<std::int64_t>(a->shape[k], 1));
    }
    if (count == 0) return unary(a);
    return made(axes, read(a, indices));
  }

  ArrayRef moved() {
    ArrayRef a = any();
    Axes axes = chance(0.5) ? axes_of(shape(1 + below(3))) : axes_of(a->shape);
    std::ranges::shuffle(axes, random_);
    return made(axes, read_somehow(a, axes));
  }

  ArrayRef concatenation() {
    ArrayRef a = any(), b = any();
    if (a->shape.empty()) return unary(a);
    std::int64_t more = 1 + static_cast<std::int64_t>(below(4)), first = a->shape.back();
    if (element_count(a) > most_elements / 2) return unary(a);
    std::vector<std::int64_t> to = a->shape;
    to.back() += more;
    Axes axes = axes_of(to);
    Expr last = value(axes.back());
    std::vector<Expr> indices;
    for (AxisRef axis : axes) indices.push_back(value(axis));
    Expr second = read_somehow(b, axes);
    return made(axes, select(at_least(last, integer(arena(), first)), second, read(a, indices)));
  }

  // --- along one axis
  ArrayRef softmax(ArrayRef a, std::size_t over, Expr (*mask)(const Axes&, Expr) = nullptr) {
    Axes axes = axes_of(a->shape), rest = axes;
    rest.erase(rest.begin() + static_cast<std::ptrdiff_t>(over));
    auto score = [&](const Axes& where) { return mask ? mask(where, at(a, where)) : at(a, where); };
    ArrayRef s = made(axes, score(axes));
    Expr highest = reduce(Reduction::maximum, std::array{axes[over]}, at(s, axes));
    if (!smooth_) highest = apply(functions::stop_gradient, {highest});
    ArrayRef m = made(rest, apply(functions::maximum, {highest, constant(std::numeric_limits<float>::lowest())}));
    ArrayRef e = made(axes, apply(functions::exp, {subtract(at(s, axes), at(m, rest))}));
    ArrayRef l = made(rest, sum(std::array{axes[over]}, at(e, axes)));
    ArrayRef r = made(rest, apply(functions::reciprocal_or_zero, {at(l, rest)}));
    return made(axes, multiply(at(e, axes), at(r, rest)));
  }

  ArrayRef normalised() {
    ArrayRef a = any();
    if (a->shape.empty() || a->shape.back() == 0) return unary(a);
    Axes axes = axes_of(a->shape), rest(axes.begin(), axes.end() - 1);
    double share = 1 / static_cast<double>(a->shape.back());
    ArrayRef mean = made(rest, scale(share, sum(std::array{axes.back()}, at(a, axes))));
    ArrayRef centred = made(axes, subtract(at(a, axes), at(mean, rest)));
    ArrayRef variance = made(rest, scale(share, sum(std::array{axes.back()}, power(at(centred, axes), 2))));
    return made(axes, multiply(at(centred, axes), power(add(at(variance, rest), constant(1e-2)), -0.5)));
  }

  ArrayRef recurrence() {
    ArrayRef a = any();
    if (a->shape.empty() || a->shape[0] > 40) return unary(a);
    std::vector<std::int64_t> inner(a->shape.begin() + 1, a->shape.end());
    Axes axes = axes_of(inner);
    ArrayRef element = input(arena(), "x", inner, DType::f32), carried = input(arena(), "h", inner, DType::f32);
    ArrayRef start = made(axes, constant(0.25));
    ArrayRef next = made(axes, call("tanh", {add(scale(0.5, at(carried, axes)), map(at(element, axes)))}));
    auto results = scan(arena(), {.length = a->shape[0],
                                  .reverse = chance(0.3),
                                  .elements = {a},
                                  .element_inputs = {element},
                                  .starts = {start},
                                  .carried_inputs = {carried},
                                  .yields = {next},
                                  .next = {next}});
    return results[chance(0.8) ? 0 : 1];
  }

  void step() {
    ArrayRef next = nullptr;
    switch (below(14)) {
      case 0:
      case 1:
        next = unary(any());
        break;
      case 2:
      case 3:
        next = binary();
        break;
      case 4:
      case 5:
        next = reduction();
        break;
      case 6:
      case 7:
        next = matrix_product();
        break;
      case 8:
        next = reshape();
        break;
      case 9:
        next = moved();
        break;
      case 10:
        next = concatenation();
        break;
      case 11:
        next = window();
        break;
      case 12:
        next = normalised();
        break;
      default:
        next = chance(0.5) ? recurrence() : any()->shape.empty() ? unary(any()) : softmax_of_any();
        break;
    }
    if (element_count(next) <= 4 * most_elements) pool_.push_back(next);
  }
  ArrayRef softmax_of_any() {
    ArrayRef a = any();
    return a->shape.empty() ? unary(a) : softmax(a, below(a->shape.size()));
  }

  // --- attention: projections or inputs, a score with a mask, a normalisation, a weighted sum
  void attention() {
    std::int64_t batch = 1 + static_cast<std::int64_t>(below(2)), heads = 1 + static_cast<std::int64_t>(below(3));
    std::int64_t queries = std::min<std::int64_t>(size(), 24), keys = chance(0.6) ? queries : std::min<std::int64_t>(size(), 24);
    std::int64_t width = 1 + static_cast<std::int64_t>(below(8)), depth = 1 + static_cast<std::int64_t>(below(6));
    ArrayRef q = given({batch, heads, queries, width}), k = given({batch, heads, keys, width});
    ArrayRef v = chance(0.5) ? given({batch, heads, keys, depth}) : projected({batch, heads, keys, depth});
    Axes axes = axes_of({batch, heads, queries, keys});
    AxisRef e = fresh_axis(arena(), width);
    Expr product = sum(std::array{e}, multiply(at(q, {axes[0], axes[1], axes[2], e}), at(k, {axes[0], axes[1], axes[3], e})));
    ArrayRef s = made(axes, scale(1 / std::sqrt(static_cast<double>(width)), product));
    s = made(axes, varied(at(s, axes), axes));
    std::size_t over = chance(0.8) ? 3 : 2;
    ArrayRef p = nullptr;
    switch (below(6)) {
      case 0:
        p = made(axes, power(add(apply(functions::exp, {scale(-1.0, at(s, axes))}), constant(1)), -1));
        break;
      case 1:
        p = by_sum(s, over);
        break;
      case 2:
      case 3:
        p = softmax(s, over, masks_[below(masks_.size())]);
        break;
      default:
        p = softmax(s, over);
        break;
    }
    Axes out = axes_of({batch, heads, queries, depth});
    AxisRef j = fresh_axis(arena(), keys);
    Expr weighted = sum(std::array{j}, multiply(at(p, {out[0], out[1], out[2], j}), at(v, {out[0], out[1], j, out[3]})));
    pool_.push_back(made(out, weighted));
  }

  Expr varied(Expr score, const Axes& axes) {
    switch (below(6)) {
      case 0:
        return scale(3.0, call("tanh", {scale(1 / 3.0, score)}));
      case 1: {
        ArrayRef slope = given({axes[1]->size});
        return add(score, multiply(at(slope, {axes[1]}), cast(DType::f32, subtract(value(axes[3]), value(axes[2])))));
      }
      case 2:
        return add(score, read_somehow(any(), axes));
      default:
        return score;
    }
  }

  ArrayRef by_sum(ArrayRef s, std::size_t over) {
    Axes axes = axes_of(s->shape), rest = axes;
    rest.erase(rest.begin() + static_cast<std::ptrdiff_t>(over));
    ArrayRef w = made(axes, add(apply(functions::maximum, {at(s, axes), constant(0)}), constant(0.125)));
    ArrayRef l = made(rest, sum(std::array{axes[over]}, at(w, axes)));
    return made(axes, divide(at(w, axes), at(l, rest)));
  }

  ArrayRef projected(const std::vector<std::int64_t>& to) {
    Axes axes = axes_of(to);
    return made(axes, call("tanh", {read_somehow(any(), axes)}));
  }

  static Expr lowest(const Axes& axes) { return real(*axes[0]->arena, -std::numeric_limits<double>::infinity()); }
  static Expr causal(const Axes& axes, Expr score) { return select(at_least(value(axes[2]), value(axes[3])), score, lowest(axes)); }
  static Expr window_mask(const Axes& axes, Expr score) {
    Expr distance = subtract(value(axes[2]), value(axes[3]));
    Expr near = both(at_least(distance, integer(*axes[0]->arena, 0)), at_least(integer(*axes[0]->arena, 2), distance));
    return select(near, score, lowest(axes));
  }
  static Expr beyond(const Axes& axes, Expr score) {  // leaves rows with no key
    return select(greater(value(axes[3]), shift(value(axes[2]), 1)), score, lowest(axes));
  }

  std::array<Expr (*)(const Axes&, Expr), 3> masks_ = {causal, window_mask, beyond};
};

}  // namespace

Graph random_graph(std::uint64_t seed, bool smooth) { return Generator(seed, smooth).make(); }

}  // namespace heed
