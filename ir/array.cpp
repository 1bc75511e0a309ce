// Arrays, reads, substitution and rebuilding.
#include <algorithm>
#include <functional>
#include <stdexcept>
#include <unordered_set>

#include "ir/arena.h"

namespace heed {

namespace {

ArrayRef stored(Arena& arena, Array array) {
  auto& tables = arena.tables();
  array.arena = &arena;
  array.id = static_cast<std::uint32_t>(tables.arrays.size());
  array.origin = arena.origin_index();
  tables.arrays.push_back(std::move(array));
  return &tables.arrays.back();
}

// Index expressions, guards and constants only: opening it where it is read costs nothing.
bool moves(Expr body) {
  for (Expr node : nodes_of(body)) {
    if (node->op == Op::reduction) return false;
    if (node->op == Op::at_least || node->op == Op::greater || node->op == Op::equal) return false;  // Of floating values: arithmetic.
    // A cut through rows (a roll, the phases of a stride) is made once: opened in sums its addresses would be no strides.
    if ((node->op == Op::quotient || node->op == Op::remainder) && linear_form(node->operands[0]).constant != 0) return false;
    if (!is_floating(node->dtype)) continue;
    if (node->op == Op::read) {
      if (!std::ranges::all_of(node->operands, is_affine)) return false;
    } else if (node->op != Op::select && node->op != Op::constant) {
      return false;
    }
  }
  return true;
}

// Storing rounds nothing: what is read is of the array's type, or the type is the one of expressions.
bool keeps_values(ArrayRef array) {
  if (!is_floating(array->dtype) || compute_type(array->dtype) == array->dtype) return true;
  return std::ranges::all_of(nodes_of(array->body), [&](Expr node) {
    if (!is_floating(node->dtype)) return true;
    return node->op == Op::read ? node->array->dtype == array->dtype
                                : node->op != Op::constant || round_to(array->dtype, node->real) == node->real;
  });
}

bool only_moves(ArrayRef array) {
  auto [entry, is_new] = array->arena->tables().only_moves.try_emplace(array, false);
  if (is_new) entry->second = keeps_values(array) && moves(array->body);
  return entry->second;
}

bool reads_own_positions(Expr body, const std::vector<AxisRef>& axes) {
  if (body->op != Op::read || body->operands.size() != axes.size()) return false;
  for (std::size_t k = 0; k < axes.size(); ++k)
    if (body->operands[k] != value(axes[k])) return false;
  return true;
}

std::vector<std::int64_t> sizes_of(std::span<const AxisRef> axes) {
  std::vector<std::int64_t> shape;
  for (AxisRef axis : axes) shape.push_back(axis->size);
  return shape;
}

Expr substitute_in(Expr x, const Substitution& table, const AxisSet& changed, std::unordered_map<Expr, Expr>& done) {
  if (!overlap(x->free, changed)) return x;
  if (auto found = done.find(x); found != done.end()) return found->second;
  Expr result;
  if (x->op == Op::axis) {
    result = std::ranges::find(table, x->axes[0], &std::pair<AxisRef, Expr>::first)->second;
  } else if (x->op == Op::reduction) {
    // What is bound gets new names first: nothing that is put in can be captured.
    Substitution inner;
    for (const auto& entry : table)
      if (contains(x->free, entry.first)) inner.push_back(entry);
    std::vector<AxisRef> axes;
    for (AxisRef axis : x->axes) {
      axes.push_back(fresh_axis(*x->arena, axis->size));
      inner.emplace_back(axis, value(axes.back()));
    }
    result = reduce(x->reduction, axes, substitute(x->operands[0], inner));
  } else {
    std::vector<Expr> operands;
    for (Expr operand : x->operands) operands.push_back(substitute_in(operand, table, changed, done));
    result = rebuild(x, operands);
  }
  done.emplace(x, result);
  return result;
}

}  // namespace

std::vector<AxisRef> positions(ArrayRef array) {
  std::vector<AxisRef> axes;
  for (std::size_t k = 0; k < array->shape.size(); ++k)
    axes.push_back(axis_of(*array->arena, AxisKind::position, static_cast<std::int32_t>(k), array->shape[k]));
  return axes;
}

ArrayRef define(std::span<const AxisRef> axes, Expr body, DType dtype, std::string name) {
  Arena& arena = *body->arena;
  std::vector<AxisRef> own;
  Substitution table;
  for (std::size_t k = 0; k < axes.size(); ++k) {
    own.push_back(axis_of(arena, AxisKind::position, static_cast<std::int32_t>(k), axes[k]->size));
    table.emplace_back(axes[k], value(own.back()));
  }
  body = substitute(body, table);
  if (!is_subset(body->free, as_set(own))) throw std::logic_error("define: the body has an axis that is no position of the array");
  if (compute_type(dtype) != body->dtype) throw std::logic_error("define: the body's type does not fit the array's");
  std::vector<std::int64_t> shape = sizes_of(axes);
  if (reads_own_positions(body, own) && body->array->shape == shape && body->array->dtype == dtype) return body->array;
  auto& definitions = arena.tables().definitions;
  for (auto [known, end] = definitions.equal_range(body); known != end; ++known)
    if (known->second->dtype == dtype && known->second->shape == shape) return known->second;
  Array array{.kind = Array::Kind::definition, .dtype = dtype};
  array.shape = std::move(shape);
  array.body = body;
  for (Expr node : nodes_of(body))
    if (node->op == Op::read && std::ranges::find(array.reads, node->array) == array.reads.end()) array.reads.push_back(node->array);
  array.name = std::move(name);
  ArrayRef made = stored(arena, std::move(array));
  definitions.emplace(body, made);
  return made;
}

ArrayRef copy_of(ArrayRef array) {
  std::vector<Expr> indices;
  for (AxisRef axis : positions(array)) indices.push_back(value(axis));
  Array copy{.kind = Array::Kind::definition, .dtype = array->dtype};
  copy.shape = array->shape;
  copy.body = read_stored(array, indices);
  copy.reads = {array};
  copy.name = array->name;
  return stored(*array->arena, std::move(copy));
}

ArrayRef input(Arena& arena, std::string name, std::vector<std::int64_t> shape, DType dtype, std::optional<Interval> range) {
  Array array{.kind = Array::Kind::input, .dtype = dtype};
  array.name = std::move(name);
  array.shape = std::move(shape);
  array.range = range;
  return stored(arena, std::move(array));
}

std::vector<ArrayRef> scan(Arena& arena, Scan scan) {
  arena.tables().scans.push_back(std::move(scan));
  const Scan& kept = arena.tables().scans.back();
  std::vector<ArrayRef> results;
  auto add_result = [&](ArrayRef like, std::vector<std::int64_t> shape) {
    Array array{.kind = Array::Kind::scanned, .dtype = like->dtype};
    array.shape = std::move(shape);
    array.name = like->name;
    array.scan = &kept;
    array.result = static_cast<int>(results.size());
    results.push_back(stored(arena, std::move(array)));
  };
  for (ArrayRef yielded : kept.yields) {
    std::vector<std::int64_t> shape{kept.length};
    shape.insert(shape.end(), yielded->shape.begin(), yielded->shape.end());
    add_result(yielded, std::move(shape));
  }
  for (ArrayRef next : kept.next) add_result(next, next->shape);
  return results;
}

std::vector<ArrayRef> gradient(ArrayRef target, std::vector<ArrayRef> wrt) {
  if (!target->shape.empty()) throw std::logic_error("gradient: the target must be a scalar");
  Arena& arena = *target->arena;
  arena.tables().gradients.push_back({target, std::move(wrt)});
  const Gradient& kept = arena.tables().gradients.back();
  std::vector<ArrayRef> results;
  for (ArrayRef variable : kept.wrt) {
    Array array{.kind = Array::Kind::gradient, .dtype = variable->dtype};
    array.shape = variable->shape;
    array.name = "grad." + variable->name;
    array.gradient = &kept;
    array.result = static_cast<int>(results.size());
    results.push_back(stored(arena, std::move(array)));
  }
  return results;
}

Expr read_stored(ArrayRef array, std::span<const Expr> indices) {
  if (indices.size() != array->shape.size()) throw std::logic_error("read: one index a dimension");
  Node node{.op = Op::read, .dtype = compute_type(array->dtype)};
  node.array = array;
  node.operands = {indices.begin(), indices.end()};
  for (std::size_t k = 0; k < indices.size(); ++k)  // An index into one element is zero wherever it may be read.
    if (array->shape[k] == 1 && is_affine(indices[k]) && bounds(indices[k]).low >= 0 && bounds(indices[k]).high <= 0)
      node.operands[k] = integer(*array->arena, 0);
  return intern(*array->arena, std::move(node));
}

Expr read(ArrayRef array, std::span<const Expr> indices) {
  if (array->kind != Array::Kind::definition || !only_moves(array)) return read_stored(array, indices);
  Substitution table;
  std::vector<AxisRef> axes = positions(array);
  for (std::size_t k = 0; k < axes.size(); ++k) table.emplace_back(axes[k], indices[k]);
  return substitute(array->body, table);
}

Expr substitute(Expr x, const Substitution& table) {
  Substitution wanted;
  AxisSet changed;
  for (const auto& [axis, by] : table) {
    if (!contains(x->free, axis) || (by->op == Op::axis && by->axes[0] == axis)) continue;
    wanted.emplace_back(axis, by);
    changed.push_back(axis);
  }
  if (wanted.empty()) return x;
  changed = as_set(std::move(changed));
  std::unordered_map<Expr, Expr> done;
  return substitute_in(x, wanted, changed, done);
}

Expr rebuild(Expr x, std::span<const Expr> operands) {
  Arena& arena = *x->arena;
  switch (x->op) {
    case Op::constant:
    case Op::axis:
      return x;
    case Op::linear: {
      if (!is_floating(x->dtype)) {
        std::vector<IntegerTerm> terms;
        for (std::size_t k = 0; k < operands.size(); ++k) terms.push_back({x->integers[k], operands[k]});
        return linear(terms, x->integer, arena);
      }
      std::vector<Term> terms;
      for (std::size_t k = 0; k < operands.size(); ++k) terms.push_back({x->weights[k], operands[k]});
      return linear(terms, x->real, arena, x->dtype);
    }
    case Op::product: {
      std::vector<Factor> factors;
      for (std::size_t k = 0; k < operands.size(); ++k) factors.push_back({operands[k], x->weights[k]});
      return product(factors, arena, x->dtype);
    }
    case Op::function:
      return apply(*x->function, operands);
    case Op::cast:
      return cast(x->to, operands[0]);
    case Op::quotient:
      return floor_divide(operands[0], x->integer);
    case Op::remainder:
      return remainder(operands[0], x->integer);
    case Op::at_least_zero:
      return at_least(operands[0], integer(arena, 0));
    case Op::is_zero:
      return equal(operands[0], integer(arena, 0));
    case Op::at_least:
      return at_least(operands[0], operands[1]);
    case Op::greater:
      return greater(operands[0], operands[1]);
    case Op::equal:
      return equal(operands[0], operands[1]);
    case Op::both:
      return both(operands, arena);
    case Op::negation:
      return negate(operands[0]);
    case Op::select:
      return select(operands[0], operands[1], operands[2]);
    case Op::reduction:
      return reduce(x->reduction, x->axes, operands[0]);
    case Op::read:
      return read(x->array, operands);
  }
  throw std::logic_error("rebuild: unknown operation");
}

Expr with_operands(Expr x, std::span<const Expr> operands) { return std::ranges::equal(x->operands, operands) ? x : rebuild(x, operands); }

Expr with_stored_operands(Expr x, std::span<const Expr> operands) {
  if (std::ranges::equal(x->operands, operands)) return x;
  return x->op == Op::read ? read_stored(x->array, operands) : rebuild(x, operands);
}

Expr rewrite(Expr expression, const RewriteNode& node) {
  std::unordered_map<Expr, Expr> made;
  std::vector<Expr> operands;
  for (Expr each : nodes_of(expression)) {
    operands.clear();
    for (Expr operand : each->operands) operands.push_back(made.at(operand));
    made[each] = node(each, operands);
  }
  return made.at(expression);
}

Expr replace_arrays(Expr body, const std::unordered_map<ArrayRef, ArrayRef>& table) {
  const std::vector<Expr> nodes = nodes_of(body);
  auto replaced = [&](Expr node) -> ArrayRef {
    if (node->op != Op::read) return nullptr;
    auto found = table.find(node->array);
    return found == table.end() || found->second == node->array ? nullptr : found->second;
  };
  if (std::ranges::none_of(nodes, replaced)) return body;
  std::unordered_map<Expr, Expr> done;
  std::vector<Expr> operands;
  for (Expr node : nodes) {
    operands.clear();
    for (Expr operand : node->operands) operands.push_back(done.at(operand));
    if (ArrayRef array = replaced(node))
      done[node] = read(array, operands);
    else
      done[node] = operands == node->operands ? node : rebuild(node, operands);
  }
  return done.at(body);
}

}  // namespace heed
