// Finds triangular sums whose product separates, and writes them by chunks.
#include "passes/chunk_sums.h"

#include <algorithm>
#include <numeric>
#include <optional>

#include "ir/algebra.h"
#include "ir/arena.h"
#include "ir/function.h"
#include "ir/integer.h"
#include "passes/chains.h"
#include "passes/opening.h"
#include "passes/rewrite.h"

namespace heed {

namespace {

constexpr double gain = 2;                // so many times cheaper chunks must be
constexpr std::int64_t least_chunk = 16;  // rows of a product that are worth one
constexpr std::size_t most_factors = 12;

bool has(const AxisSet& axes, AxisRef axis) { return contains(axes, axis); }

// row >= column + offset, or turned about: row <= column - offset.
struct Triangle {
  AxisRef row, column;
  bool is_turned;
  std::int64_t offset;  // 0 or 1: with or without the row's own place
  bool operator==(const Triangle&) const = default;
};

std::optional<Triangle> triangle_of(Expr condition, const std::vector<AxisRef>& summed) {
  if (condition->op != Op::at_least_zero) return {};
  LinearForm form = linear_form(condition->operands[0]);
  if (form.terms.size() != 2 || form.terms[0].weight != -form.terms[1].weight || std::abs(form.terms[0].weight) != 1) return {};
  if (form.terms[0].x->op != Op::axis || form.terms[1].x->op != Op::axis) return {};
  AxisRef first = form.terms[0].x->axes[0], second = form.terms[1].x->axes[0];
  const bool first_is_summed = std::ranges::find(summed, first) != summed.end();
  if (first_is_summed == (std::ranges::find(summed, second) != summed.end())) return {};
  if (form.constant != 0 && form.constant != -1) return {};
  const std::int64_t weight_of_row = first_is_summed ? form.terms[1].weight : form.terms[0].weight;
  return Triangle{first_is_summed ? second : first, first_is_summed ? first : second, weight_of_row < 0, -form.constant};
}

// With casts of sums as sums of casts, and products with sums as sums of products.
Expr expanded(Expr x) {
  return rewrite(x, [](Expr node, std::span<const Expr> operands) {
    if (node->op == Op::cast && is_floating(node->dtype) && operands[0]->op == Op::linear && !is_floating(operands[0]->dtype)) {
      std::vector<Term> terms;
      LinearForm form = linear_form(operands[0]);
      for (const IntegerTerm& term : form.terms) terms.push_back({static_cast<double>(term.weight), cast(node->to, term.x)});
      return linear(terms, static_cast<double>(form.constant), *node->arena, node->dtype);
    }
    if (node->op != Op::product) return with_operands(node, operands);
    for (std::size_t k = 0; k < operands.size(); ++k) {
      if (node->weights[k] != 1 || operands[k]->op != Op::linear || !is_floating(node->dtype)) continue;
      std::vector<Factor> others;
      for (std::size_t i = 0; i < operands.size(); ++i)
        if (i != k) others.push_back({operands[i], node->weights[i]});
      Expr rest = product(others, *node->arena, node->dtype);
      std::vector<Term> terms{{operands[k]->real, rest}};
      for (std::size_t i = 0; i < operands[k]->operands.size(); ++i)
        terms.push_back({operands[k]->weights[i], multiply(operands[k]->operands[i], rest)});
      return linear(terms, 0, *node->arena, node->dtype);
    }
    return with_operands(node, operands);
  });
}

// What weights lose from a column to a row, as an exponent e: e(row, column) = e(row, x) + e(x, column) whatever x is. Null if x is not of
// that kind.
Expr decay_of(Expr x, const Triangle& triangle) {
  if (x->op != Op::function || x->function != &functions::exp || triangle.row->size != triangle.column->size) return nullptr;
  Expr exponent = expanded(x->operands[0]), first = integer(*x->arena, 0);
  const auto at = [&](Expr row, Expr column) { return expanded(substitute(exponent, {{triangle.row, row}, {triangle.column, column}})); };
  Expr row = value(triangle.row), column = value(triangle.column);
  return is_constant(at(row, row), 0) && is_constant(subtract(exponent, add(at(row, first), at(first, column))), 0)
             ? x->operands[0]  // as it is written: places are subtracted before they are rounded
             : nullptr;
}

// A sum as a triangle and factors, each of the row alone, of the column alone, or of neither, and decays between both.
struct TriangularSum {
  Triangle triangle;
  Expr operand;                        // of the sum, with axes of its own
  std::vector<AxisRef> others, inner;  // summed besides the column: by this sum, and by those in its factors
  std::vector<Factor> of_row, of_column;
  std::vector<Expr> row_conditions, column_conditions;  // where it is not zero
  std::vector<Expr> decays;                             // exponents
  std::vector<ArrayRef> weights;                        // arrays that have a row and a column

  bool is_summed(AxisRef axis) const {
    return std::ranges::find(inner, axis) != inner.end() || std::ranges::find(others, axis) != others.end();
  }
};

class Separation {
 public:
  std::optional<TriangularSum> run(Expr sum) {
    auto [axes, operand] = with_fresh_axes(sum);
    outer_ = axes;
    out_.operand = operand;
    // Once to find the triangle, then to open only what has its row and its column.
    if (!collect(operand, 1) || !found_) return {};
    out_.inner.clear(), factors_.clear(), conditions_.clear();
    is_known_ = true;
    if (!collect(operand, 1)) return {};
    for (AxisRef axis : axes)
      if (axis != out_.triangle.column) out_.others.push_back(axis);
    for (const Factor& factor : factors_) {
      if (is_of_both(factor.x)) {
        Expr decay = factor.power == 1 ? decay_of(factor.x, out_.triangle) : nullptr;
        if (!decay) return {};
        out_.decays.push_back(decay);
        continue;
      }
      (has(factor.x->free, out_.triangle.column) ? out_.of_column : out_.of_row).push_back(factor);
    }
    for (Expr condition : conditions_) {
      if (is_of_both(condition)) return {};
      (has(condition->free, out_.triangle.column) ? out_.column_conditions : out_.row_conditions).push_back(condition);
    }
    return out_;
  }

 private:
  bool is_of_both(Expr x) const { return has(x->free, out_.triangle.row) && has(x->free, out_.triangle.column); }

  static std::pair<std::vector<AxisRef>, Expr> with_fresh_axes(Expr sum) {
    Substitution table;
    std::vector<AxisRef> axes;
    for (AxisRef axis : sum->axes) {
      axes.push_back(fresh_axis(*sum->arena, axis->size));
      table.emplace_back(axis, value(axes.back()));
    }
    return {axes, substitute(sum->operands[0], table)};
  }

  bool collect(Expr x, double power) {
    if (factors_.size() > most_factors) return false;
    if (x->op == Op::product) {
      for (std::size_t k = 0; k < x->operands.size(); ++k)
        if (!collect(x->operands[k], power * x->weights[k])) return false;
      return true;
    }
    if (power == 1 && is_guarded(x)) return collect_guarded(x);
    if (power == 1 && x->op == Op::linear && x->operands.size() == 1 && x->real == 0) {
      factors_.push_back({real(*x->arena, x->weights[0], x->dtype), 1});
      return collect(x->operands[0], 1);
    }
    if (power == 1 && is_sum(x)) {
      auto [axes, operand] = with_fresh_axes(x);
      out_.inner.insert(out_.inner.end(), axes.begin(), axes.end());
      return collect(operand, 1);
    }
    // What is read at a row and a column may be made of what has one of them.
    if (power == 1 && x->op == Op::read && x->array->kind == Array::Kind::definition && x->dtype == x->array->dtype && meets_both(x)) {
      if (is_known_) out_.weights.push_back(x->array);
      return collect(opened(x->array, x->operands), 1);
    }
    factors_.push_back({x, power});
    return true;
  }

  bool collect_guarded(Expr x) {
    const bool is_kept = is_constant(x->operands[2], 0);
    for (Expr each : conjuncts(is_kept ? x->operands[0] : negate(x->operands[0]))) {
      std::optional<Triangle> triangle = triangle_of(each, outer_);
      if (triangle && !found_)
        out_.triangle = *triangle, found_ = true;
      else if (!triangle || *triangle != out_.triangle)
        conditions_.push_back(each);
    }
    return collect(is_kept ? x->operands[1] : x->operands[2], 1);
  }

  bool meets_both(Expr x) const {
    if (is_known_) return is_of_both(x);
    auto is_summed = [&](AxisRef axis) { return std::ranges::find(outer_, axis) != outer_.end(); };
    return std::ranges::any_of(x->free, is_summed) && !std::ranges::all_of(x->free, is_summed);
  }

  std::vector<AxisRef> outer_;
  TriangularSum out_;
  bool found_ = false, is_known_ = false;
  std::vector<Factor> factors_;
  std::vector<Expr> conditions_;
};

// Axes by the factors that have them.
struct Spans {
  double units = 1, shared = 1, free = 1;  // free and in both; summed and in both; free and in one
};

// Decays are of both.
AxisSet axes_of(const std::vector<Factor>& factors, const TriangularSum& sum) {
  AxisSet axes;
  for (const Factor& factor : factors) axes = united(axes, factor.x->free);
  for (Expr decay : sum.decays) axes = united(axes, decay->free);
  return axes;
}

Spans spans_of(const TriangularSum& sum) {
  Spans spans;
  const AxisSet rows = axes_of(sum.of_row, sum), columns = axes_of(sum.of_column, sum);
  for (AxisRef axis : united(rows, columns)) {
    if (axis == sum.triangle.row || axis == sum.triangle.column) continue;
    const bool in_both = has(rows, axis) && has(columns, axis);
    const auto size = static_cast<double>(axis->size);
    if (sum.is_summed(axis))
      spans.shared *= in_both ? size : 1;
    else
      (in_both ? spans.units : spans.free) *= size;
  }
  return spans;
}

// Multiplications, an element that is stored and read again as `stored` of them.
double cost_in_chunks(const TriangularSum& sum, const Spans& spans, std::int64_t chunk) {
  const auto rows = static_cast<double>(sum.triangle.row->size), columns = static_cast<double>(sum.triangle.column->size);
  const auto length = static_cast<double>(chunk);
  const double state = spans.shared * spans.free;
  return spans.units * (rows * length * (spans.shared + spans.free + storing_cost) + (rows + columns) * state +
                        state * (rows / length * columns / length / 2 + 2 * storing_cost * columns / length));
}

double cost_as_written(const TriangularSum& sum, const Spans& spans) {
  return spans.units * static_cast<double>(sum.triangle.row->size) * static_cast<double>(sum.triangle.column->size) / 2 *
         (spans.shared + spans.free);
}

// The cheapest size of chunks; 0 if none pays. One that divides rows and columns spares the guards at their ends.
std::int64_t chunk_of(const TriangularSum& sum) {
  const Spans spans = spans_of(sum);
  const std::int64_t rows = sum.triangle.row->size, columns = sum.triangle.column->size, most = std::min(rows, columns) / 2;
  std::int64_t best = 0;
  double least = cost_as_written(sum, spans) / gain;
  auto take = [&](std::int64_t chunk) {
    if (double cost = cost_in_chunks(sum, spans, chunk); cost < least) least = cost, best = chunk;
  };
  for (std::int64_t chunk = least_chunk; chunk <= most; ++chunk)
    if (rows % chunk == 0 && columns % chunk == 0) take(chunk);
  for (std::int64_t chunk = least_chunk; best == 0 && chunk <= most; chunk *= 2) take(chunk);
  return best;
}

// Writes a triangular sum by chunks of some size.
class Chunks {
 public:
  Chunks(const TriangularSum& sum, std::int64_t length, std::string name)
      : sum_(sum),
        arena_(*sum.operand->arena),
        name_(std::move(name)),
        length_(length),
        of_row_(axes_of(sum.of_row, sum)),
        of_column_(axes_of(sum.of_column, sum)) {
    auto chunks = [&](AxisRef whole) { return fresh_axis(arena_, ceil_divide(whole->size, length)); };
    chunk_ = chunks(sum.triangle.row), before_ = chunks(sum.triangle.column);
    row_ = fresh_axis(arena_, length), column_ = fresh_axis(arena_, length);
  }

  // The sum at the row.
  Expr operator()() {
    Expr row = value(sum_.triangle.row);
    return named(add(within(), across()), {{chunk_, floor_divide(row, length_)}, {row_, remainder(row, length_)}});
  }

 private:
  Expr place(AxisRef chunk, AxisRef at) const { return add(scale(length_, value(chunk)), value(at)); }
  Expr zero() const { return real(arena_, 0, sum_.operand->dtype); }

  // x where the place lies before the end, 0 beyond.
  Expr inside(Expr x, AxisRef chunk, AxisRef at, AxisRef whole) const {
    return whole->size % length_ == 0 ? x : select(at_least(integer(arena_, whole->size - 1), place(chunk, at)), x, zero());
  }

  // An array of x, read at its own axes but for those of the table. Axes are ordered as matrices are: what both factors have, chunks, rows,
  // columns, what is summed, what is free.
  Expr named(Expr x, const Substitution& table = {}) const {
    auto rank = [&](AxisRef axis) {
      const std::vector<AxisRef> own{chunk_, before_, row_, column_};
      if (auto found = std::ranges::find(own, axis); found != own.end()) return 1 + static_cast<int>(found - own.begin());
      if (sum_.is_summed(axis)) return 5;
      return has(of_row_, axis) && has(of_column_, axis) ? 0 : 6;
    };
    std::vector<AxisRef> axes(x->free.begin(), x->free.end());
    std::ranges::sort(axes, {}, [&](AxisRef axis) { return std::pair(rank(axis), axis->id); });
    std::vector<Expr> indices;
    for (AxisRef axis : axes) indices.push_back(substitute(value(axis), table));
    return read_stored(define(axes, x, x->dtype, name_), indices);
  }

  // Row and column in one chunk: the sum as it is written.
  Expr within() {
    std::vector<AxisRef> summed = sum_.others;
    summed.push_back(column_);
    return sum(summed, in_chunk(sum_.operand));
  }

  // Arrays that are read at the row and the column become arrays of one chunk's rows and columns.
  Expr in_chunk(Expr x) {
    Expr near = rewrite(x, [&](Expr node, std::span<const Expr> operands) {
      const bool is_of_both = has(node->free, sum_.triangle.row) && has(node->free, sum_.triangle.column);
      if (node->op != Op::read || !is_of_both || node->array->kind != Array::Kind::definition) return with_operands(node, operands);
      auto [known, is_new] = near_.try_emplace(node);
      if (is_new) {
        Expr made = named(in_chunk(opened(node->array, node->operands)));
        near_[node] = made;
        return made;
      }
      return known->second;
    });
    near = substitute(near, {{sum_.triangle.row, place(chunk_, row_)}, {sum_.triangle.column, place(chunk_, column_)}});
    return inside(inside(near, chunk_, row_, sum_.triangle.row), chunk_, column_, sum_.triangle.column);
  }

  // The rows of a chunk with all chunks before.
  Expr across() const {
    std::vector<AxisRef> in_columns{column_}, at_row;
    for (const auto* axes : {&sum_.others, &sum_.inner})
      for (AxisRef axis : *axes) (has(of_column_, axis) && !has(of_row_, axis) ? in_columns : at_row).push_back(axis);
    // A chunk's columns decay up to its last one, from there to the first row of another chunk, and on to the row.
    const Triangle& triangle = sum_.triangle;
    Expr row = value(triangle.row), column = value(triangle.column);
    Expr edge_of_row = triangle.is_turned ? last(chunk_) : first(chunk_),
         edge_of_column = triangle.is_turned ? first(before_) : last(before_);
    Expr columns = guarded(sum_.column_conditions, decaying(sum_.of_column, edge_of_column, column));
    columns = inside(substitute(columns, {{sum_.triangle.column, place(before_, column_)}}), before_, column_, triangle.column);
    Expr state = named(sum(in_columns, columns));
    Expr is_before = sum_.triangle.is_turned ? greater(value(before_), value(chunk_)) : greater(value(chunk_), value(before_));
    const AxisRef chunks[] = {before_};
    Expr total = named(sum(chunks, select(is_before, multiply(decay(edge_of_row, edge_of_column), state), zero())));
    Expr rows = guarded(sum_.row_conditions, decaying(sum_.of_row, row, edge_of_row));
    rows = inside(substitute(rows, {{sum_.triangle.row, place(chunk_, row_)}}), chunk_, row_, sum_.triangle.row);
    return at_row.empty() ? multiply(rows, total) : sum(at_row, multiply(rows, total));
  }

  Expr first(AxisRef chunk) const { return scale(length_, value(chunk)); }
  Expr last(AxisRef chunk) const {
    Expr end = shift(first(chunk), length_ - 1), most = integer(arena_, sum_.triangle.row->size - 1);
    return select(at_least(most, end), end, most);
  }

  Expr decay(Expr row, Expr column) const {
    Expr exponent = real(arena_, 0, sum_.operand->dtype);
    for (Expr each : sum_.decays) exponent = add(exponent, substitute(each, {{sum_.triangle.row, row}, {sum_.triangle.column, column}}));
    return apply(functions::exp, {exponent});
  }
  Expr decaying(const std::vector<Factor>& factors, Expr row, Expr column) const {
    return multiply(product(factors, arena_, sum_.operand->dtype), decay(row, column));
  }
  Expr guarded(const std::vector<Expr>& conditions, Expr x) const { return select(both(conditions, arena_), x, zero()); }

  const TriangularSum& sum_;
  Arena& arena_;
  std::string name_;
  std::int64_t length_;
  AxisSet of_row_, of_column_;
  AxisRef chunk_, before_, row_, column_;
  std::unordered_map<Expr, Expr> near_;
};

}  // namespace

Graph chunk_sums(const Graph& graph) {
  std::unordered_map<ArrayRef, std::int64_t> chunks;  // of weights: sums of the same ones share what is made of them
  return rewrite(graph, [&](ArrayRef definition, const ArrayTable& table) {
    ArrayRef array = redefine(definition, table);
    if (array->kind != Array::Kind::definition || !array->body->has_reduction) return array;
    Expr body = rewrite(array->body, [&](Expr node, std::span<const Expr> operands) {
      Expr kept = with_operands(node, operands);
      if (kept != node || !is_sum(node)) return kept;
      std::optional<TriangularSum> sum = Separation().run(node);
      std::int64_t chunk = sum ? chunk_of(*sum) : 0;
      if (chunk == 0) return kept;
      for (ArrayRef weights : sum->weights) chunk = chunks.try_emplace(weights, chunk).first->second;
      return Chunks(*sum, chunk, array->name)();
    });
    return body == array->body ? array : define(positions(array), body, array->dtype, array->name);
  });
}

}  // namespace heed
