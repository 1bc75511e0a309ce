// Degree analysis: rules for each operation.
#include "passes/degrees.h"

#include <algorithm>
#include <limits>

#include "ir/algebra.h"
#include "ir/function.h"

namespace heed {
namespace {

const Degree unlike{Degree::Kind::unlike};

// The degree that all have, constants aside.
Degree common(const std::vector<Degree>& degrees) {
  const Degree* found = nullptr;
  bool zero = false, infinite = false;
  for (const Degree& degree : degrees) {
    if (degree.kind == Degree::Kind::unlike) return unlike;
    zero = zero || degree.kind == Degree::Kind::zero;
    infinite = infinite || degree.kind == Degree::Kind::minus_infinity;
    if (degree.kind != Degree::Kind::value) continue;
    if (found && (found->power != degree.power || found->shift != degree.shift || (!degree.is_free() && found->at != degree.at)))
      return unlike;
    found = &degree;
  }
  if (!found) return zero && infinite ? Degree{} : degrees.front();
  if ((found->shift != 0 && zero) || (found->power != 0 && infinite)) return unlike;
  return *found;
}

// Adds `weight` times the other's power or shift, if both are at one place of r.
bool accumulate(Degree& total, const Degree& degree, double power, double shift) {
  if (power == 0 && shift == 0) return true;
  if (total.at.empty() && total.is_free()) total.at = degree.at;
  if (total.at != degree.at) return false;
  total.power += power;
  total.shift += shift;
  return true;
}

Degree of_linear(Expr node, const std::vector<Degree>& degrees) {
  const bool infinite = node->real == -std::numeric_limits<double>::infinity() ||
                        std::ranges::any_of(degrees, [](const Degree& d) { return d.kind == Degree::Kind::minus_infinity; });
  if (node->real == 0 && !infinite) {
    Degree same = common(degrees);
    if (same.kind != Degree::Kind::unlike && same.shift == 0) return same;
  }
  Degree total;
  for (std::size_t k = 0; k < degrees.size(); ++k)
    if (degrees[k].power != 0 || !accumulate(total, degrees[k], 0, node->weights[k] * degrees[k].shift)) return unlike;
  return infinite ? Degree{Degree::Kind::minus_infinity} : total;
}

Degree of_product(Expr node, const std::vector<Degree>& degrees) {
  Degree total;
  for (std::size_t k = 0; k < degrees.size(); ++k) {
    if (degrees[k].kind == Degree::Kind::zero) return degrees[k];
    if (degrees[k].shift != 0 || !accumulate(total, degrees[k], node->weights[k] * degrees[k].power, 0)) return unlike;
  }
  return total;
}

Degree of_function(Expr node, const std::vector<Degree>& degrees) {
  const ScalarFunction* function = node->function;
  const Degree& first = degrees[0];
  if (function == &functions::exp) {
    if (first.kind == Degree::Kind::minus_infinity) return {Degree::Kind::zero};
    return first.power != 0 ? unlike : Degree{Degree::Kind::value, first.shift, 0, first.at};
  }
  if (function == &functions::log) return first.shift != 0 ? unlike : Degree{Degree::Kind::value, 0, first.power, first.at};
  if (function == &functions::reciprocal_or_zero)
    return first.kind == Degree::Kind::zero ? first : first.shift != 0 ? unlike : Degree{Degree::Kind::value, -first.power, 0, first.at};
  if (function == &functions::stop_gradient) return first;
  if (function == &functions::maximum || function == &functions::straight_through) return common(degrees);
  return unlike;
}

Degree of_reduction(Expr node, const Degree& body) {
  const bool crosses = std::ranges::any_of(body.at, [&](Expr index) {
    return std::ranges::any_of(node->axes, [&](AxisRef axis) { return std::ranges::binary_search(index->free, axis->id, {}, &Axis::id); });
  });
  if (crosses && !body.is_free()) return unlike;
  switch (node->reduction) {
    case Reduction::sum:
      return body.shift != 0 || body.kind == Degree::Kind::minus_infinity ? unlike : body;
    case Reduction::maximum:
      return body;
    case Reduction::argmax:
      return {};
    case Reduction::product:
    case Reduction::any:
      return unlike;
  }
  return unlike;
}

}  // namespace

bool Degrees::enter(ArrayRef array, const std::vector<ArrayRef>& reads) {
  if (std::ranges::none_of(reads, [&](ArrayRef read) { return read == shift_ || of_.contains(read); })) return true;
  if (array->kind != Array::Kind::definition) return false;
  std::unordered_map<Expr, Degree> nodes;
  for (Expr node : nodes_of(array->body)) nodes[node] = of_node(node, nodes);
  const Degree& degree = nodes.at(array->body);
  if (degree.kind == Degree::Kind::unlike) return false;
  if (!degree.is_free()) of_[array] = degree;
  return true;
}

Degree Degrees::of(ArrayRef array) const {
  auto found = of_.find(array);
  return found == of_.end() ? Degree{} : found->second;
}

Degree Degrees::of_node(Expr node, const std::unordered_map<Expr, Degree>& nodes) const {
  if (node->op == Op::constant) {
    if (node->dtype == DType::f32 || node->dtype == DType::f64) {
      if (node->real == 0) return {Degree::Kind::zero};
      if (node->real == -std::numeric_limits<double>::infinity()) return {Degree::Kind::minus_infinity};
    }
    return {};
  }
  std::vector<Degree> degrees;
  for (Expr operand : node->operands) degrees.push_back(nodes.at(operand));
  if (std::ranges::any_of(degrees, [](const Degree& d) { return d.kind == Degree::Kind::unlike; })) return unlike;
  if (node->op == Op::read) return of_read(node, degrees);
  const bool plain = std::ranges::all_of(degrees, [](const Degree& d) { return d.kind == Degree::Kind::value && d.is_free(); });
  if (plain) return {};
  switch (node->op) {
    case Op::linear:
      return of_linear(node, degrees);
    case Op::product:
      return of_product(node, degrees);
    case Op::function:
      if (std::ranges::all_of(degrees, &Degree::is_free) && node->function != &functions::exp) {
        Degree known = of_function(node, degrees);
        return known.kind == Degree::Kind::unlike ? Degree{} : known;
      }
      return of_function(node, degrees);
    case Op::cast:
      return is_floating(node->to) || degrees[0].is_free() ? degrees[0] : unlike;
    case Op::select:
      return degrees[0].is_free() ? common({degrees[1], degrees[2]}) : unlike;
    case Op::at_least:
    case Op::greater:
    case Op::equal:
      return common(degrees).kind == Degree::Kind::unlike ? unlike : Degree{};
    case Op::reduction:
      return of_reduction(node, degrees[0]);
    default:
      return std::ranges::all_of(degrees, &Degree::is_free) ? Degree{} : unlike;
  }
}

Degree Degrees::of_read(Expr node, const std::vector<Degree>& indices) const {
  if (!std::ranges::all_of(indices, &Degree::is_free)) return unlike;
  if (node->array == shift_) return {Degree::Kind::value, 0, -1, node->operands};
  auto found = of_.find(node->array);
  if (found == of_.end()) return {};
  Degree degree = found->second;
  Substitution table;
  const std::vector<AxisRef> places = positions(node->array);
  for (std::size_t k = 0; k < places.size(); ++k) table.emplace_back(places[k], node->operands[k]);
  for (Expr& index : degree.at) index = substitute(index, table);
  return degree;
}

}  // namespace heed
