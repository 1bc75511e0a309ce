// Follows the values of a body from what is read to what is kept or stored.
#include "passes/register_body.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <set>

#include "ir/algebra.h"
#include "ir/arena.h"
#include "ir/function.h"

namespace heed {

namespace {

constexpr std::int64_t chunk = 8;  // elements that are copied together

bool has(const auto& list, const auto& value) { return std::ranges::find(list, value) != list.end(); }

bool depends_on(Expr x, AxisRef axis) { return has(x->free, axis); }

bool is_rounded(Expr x) { return x->op == Op::cast && is_half(x->to); }

bool is_infinite(Expr x) {
  return x->op == Op::constant && x->dtype == DType::f32 && std::abs(x->real) == std::numeric_limits<double>::infinity();
}

// Finite, or NaN.
bool is_bounded_below(Expr x) {
  if (x->op == Op::constant) return !is_infinite(x);
  return x->op == Op::function && x->function == &functions::maximum && std::ranges::any_of(x->operands, is_bounded_below);
}

bool depends_on_positions(ArrayRef array) { return !array->body->free.empty(); }

// What a body makes, what is read first.
std::vector<ArrayRef> made_from(const std::vector<ArrayRef>& outputs, const std::set<ArrayRef>& given) {
  std::set<ArrayRef> seen;
  std::vector<ArrayRef> stack = outputs, found;
  while (!stack.empty()) {
    ArrayRef array = stack.back();
    stack.pop_back();
    if (given.contains(array) || !seen.insert(array).second) continue;
    found.push_back(array);
    stack.insert(stack.end(), array->reads.begin(), array->reads.end());
  }
  std::ranges::sort(found, {}, &Array::id);
  return found;
}

}  // namespace

RegisterBodies::RegisterBodies(const BlockRegion& region, const BodyMaker& maker, const Blocks& blocks, RegisterProgram& program)
    : maker_(maker), axes_(region.axes), blocks_(blocks), arena_(*region.arrays[0]->arena), program_(program) {
  for (int unit : axes_.units) program_.units.push_back(of_frame(unit));
  program_.row = of_frame(axes_.row), program_.column = of_frame(axes_.column);
  for (ArrayRef kept : maker_.kept()) stand_in_for_kept(kept);
}

AxisRef RegisterBodies::of_frame(int axis) {
  AxisRef& known = of_frame_[axis];
  if (!known) {
    known = fresh_axis(arena_, axes_.size_of(axis));
    if (axis != axes_.row && axis != axes_.column && !has(axes_.units, axis)) program_.widths.push_back(known);
  }
  return known;
}

RegisterSteps RegisterBodies::steps_of(int number) {
  const Plan& body = blocks_.bodies[static_cast<std::size_t>(number)];
  steps_.clear();
  values_.clear();
  offsets_.clear();
  for (std::size_t k = 0; k < axes_.units.size() + 2; ++k)
    offsets_[body.graph.inputs[k].array] = k < axes_.units.size() ? heed::value(program_.units[k]) : integer(arena_, 0);
  column_offset_ = body.graph.inputs[axes_.units.size() + 1].array;
  std::vector<ArrayRef> outputs;
  for (const GraphOutput& output : body.graph.outputs) outputs.push_back(output.array);
  std::set<ArrayRef> given;
  for (const GraphInput& input : body.graph.inputs) given.insert(input.array);
  for (ArrayRef array : made_from(outputs, given)) values_[array] = value_of(array);
  for (ArrayRef output : outputs) add_output(output, body.slices.at(output));
  // What is rounded for a product's sake is at hand as it was made: other sums are of that.
  for (RegisterStep& step : steps_)
    if (step.kind == RegisterStep::Kind::reduce && is_rounded(step.factor))
      for (const RegisterStep& other : steps_)
        if (other.kind == RegisterStep::Kind::sum && other.factor == step.factor->operands[0]) step.factor = other.factor;
  return std::move(steps_);
}

std::vector<AxisRef> RegisterBodies::axes_of(ArrayRef array) {
  std::optional<std::vector<int>> axes = maker_.axes_of(array);
  if (!axes && array->kind == Array::Kind::definition && array->reads.size() == 1) return axes_of(array->reads[0]);  // a copy
  std::vector<AxisRef> own;
  if (!axes) {
    if (std::ranges::any_of(array->shape, [](std::int64_t size) { return size != 1; }) && depends_on_positions(array))
      throw NotInRegisters{fmt::format("`{}` stands for values on several axes", array->name)};
    own.resize(array->shape.size());
    return own;
  }
  for (std::size_t p = 0; p < axes->size(); ++p) own.push_back((*axes)[p] < 0 || array->shape[p] == 1 ? nullptr : of_frame((*axes)[p]));
  return own;
}

RegisterBodies::Table RegisterBodies::table_of(ArrayRef array) {
  Table table;
  const std::vector<AxisRef> own = positions(array), axes = axes_of(array);
  for (std::size_t p = 0; p < own.size(); ++p)
    if (axes[p]) table[own[p]] = axes[p];
  return table;
}

Expr RegisterBodies::value_of(ArrayRef array) {
  Table table = table_of(array);
  const std::size_t before = steps_.size();
  Expr value = in_axes(array->body, table);
  for (std::size_t k = before; k < steps_.size(); ++k) value = start_from(steps_[k], value);
  // What is never stored in 16 bits is not rounded to them, but where it becomes a factor of a product.
  return array->dtype == compute_type(array->dtype) || is_half(array->dtype) ? value : cast(array->dtype, value);
}

// A step that the value adds to something starts from that.
Expr RegisterBodies::start_from(RegisterStep& step, Expr value) {
  if (step.kind == RegisterStep::Kind::score) return value;
  const bool is_maximum = step.kind == RegisterStep::Kind::reduce && step.reduction == Reduction::maximum;
  if (!is_maximum && value->op == Op::linear)
    for (std::size_t k = 0; k < value->operands.size(); ++k) {
      Expr term = value->operands[k];
      if (term->op != Op::read || term->array != step.into || value->weights[k] != 1) continue;
      Expr rest = subtract(value, value->operands[k]);
      if (reads(rest, step.into)) continue;
      step.value = rest;
      return value->operands[k];
    }
  return value;
}

// An expression of a body in terms of the program's axes.
Expr RegisterBodies::in_axes(Expr body, Table& table) {
  for (Expr node : nodes_of(body))
    if (node->op == Op::reduction)
      for (AxisRef axis : node->axes) {
        AxisRef stands = bound_axis(axis, node->operands[0]);
        auto [known, is_new] = table.try_emplace(axis, stands);
        if (!is_new && known->second != stands) throw NotInRegisters{"one value has reductions over different axes"};
      }
  return rewrite(body, [&](Expr node, std::span<const Expr> operands) -> Expr {
    switch (node->op) {
      case Op::axis: {
        auto found = table.find(node->axes[0]);
        if (found == table.end()) throw NotInRegisters{"an axis of a value is unknown"};
        return heed::value(found->second);
      }
      case Op::read:
        return read(node->array, operands);
      case Op::reduction:
        return reduced(*node, operands[0], table);
      case Op::select:
        return chosen(operands[0], operands[1], operands[2]);
      default:
        return operands.empty() ? node : with_stored_operands(node, operands);
    }
  });
}

// A score, or minus infinity, gets a name: the algebra would bring its factor back into the selection, and exponentials as well.
Expr RegisterBodies::selected(Expr condition, Expr yes, Expr no) {
  if (yes->dtype != DType::f32 || is_infinite(yes) == is_infinite(no)) return select(condition, yes, no);
  const bool is_other = is_infinite(yes);
  const auto [weight, x] = scaled_form(is_other ? no : yes);
  Expr rest = is_other ? yes : no;
  if (weight <= 0 || rest->real > 0 || !depends_on(x, program_.row) || !depends_on(x, program_.column)) return select(condition, yes, no);
  Expr masked = is_other ? select(condition, rest, x) : select(condition, x, rest);
  auto named = std::ranges::find(program_.names, masked, &std::pair<ArrayRef, Expr>::second);
  if (named == program_.names.end()) {
    program_.names.emplace_back(input(arena_, "masked", {program_.row->size, program_.column->size}, DType::f32), masked);
    named = std::prev(program_.names.end());
  }
  return scale(weight, read_stored(named->first, std::vector{heed::value(program_.row), heed::value(program_.column)}));
}

// exp(x - m), or zero: the exponential of minus infinity, which the maximum that is m is of as well.
Expr RegisterBodies::chosen(Expr condition, Expr yes, Expr no) {
  const bool is_exponential = yes->op == Op::function && yes->function == &functions::exp && yes->operands[0]->op == Op::linear;
  if (!is_exponential || !is_constant(no, 0) || yes->dtype != DType::f32) return selected(condition, yes, no);
  Expr exponent = yes->operands[0];
  std::vector<Term> inner;
  bool is_safe = std::isfinite(exponent->real);
  for (std::size_t k = 0; k < exponent->operands.size(); ++k) {
    Expr term = exponent->operands[k];
    if (std::ranges::any_of(term->free, [&](AxisRef axis) { return axis != program_.row && !has(program_.units, axis); }))
      inner.push_back({exponent->weights[k], term});
    else
      is_safe &= exponent->weights[k] < 0 && is_bounded_below(term);
  }
  if (inner.empty() || !is_safe) return selected(condition, yes, no);
  Expr moved = linear(inner, 0, arena_, DType::f32);
  Expr masked = selected(condition, moved, real(arena_, -std::numeric_limits<double>::infinity(), DType::f32));
  return apply(functions::exp, {add(masked, subtract(exponent, moved))});
}

// The axis that a reduction goes over: columns, or a position of what it reads.
AxisRef RegisterBodies::bound_axis(AxisRef axis, Expr body) {
  for (Expr node : nodes_of(body)) {
    if (node->op != Op::read) continue;
    for (std::size_t p = 0; p < node->operands.size(); ++p) {
      Expr index = node->operands[p];
      if (!depends_on(index, axis)) continue;
      const bool is_inside = values_.contains(node->array) || kept_.contains(node->array);
      if (is_inside && index->op == Op::axis) {
        if (AxisRef own = axes_of(node->array)[p]) return own;
      }
      if (reads_column_offset(index)) return program_.column;
    }
  }
  for (Expr node : nodes_of(body))  // met in no read but in a condition
    if (node->dtype == DType::i64 && depends_on(node, axis) && reads_column_offset(node)) return program_.column;
  AxisRef& known = depths_[axis->size];
  if (!known) known = fresh_axis(arena_, axis->size);
  return known;
}

bool RegisterBodies::reads_column_offset(Expr x) const { return reads(x, column_offset_); }

Expr RegisterBodies::read(ArrayRef array, std::span<const Expr> indices) {
  if (auto offset = offsets_.find(array); offset != offsets_.end()) return offset->second;
  auto made = values_.find(array);
  auto kept = kept_.find(array);
  if (made == values_.end() && kept == kept_.end()) return read_stored(array, indices);
  const std::vector<AxisRef> axes = axes_of(array);
  std::vector<Expr> own;
  for (std::size_t p = 0; p < axes.size(); ++p) {
    if (indices[p] != (axes[p] ? heed::value(axes[p]) : integer(arena_, 0)))
      throw NotInRegisters{fmt::format("`{}` is read at other places than its own", array->name)};
    if (axes[p]) own.push_back(indices[p]);
  }
  return made != values_.end() ? made->second : read_stored(kept->second, own);
}

void RegisterBodies::stand_in_for_kept(ArrayRef kept) {
  std::vector<std::int64_t> shape;
  std::vector<AxisRef> own;
  for (AxisRef axis : axes_of(kept))
    if (axis) shape.push_back(axis->size), own.push_back(axis);
  const bool is_row = own.size() == 1 && own[0] == program_.row;
  const bool is_sum = own.size() == 2 && own[0] == program_.row && has(program_.widths, own[1]);
  if (kept->dtype != DType::f32 || (!is_row && !is_sum))
    throw NotInRegisters{fmt::format("`{}` stays from block to block and is no f32 of rows, or of rows and a width", kept->name)};
  kept_[kept] = input(arena_, kept->name, shape, kept->dtype);
  program_.kept.push_back(kept_[kept]);
}

// --- reductions

// Bodies of one work that make the same have the same for it.
ArrayRef RegisterBodies::stand_in(const char* name, std::vector<AxisRef> axes) {
  std::vector<std::int64_t> shape;
  for (AxisRef axis : axes) shape.push_back(axis->size);
  ArrayRef& known = stand_ins_[{name, std::move(axes), steps_.size()}];
  if (!known) known = input(arena_, name, shape, DType::f32);
  return known;
}

Expr RegisterBodies::reduced(const Node& node, Expr body, const Table& table) {
  if (node.axes.size() != 1) throw NotInRegisters{"a reduction goes over several axes"};
  if (node.dtype != DType::f32) throw NotInRegisters{"a reduction is not of f32"};
  AxisRef over = table.at(node.axes[0]), row = program_.row, column = program_.column;
  AxisRef width = nullptr;
  for (AxisRef axis : body->free) {
    if (axis == over || axis == row || axis == column || has(program_.units, axis)) continue;
    if (width) throw NotInRegisters{"a value has rows and two axes besides"};
    width = axis;
  }
  const bool has_row = depends_on(body, row), has_column = depends_on(body, column);
  RegisterStep step{.kind = RegisterStep::Kind::reduce, .into = nullptr, .reduction = node.reduction, .over = over};
  double weight = 1;
  if (has_row && has_column && over != column && !width && node.reduction == Reduction::sum) {
    step.kind = RegisterStep::Kind::score;
    set_score(step, body);
    step.into = stand_in("score", {row, column});
    steps_.push_back(step);
    return read_stored(step.into, std::vector{heed::value(row), heed::value(column)});
  }
  if (has_row && over == column && width && node.reduction == Reduction::sum) {
    step.kind = RegisterStep::Kind::sum;
    set_sum(step, body, width);
    step.into = stand_in("sum", {row, width});
    steps_.push_back(step);
    return read_stored(step.into, std::vector{heed::value(row), heed::value(width)});
  }
  if (!has_row || width || (has_column && over != column)) throw NotInRegisters{"a reduction is not one value a row"};
  if (node.reduction != Reduction::sum && node.reduction != Reduction::maximum)
    throw NotInRegisters{"a reduction is neither a sum nor a maximum"};
  if (auto [factor, x] = scaled_form(body); factor > 0) weight = factor, body = x;
  step.factor = body;
  for (const RegisterStep& other : steps_)  // the same, met again
    if (other.kind == step.kind && other.factor == body && other.over == over && other.reduction == step.reduction)
      return scale(weight, read_stored(other.into, std::vector{heed::value(row)}));
  step.into = stand_in(step.reduction == Reduction::sum ? "total" : "largest", {row});
  steps_.push_back(step);
  return scale(weight, read_stored(step.into, std::vector{heed::value(row)}));
}

void RegisterBodies::set_score(RegisterStep& step, Expr body) {
  const auto [weight, x] = scaled_form(body);
  if (weight != 1 || x->op != Op::product || x->operands.size() != 2 || x->weights[0] != 1 || x->weights[1] != 1)
    throw NotInRegisters{"a score is no product of two values in memory"};
  for (Expr factor : x->operands) {
    const bool has_row = depends_on(factor, program_.row), has_column = depends_on(factor, program_.column);
    if (has_row == has_column) throw NotInRegisters{"a factor of a score has rows and columns, or none"};
    (has_row ? step.left : step.right) = tile_of(factor, has_row ? program_.row : program_.column, step.over);
  }
  if (step.left < 0 || step.right < 0) throw NotInRegisters{"a score is no product of rows and columns"};
  check_types(step);
}

void RegisterBodies::set_sum(RegisterStep& step, Expr body, AxisRef width) {
  const auto [weight, x] = scaled_form(body);
  std::vector<Factor> rest{{real(arena_, weight, DType::f32), 1}};
  Expr matrix = nullptr;
  auto take = [&](Expr factor, double power) {
    if (!depends_on(factor, width)) return rest.push_back({factor, power});
    if (matrix || power != 1) throw NotInRegisters{"a sum over columns is no product with one value in memory"};
    matrix = factor;
  };
  if (x->op == Op::product)
    for (std::size_t k = 0; k < x->operands.size(); ++k) take(x->operands[k], x->weights[k]);
  else
    take(x, 1);
  if (!matrix) throw NotInRegisters{"a sum over columns is no product with one value in memory"};
  step.right = tile_of(matrix, program_.column, width);
  step.factor = product(rest, arena_, DType::f32);
  if (is_rounded(step.factor) && step.factor->to == matrix->array->dtype) step.factor = step.factor->operands[0];  // products round
  if (!depends_on(step.factor, program_.row)) throw NotInRegisters{"a sum over columns is the same for each row"};
}

void RegisterBodies::check_types(const RegisterStep& step) const {
  DType left = program_.tiles[static_cast<std::size_t>(step.left)].array->dtype;
  DType right = program_.tiles[static_cast<std::size_t>(step.right)].array->dtype;
  if (left != right) throw NotInRegisters{fmt::format("a product has factors of {} and {}", name_of(left), name_of(right))};
}

// A matrix in memory on two axes.
int RegisterBodies::tile_of(Expr read, AxisRef first, AxisRef second) {
  if (read->op != Op::read || is_stand_in(read->array)) throw NotInRegisters{"a factor of a product is not a value in memory"};
  ArrayRef array = read->array;
  if (!is_half(array->dtype))
    throw NotInRegisters{fmt::format("`{}` is {}, and tensor cores multiply values of 16 bits", array->name, name_of(array->dtype))};
  std::vector<IntegerTerm> terms;
  std::int64_t stride = 1;
  for (std::size_t p = array->shape.size(); p-- > 0; stride *= array->shape[p])
    if (array->shape[p] != 1) terms.push_back({stride, read->operands[p]});
  LinearForm form = linear_form(linear(terms, 0, arena_));
  RegisterTile tile{array, {{}, form.constant}, nullptr, nullptr, 0};
  bool is_whole = form.constant % chunk == 0;
  for (const IntegerTerm& term : form.terms) {
    const bool is_own = term.x == heed::value(first) || term.x == heed::value(second);
    AxisRef own = term.x == heed::value(first) ? first : second;
    if (is_own && term.weight == 1 && !tile.along) {
      tile.along = own;
      continue;
    }
    is_whole &= term.weight % chunk == 0;
    if (is_own) {
      tile.line = own, tile.stride = term.weight;
      continue;
    }
    for (AxisRef axis : term.x->free)
      if (!has(program_.units, axis)) throw NotInRegisters{fmt::format("`{}` is no matrix of plain lines", array->name)};
    tile.address.terms.push_back(term);
  }
  if (!tile.line || !tile.along || tile.stride <= 0) throw NotInRegisters{fmt::format("`{}` is no matrix of plain lines", array->name)};
  if (!is_whole || tile.along->size % chunk != 0)
    throw NotInRegisters{fmt::format("lines of `{}` are not made of whole {} bytes", array->name, 2 * chunk)};
  const auto known = std::ranges::find_if(program_.tiles, [&](const RegisterTile& other) { return are_same(other, tile); });
  if (known != program_.tiles.end()) return static_cast<int>(known - program_.tiles.begin());
  program_.tiles.push_back(std::move(tile));
  return static_cast<int>(program_.tiles.size() - 1);
}

// A matrix that is a factor of scores and of sums is one tile: products know its other axis by its size alone.
bool RegisterBodies::are_same(const RegisterTile& one, const RegisterTile& other) const {
  auto is_of_block = [&](AxisRef axis) { return axis == program_.row || axis == program_.column; };
  auto alike = [&](AxisRef x, AxisRef y) { return x == y || (!is_of_block(x) && !is_of_block(y) && x->size == y->size); };
  return one.array == other.array && alike(one.line, other.line) && alike(one.along, other.along) && one.stride == other.stride &&
         one.address.constant == other.address.constant && linear(one.address.terms, 0, arena_) == linear(other.address.terms, 0, arena_);
}

bool RegisterBodies::is_stand_in(ArrayRef array) const {
  return std::ranges::any_of(steps_, [&](const RegisterStep& step) { return step.into == array; }) || has(program_.kept, array);
}

// --- results

void RegisterBodies::add_output(ArrayRef output, const Slice& slice) {
  RegisterStep step{.kind = RegisterStep::Kind::keep, .into = nullptr, .value = values_.at(output)};
  if (auto kept = kept_.find(slice.whole); kept != kept_.end()) {
    step.into = kept->second;
  } else {
    step.kind = RegisterStep::Kind::store, step.into = slice.whole;
    Table table = table_of(output);
    std::vector<IntegerTerm> terms;
    std::int64_t stride = 1;
    for (std::size_t p = slice.whole->shape.size(); p-- > 0; stride *= slice.whole->shape[p])
      if (slice.whole->shape[p] != 1) terms.push_back({stride, in_axes(slice.indices[p], table)});
    step.address = linear_form(linear(terms, 0, arena_));
    bool has_row = false;
    for (const IntegerTerm& term : step.address.terms) has_row |= depends_on(term.x, program_.row);
    if (!has_row) throw NotInRegisters{fmt::format("`{}` has no rows", slice.whole->name)};
  }
  steps_.push_back(std::move(step));
}

}  // namespace heed
