// Puts the bodies of blocks into terms of the region's axes: what is elementwise becomes one expression, products and reductions steps.
#include "passes/register_form.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <set>
#include <tuple>

#include "ir/algebra.h"
#include "ir/arena.h"
#include "ir/function.h"
#include "ir/integer.h"
#include "passes/register_kept.h"
#include "passes/register_wide.h"

namespace heed {

namespace {

constexpr std::int64_t chunk = 8;         // elements that are copied together
constexpr std::int64_t most_kinds = 6;    // of blocks of columns, each a loop of its own
constexpr std::int64_t most_width = 256;  // of what products make for a row

struct NotInRegisters {
  std::string why;
};

bool has(const auto& list, const auto& value) { return std::ranges::find(list, value) != list.end(); }

bool depends_on(Expr x, AxisRef axis) { return has(x->free, axis); }

bool is_half(DType dtype) { return dtype == DType::bf16 || dtype == DType::f16; }

bool is_rounded(Expr x) { return x->op == Op::cast && is_half(x->to); }

bool is_infinite(Expr x) {
  return x->op == Op::constant && x->dtype == DType::f32 && std::abs(x->real) == std::numeric_limits<double>::infinity();
}

// Finite, or NaN.
bool is_bounded_below(Expr x) {
  if (x->op == Op::constant) return !is_infinite(x);
  return x->op == Op::function && x->function == &functions::maximum && std::ranges::any_of(x->operands, is_bounded_below);
}

class Former {
 public:
  Former(const BlockRegion& region, const BodyMaker& maker, const Blocks& blocks)
      : region_(region), axes_(region.axes), maker_(maker), blocks_(blocks), arena_(*region.arrays[0]->arena) {
    for (int unit : axes_.units) program_.units.push_back(of_frame(unit));
    program_.row = of_frame(axes_.row), program_.column = of_frame(axes_.column);
    program_.rows = region.rows, program_.columns = region.columns, program_.groups = region.groups;
    program_.tall = region.rows / (16 * program_.warps());
  }

  RegisterProgram run() {
    if (!axes_.parallel_rows || axes_.parallel_units != static_cast<int>(axes_.units.size()))
      throw NotInRegisters{"blocks of rows add to the same sums"};
    if (axes_.size_of(axes_.row) == 1 || axes_.size_of(axes_.column) == 1) throw NotInRegisters{"it has one row, or one column"};
    for (ArrayRef kept : maker_.kept()) stand_in_for_kept(kept);
    make_parts();
    make_runs();
    bool has_scores = false, has_sums = false;
    for (const auto& part : program_.parts)
      for (const auto& kind : part.kinds)
        for (const RegisterStep& step : kind.steps) {
          has_scores |= step.kind == RegisterStep::Kind::score;
          has_sums |= step.kind == RegisterStep::Kind::sum;
          for (Expr x : {step.value, step.factor})
            if (x) check(x);
        }
    for (const auto& [name, masked] : program_.names) check(masked);
    if (!has_scores || !has_sums) throw NotInRegisters{"it has no products of both kinds, scores and sums over columns"};
    simplify_kept(program_);
    if (program_.groups > 0)
      set_grids(program_);
    else
      share_tiles(), start_scores(program_);
    for (AxisRef width : program_.widths)
      if (width->size > most_width) throw NotInRegisters{fmt::format("rows are {} wide, registers hold {}", width->size, most_width)};
    return std::move(program_);
  }

 private:
  AxisRef of_frame(int axis) {
    AxisRef& known = of_frame_[axis];
    if (!known) {
      known = fresh_axis(arena_, axes_.size_of(axis));
      if (axis != axes_.row && axis != axes_.column && !has(axes_.units, axis)) program_.widths.push_back(known);
    }
    return known;
  }

  // --- parts

  // Bodies of one work differ in what is decided; those of blocks that are cut off differ from others in how they are read.
  struct Kind {
    int body;
    bool is_ragged;
    auto operator<=>(const Kind&) const = default;
  };

  void make_parts() {
    const std::vector<BodyWork> works = maker_.works();
    std::vector<std::set<Kind>> kinds(works.size());
    const std::int64_t all = axes_.size_of(axes_.column);
    for (const Blocks::Block& block : blocks_.blocks) {
      const auto work = static_cast<std::size_t>(blocks_.sizes[static_cast<std::size_t>(block.body)].part);
      kinds[work].insert({block.body, works[work].kind == BodyWork::Kind::columns && block.column + region_.columns > all});
    }
    for (std::size_t work = 0; work < works.size(); ++work) {
      std::vector<Kind> own(kinds[work].begin(), kinds[work].end());
      // What is cut off comes first: then the next block of a loop is a whole one.
      std::ranges::sort(own, {}, [](const Kind& kind) { return std::pair(!kind.is_ragged, kind.body); });
      if (works[work].kind == BodyWork::Kind::advance) {
        if (!own.empty()) program_.parts.back().advance = steps_of(own[0].body);
        continue;
      }
      RegisterProgram::Part part{.over_columns = works[work].kind == BodyWork::Kind::columns, .kinds = {}, .advance = {}};
      if (own.size() > most_kinds) throw NotInRegisters{"its conditions make many kinds of blocks"};
      for (const Kind& kind : own) part.kinds.push_back({steps_of(kind.body), kind.is_ragged});
      if (part.over_columns) over_columns_.push_back({work, own});
      program_.parts.push_back(std::move(part));
    }
  }

  struct OverColumns {
    std::size_t work;
    std::vector<Kind> kinds;
  };

  void make_runs() {
    const std::int64_t all = axes_.size_of(axes_.column);
    for (std::size_t first = 0; first < blocks_.of_rows.size(); ++first) {
      const auto begin = static_cast<std::size_t>(blocks_.of_rows[first]);
      const auto end = first + 1 < blocks_.of_rows.size() ? static_cast<std::size_t>(blocks_.of_rows[first + 1]) : blocks_.blocks.size();
      RegisterProgram::Rows rows{blocks_.blocks[begin].row, {}};
      for (const OverColumns& part : over_columns_) {
        std::map<Kind, RegisterProgram::Run> runs;
        for (std::size_t k = begin; k < end; ++k) {
          const Blocks::Block& block = blocks_.blocks[k];
          if (blocks_.sizes[static_cast<std::size_t>(block.body)].part != static_cast<int>(part.work)) continue;
          auto [run, is_new] = runs.try_emplace({block.body, block.column + region_.columns > all}, block.column, 0);
          if (block.column != run->second.column + run->second.blocks * region_.columns)
            throw NotInRegisters{"blocks of one kind do not lie side by side"};
          ++run->second.blocks;
        }
        for (const Kind& kind : part.kinds) rows.runs.push_back(runs.contains(kind) ? runs.at(kind) : RegisterProgram::Run{0, 0});
      }
      program_.blocks.push_back(std::move(rows));
    }
  }

  // A matrix that is a factor of scores and of sums is one tile: products know its other axis by its size alone.
  void share_tiles() {
    std::vector<int> now(program_.tiles.size());
    std::vector<RegisterTile> tiles;
    for (std::size_t k = 0; k < now.size(); ++k) {
      const auto known = std::ranges::find_if(tiles, [&](const RegisterTile& other) { return are_same(other, program_.tiles[k]); });
      now[k] = static_cast<int>(known - tiles.begin());
      if (known == tiles.end()) tiles.push_back(program_.tiles[k]);
    }
    program_.tiles = std::move(tiles);
    for_steps([&](RegisterStep& step) {
      for (int* tile : {&step.left, &step.right})
        if (*tile >= 0) *tile = now[static_cast<std::size_t>(*tile)];
    });
  }

  template <class Use>
  void for_steps(Use use) {
    for (auto& part : program_.parts) {
      for (auto& kind : part.kinds)
        for (RegisterStep& step : kind.steps) use(step);
      for (RegisterStep& step : part.advance) use(step);
    }
  }

  bool are_same(const RegisterTile& one, const RegisterTile& other) {
    auto is_of_block = [&](AxisRef axis) { return axis == program_.row || axis == program_.column; };
    auto alike = [&](AxisRef x, AxisRef y) { return x == y || (!is_of_block(x) && !is_of_block(y) && x->size == y->size); };
    return one.array == other.array && alike(one.line, other.line) && alike(one.along, other.along) && one.stride == other.stride &&
           one.address.constant == other.address.constant && linear(one.address.terms, 0, arena_) == linear(other.address.terms, 0, arena_);
  }

  // --- one body

  RegisterSteps steps_of(int number) {
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

  // What a body makes, what is read first.
  static std::vector<ArrayRef> made_from(const std::vector<ArrayRef>& outputs, const std::set<ArrayRef>& given) {
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

  std::vector<AxisRef> axes_of(ArrayRef array) {
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

  static bool depends_on_positions(ArrayRef array) { return !array->body->free.empty(); }

  // The program's axes for positions and bound axes of a body.
  using Table = std::map<AxisRef, AxisRef>;

  Table table_of(ArrayRef array) {
    Table table;
    const std::vector<AxisRef> own = positions(array), axes = axes_of(array);
    for (std::size_t p = 0; p < own.size(); ++p)
      if (axes[p]) table[own[p]] = axes[p];
    return table;
  }

  Expr value_of(ArrayRef array) {
    Table table = table_of(array);
    const std::size_t before = steps_.size();
    Expr value = in_axes(array->body, table);
    for (std::size_t k = before; k < steps_.size(); ++k) value = start_from(steps_[k], value);
    // What is never stored in 16 bits is not rounded to them, but where it becomes a factor of a product.
    return array->dtype == compute_type(array->dtype) || is_half(array->dtype) ? value : cast(array->dtype, value);
  }

  // A step that the value adds to something starts from that.
  Expr start_from(RegisterStep& step, Expr value) {
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
  Expr in_axes(Expr body, Table& table) {
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
  Expr selected(Expr condition, Expr yes, Expr no) {
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
  Expr chosen(Expr condition, Expr yes, Expr no) {
    const bool is_exponential = yes->op == Op::function && yes->function == &functions::exp && yes->operands[0]->op == Op::linear;
    if (!is_exponential || !is_constant(no, 0) || yes->dtype != DType::f32) return selected(condition, yes, no);
    Expr exponent = yes->operands[0];
    std::vector<Term> inner;
    bool is_safe = exponent->real == 0 || std::isfinite(exponent->real);
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
  AxisRef bound_axis(AxisRef axis, Expr body) {
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

  bool reads_column_offset(Expr x) const { return reads(x, column_offset_); }

  Expr read(ArrayRef array, std::span<const Expr> indices) {
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

  void stand_in_for_kept(ArrayRef kept) {
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
  ArrayRef stand_in(const char* name, std::vector<AxisRef> axes) {
    std::vector<std::int64_t> shape;
    for (AxisRef axis : axes) shape.push_back(axis->size);
    ArrayRef& known = stand_ins_[{name, std::move(axes), steps_.size()}];
    if (!known) known = input(arena_, name, shape, DType::f32);
    return known;
  }

  Expr reduced(const Node& node, Expr body, const Table& table) {
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

  void set_score(RegisterStep& step, Expr body) {
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

  void set_sum(RegisterStep& step, Expr body, AxisRef width) {
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

  void check_types(const RegisterStep& step) const {
    DType left = program_.tiles[static_cast<std::size_t>(step.left)].array->dtype;
    DType right = program_.tiles[static_cast<std::size_t>(step.right)].array->dtype;
    if (left != right) throw NotInRegisters{fmt::format("a product has factors of {} and {}", name_of(left), name_of(right))};
  }

  // A matrix in memory on two axes.
  int tile_of(Expr read, AxisRef first, AxisRef second) {
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
    for (std::size_t k = 0; k < program_.tiles.size(); ++k) {
      const RegisterTile& other = program_.tiles[k];
      if (other.array == tile.array && other.line == tile.line && other.along == tile.along && other.stride == tile.stride &&
          other.address.constant == tile.address.constant &&
          linear(other.address.terms, 0, arena_) == linear(tile.address.terms, 0, arena_))
        return static_cast<int>(k);
    }
    program_.tiles.push_back(std::move(tile));
    return static_cast<int>(program_.tiles.size() - 1);
  }

  bool is_stand_in(ArrayRef array) const {
    return std::ranges::any_of(steps_, [&](const RegisterStep& step) { return step.into == array; }) || has(program_.kept, array);
  }

  // --- results

  void add_output(ArrayRef output, const Slice& slice) {
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

  // Reads besides tiles are at plain places that exist.
  void check(Expr x) const {
    int wide = 0;
    for (AxisRef axis : x->free) wide += axis != program_.row && !has(program_.units, axis);
    if (wide > 1) throw NotInRegisters{"a value has rows and two axes besides"};
    for (Expr node : nodes_of(x)) {
      if (node->dtype == DType::f64) throw NotInRegisters{"it computes in f64"};
      if (node->op != Op::read) continue;
      for (std::size_t p = 0; p < node->operands.size(); ++p) {
        Expr index = node->operands[p];
        if (std::ranges::any_of(nodes_of(index), [](Expr each) { return each->op == Op::read; }))
          throw NotInRegisters{fmt::format("`{}` is read at places that data decides", node->array->name)};
        Interval range = bounds(index);
        if (range.low < 0 || range.high >= node->array->shape[p])
          throw NotInRegisters{fmt::format("`{}` is read where a condition alone keeps the place inside", node->array->name)};
      }
    }
  }

  const BlockRegion& region_;
  const BlockAxes& axes_;
  const BodyMaker& maker_;
  const Blocks& blocks_;
  Arena& arena_;
  RegisterProgram program_;
  std::map<int, AxisRef> of_frame_;
  std::map<std::int64_t, AxisRef> depths_;                                                    // axes that only a reduction has, by size
  std::map<std::tuple<std::string, std::vector<AxisRef>, std::size_t>, ArrayRef> stand_ins_;  // of steps, by number in a body
  std::map<ArrayRef, ArrayRef> kept_;                                                         // their stand-ins
  std::vector<OverColumns> over_columns_;
  // Of the body that is read.
  RegisterSteps steps_;
  std::map<ArrayRef, Expr> values_, offsets_;
  ArrayRef column_offset_ = nullptr;
};

}  // namespace

std::variant<RegisterProgram, std::string> register_form(const BlockRegion& region, const BodyMaker& maker, const Blocks& blocks) {
  try {
    return Former(region, maker, blocks).run();
  } catch (const NotInRegisters& reason) {
    return reason.why;
  }
}

std::int64_t sums_of_thread(const RegisterProgram& program) {
  constexpr std::int64_t share = 2;  // of 16 rows and so many columns a thread has one sum for each two
  auto uses = [&](const RegisterProgram::Part& part, ArrayRef kept, bool only_writes) {
    return std::ranges::any_of(part.kinds[0].steps, [&](const RegisterStep& step) {
      bool found = step.into == kept;
      for (Expr x : {step.value, step.factor})
        if (x && !only_writes)
          found |= std::ranges::any_of(nodes_of(x), [&](Expr node) { return node->op == Op::read && node->array == kept; });
      return found;
    });
  };
  std::int64_t most = 0;
  for (std::size_t part = 0; part < program.parts.size(); ++part) {
    std::int64_t kept = 0, scores = 0;
    for (ArrayRef array : program.kept) {  // made by now, and needed from now on
      bool is_made = false, is_needed = false;
      for (std::size_t other = 0; other < program.parts.size(); ++other)
        (other < part ? is_made : is_needed) |= uses(program.parts[other], array, other < part);
      is_made |= uses(program.parts[part], array, true);
      if (array->shape.size() == 2 && is_made && is_needed) kept += round_up(array->shape[1], 16) / share;
    }
    for (const auto& kind : program.parts[part].kinds)
      scores = std::max<std::int64_t>(scores, std::ranges::count(kind.steps, RegisterStep::Kind::score, &RegisterStep::kind));
    most = std::max(most, kept + scores * program.columns / share);
  }
  return program.tall * most;
}

}  // namespace heed
