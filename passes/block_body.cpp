// Remakes the arrays of a region at the size of a block.
#include "passes/block_body.h"

#include <algorithm>
#include <limits>
#include <map>
#include <stdexcept>
#include <tuple>
#include <utility>

#include "ir/algebra.h"
#include "ir/function.h"
#include "passes/column_passes.h"
#include "passes/kind.h"

namespace heed {

namespace {

using Role = ColumnPasses::Role;

bool has(const auto& list, const auto& value) { return std::ranges::find(list, value) != list.end(); }

// The lowest finite value: a shift is no less, so that no difference of shifts is undefined.
double lowest(DType dtype) { return dtype == DType::f64 ? std::numeric_limits<double>::lowest() : std::numeric_limits<float>::lowest(); }

}  // namespace

// One body.
class Body {
 public:
  Body(const BodyMaker& maker, const BodyExtent& extent, const DecidedConditions& decided)
      : maker_(maker), region_(maker.region_), axes_(maker.axes_), arena_(*maker.graph_.arena), extent_(extent), decided_(decided) {
    const Graph& graph = maker.graph_;
    plan_.graph = {.arena = graph.arena, .name = graph.name, .is_function = true, .sizes = graph.sizes};
    auto add_offset = [&](const char* name, Interval range) {
      ArrayRef array = input(arena_, name, {}, DType::i64, range);
      plan_.graph.inputs.push_back({GraphInput::Role::data, array});
      return read_stored(array, {});
    };
    for (int unit : axes_.units) offsets_[unit] = add_offset("unit", {0, size_of(unit) - 1});
    offsets_[axes_.row] = add_offset("row", extent.first_rows);
    Expr column = add_offset("column", extent.first_columns);
    if (axes_.column >= 0) offsets_[axes_.column] = column;
    for (std::size_t k = 0; k < region_.arrays.size(); ++k) index_[region_.arrays[k]] = k;
  }

  Plan make(const BodyWork& work) {
    switch (work.kind) {
      case BodyWork::Kind::whole:
        for (std::size_t k = 0; k < region_.arrays.size(); ++k) remake(k);
        break;
      case BodyWork::Kind::between:
        make_between(work);
        break;
      case BodyWork::Kind::columns:
        make_columns(work.pass);
        break;
      case BodyWork::Kind::advance:
        for (std::size_t k = 0; k < region_.arrays.size(); ++k)
          if (maker_.before_[k] && region_.passes->pass[k] == work.pass) keep(k, read_kept(k, maker_.kept_[k]), maker_.before_[k]);
        break;
    }
    return std::move(plan_);
  }

 private:
  // Of an axis in a body: where it is in the whole array, and in the block.
  struct Place {
    Expr whole, block;
  };
  using Places = std::unordered_map<AxisRef, Place>;
  // The positions of an array in the block.
  struct Shape {
    std::vector<AxisRef> axes;
    Places places;  // of its positions in the whole array
  };

  std::int64_t size_of(int axis) const { return axes_.frame.sizes[static_cast<std::size_t>(axis)]; }

  // Its size in a block, and where a position of it is. Of a unit there is one.
  std::int64_t block_size(int joined) const {
    if (has(axes_.units, joined)) return 1;
    return joined == axes_.row ? extent_.rows : joined == axes_.column ? extent_.columns : size_of(joined);
  }
  Place place_of(int joined, Expr at) const {
    auto offset = offsets_.find(joined);
    if (offset == offsets_.end()) return {at, at};
    return {has(axes_.units, joined) ? offset->second : add(offset->second, at), at};
  }

  Shape shape_of(std::size_t k) {
    Shape shape;
    for (AxisRef position : maker_.order_of(k)) {
      const int axis = maker_.joined(k, position);
      shape.axes.push_back(fresh_axis(arena_, axis < 0 ? position->size : block_size(axis)));
      shape.places[position] = place_of(axis, value(shape.axes.back()));
    }
    return shape;
  }

  ArrayRef defined(std::size_t k, const Shape& shape, Expr body) {
    arena_.set_origin_index(region_.arrays[k]->origin);
    ArrayRef made = define(shape.axes, body, region_.arrays[k]->dtype, region_.arrays[k]->name);
    maker_.note(made, k, false);
    return made;
  }

  void remake(std::size_t k, bool is_written = true) {
    ArrayRef array = region_.arrays[k];
    Shape shape = shape_of(k);
    Expr body = rewritten(array->body, shape.places, k);
    if (!axes_.reduced[k].empty()) {
      std::vector<Expr> indices;
      for (AxisRef position : positions(array)) indices.push_back(shape.places.at(position).whole);
      capture(array);
      body = together(root_reduction(array)->reduction, read_stored(array, indices), body);
    }
    made_[array] = defined(k, shape, body);
    if (is_written && has(region_.outputs, array) && !is_kept(k)) write(k, made_[array]);
  }

  static Expr together(Reduction reduction, Expr before, Expr part) {
    return reduction == Reduction::sum ? add(before, part) : apply(functions::maximum, {before, part});
  }

  void write(std::size_t k, ArrayRef made) {
    ArrayRef array = region_.arrays[k];
    Slice slice{array, {}};
    std::vector<AxisRef> now = positions(made);
    std::vector<AxisRef> order = maker_.order_of(k);
    for (AxisRef position : positions(array)) {
      const auto at = static_cast<std::size_t>(std::ranges::find(order, position) - order.begin());
      slice.indices.push_back(place_of(maker_.joined(k, position), value(now[at])).whole);
    }
    add_output(made, std::move(slice), array->name);
  }

  void add_output(ArrayRef made, Slice slice, const std::string& name) {
    if (made->kind == Array::Kind::input || plan_.slices.contains(made))
      made = copy_of(made);  // Each slice is stored by a step of its own.
    plan_.slices.emplace(made, std::move(slice));
    plan_.graph.outputs.push_back({name, made});
  }

  // --- values that stay

  bool is_kept(std::size_t k) const { return region_.passes && maker_.kept_[k]; }

  void write_kept(ArrayRef made, ArrayRef kept) {
    Slice slice{kept, {integer(arena_, 0)}};
    for (AxisRef position : positions(made)) slice.indices.push_back(value(position));
    add_output(made, std::move(slice), made->name);
  }

  // A read of a kept value at the positions of `shape`, which is array k's.
  Expr read_kept(const Shape& shape, ArrayRef kept) {
    capture(kept);
    std::vector<Expr> indices{integer(arena_, 0)};
    for (AxisRef axis : shape.axes) indices.push_back(value(axis));
    return read_stored(kept, indices);
  }
  // The whole of a kept value under other names.
  std::pair<Shape, Expr> read_kept(std::size_t k, ArrayRef kept) {
    Shape shape = shape_of(k);
    Expr read = read_kept(shape, kept);
    return {std::move(shape), read};
  }
  void keep(std::size_t k, const std::pair<Shape, Expr>& value, ArrayRef place) {
    write_kept(defined(k, value.first, value.second), place);
  }

  void make_between(const BodyWork& work) {
    const ColumnPasses& passes = *region_.passes;
    use_kept(work.pass);
    if (work.turn == 0)
      for (std::size_t k = 0; k < region_.arrays.size(); ++k) {
        if (is_kept(k) && passes.pass[k] + 1 == work.pass && has(region_.outputs, region_.arrays[k])) {
          auto [shape, read] = read_kept(k, maker_.kept_[k]);
          write(k, defined(k, shape, read));
        }
        if (passes.role[k] != Role::narrow || passes.pass[k] != work.pass) continue;
        remake(k);
        if (is_kept(k)) write_kept(made_.at(region_.arrays[k]), maker_.kept_[k]);
      }
    const auto pass = static_cast<std::size_t>(work.pass);
    if (pass >= maker_.beginnings_.size() || work.turn >= maker_.beginnings_[pass].size()) return;
    for (const BodyMaker::Beginning& each : maker_.beginnings_[pass][work.turn]) {
      std::vector<AxisRef> axes;
      for (std::size_t p = 1; p < each.kept->shape.size(); ++p) axes.push_back(fresh_axis(arena_, each.kept->shape[p]));
      write_kept(define(axes, real(arena_, each.value, each.kept->dtype), each.kept->dtype, each.kept->name), each.kept);
    }
  }

  // What was made for these rows before the pass, or before what lies before it.
  void use_kept(int pass) {
    const ColumnPasses& passes = *region_.passes;
    for (std::size_t k = 0; k < region_.arrays.size(); ++k)
      if (is_kept(k) && passes.pass[k] < pass) made_[region_.arrays[k]] = maker_.kept_[k];
  }

  void make_columns(int pass) {
    const ColumnPasses& passes = *region_.passes;
    use_kept(pass + 1);
    for (std::size_t k = 0; k < region_.arrays.size(); ++k)
      if (passes.role[k] == Role::reduced && passes.pass[k] == pass) made_.erase(region_.arrays[k]);
    for (std::size_t k : made_in_pass(region_, pass)) {
      if (passes.role[k] == Role::reduced && axes_.reduced[k].empty())
        make_part(k);
      else
        remake(k, passes.role[k] != Role::narrow && passes.pass[k] == pass);
      if (is_running_shift(k, pass)) limit(k);
    }
  }

  // Some columns' part of a reduction, and what there was of it before.
  void make_part(std::size_t k) {
    ArrayRef array = region_.arrays[k];
    Shape shape = shape_of(k);
    Expr part = rewritten(array->body, shape.places, k), before = read_kept(shape, maker_.kept_[k]);
    if (const auto& running = region_.passes->running[k]) before = multiply(before, correction(*running, k, shape));
    made_[array] = defined(k, shape, together(array->body->reduction, before, part));
    write_kept(made_[array], maker_.kept_[k]);
  }

  bool is_running_shift(std::size_t k, int pass) const {
    const ColumnPasses& passes = *region_.passes;
    for (std::size_t other = 0; other < passes.running.size(); ++other)
      if (passes.running[other] && passes.running[other]->shift == k && passes.pass[other] == pass) return true;
    return false;
  }

  // The shift as it is now, and as it was before these columns; both are finite.
  void limit(std::size_t k) {
    ArrayRef array = region_.arrays[k];
    auto limited = [&](const Shape& shape, Expr x) {
      return defined(k, shape, apply(functions::maximum, {x, real(arena_, lowest(array->dtype), array->dtype)}));
    };
    for (const auto& running : region_.passes->running) {
      if (!running || running->shift != k || shift_before_.contains(k)) continue;
      const std::size_t maximum = running->maximum;
      Shape shape = shape_of(k);
      if (maximum == k) {
        shift_before_[k] = limited(shape, read_kept(shape, maker_.before_[k]));
      } else {
        ArrayRef now = std::exchange(made_[region_.arrays[maximum]], maker_.before_[maximum]);
        shift_before_[k] = limited(shape, rewritten(array->body, shape.places, k));
        made_[region_.arrays[maximum]] = now;
      }
    }
    Shape shape = shape_of(k);
    std::vector<Expr> own;
    for (AxisRef axis : shape.axes) own.push_back(value(axis));
    made_[array] = limited(shape, read_stored(made_.at(array), own));
  }

  // exp(power * (shift before - shift now)) where array k has its positions.
  Expr correction(const ColumnPasses::Running& running, std::size_t k, const Shape& shape) {
    ArrayRef& factor = corrections_[{running.shift, running.power}];
    if (!factor) {
      Shape own = shape_of(running.shift);
      std::vector<Expr> indices;
      for (AxisRef axis : own.axes) indices.push_back(value(axis));
      ArrayRef now = made_.at(region_.arrays[running.shift]), before = shift_before_.at(running.shift);
      Expr moved = subtract(read_stored(before, indices), read_stored(now, indices));
      factor = define(own.axes, apply(functions::exp, {scale(running.power, moved)}), before->dtype, "correction");
      maker_.note(factor, running.shift, false);
    }
    std::vector<Expr> indices;
    for (AxisRef position : maker_.order_of(running.shift)) {
      const int axis = maker_.joined(running.shift, position);
      if (axis < 0 || has(axes_.units, axis)) {
        indices.push_back(integer(arena_, 0));
        continue;
      }
      const auto at = static_cast<std::size_t>(axes_.position_on(k, axis));
      indices.push_back(shape.places.at(positions(region_.arrays[k])[at]).block);
    }
    return read_stored(factor, indices);
  }

  // --- expressions

  void capture(ArrayRef array) {
    if (captured_.insert(array).second) plan_.graph.inputs.push_back({GraphInput::Role::data, array});
  }

  Expr rewritten(Expr x, const Places& places, std::size_t k) {
    std::unordered_map<Expr, Expr> made;
    return rewritten(x, places, k, made);
  }

  // One table of what is made holds for one set of bound axes.
  Expr rewritten(Expr x, const Places& places, std::size_t k, std::unordered_map<Expr, Expr>& made) {
    if (auto found = made.find(x); found != made.end()) return found->second;
    return made[x] = remade(x, places, k, made);
  }

  Expr remade(Expr x, const Places& places, std::size_t k, std::unordered_map<Expr, Expr>& made) {
    if (x->op == Op::axis) return places.at(x->axes[0]).whole;
    if (x->op == Op::reduction) return reduction(x, places, k);
    if (auto known = decided_.find({k, x->id}); known != decided_.end()) return boolean(arena_, known->second);
    std::vector<Expr> operands;
    if (x->op == Op::read && index_.contains(x->array) && made_.contains(x->array)) {
      std::size_t other = index_.at(x->array);
      ArrayRef now = made_.at(x->array);
      std::vector<AxisRef> read = positions(x->array);
      std::vector<AxisRef> order = maker_.order_of(other);
      operands.resize(read.size());
      for (std::size_t p = 0; p < read.size(); ++p) {
        const auto at = static_cast<std::size_t>(std::ranges::find(order, read[p]) - order.begin());
        int axis = maker_.joined(other, read[p]);
        bool is_plain = axis >= 0 && x->operands[p]->op == Op::axis && maker_.joined(k, x->operands[p]->axes[0]) == axis;
        if (is_plain)
          operands[at] = has(axes_.units, axis) ? integer(arena_, 0) : places.at(x->operands[p]->axes[0]).block;
        else
          operands[at] = rewritten(x->operands[p], places, k, made);
      }
      if (has(maker_.all_kept_, now)) {
        capture(now);
        operands.insert(operands.begin(), integer(arena_, 0));
      }
      return read_stored(now, operands);
    }
    for (Expr operand : x->operands) operands.push_back(rewritten(operand, places, k, made));
    if (x->op != Op::read) return operands.empty() || operands == x->operands ? x : rebuild(x, operands);
    capture(x->array);
    return read_stored(x->array, operands);
  }

  Expr reduction(Expr x, Places places, std::size_t k) {
    std::vector<AxisRef> bound;
    for (AxisRef axis : x->axes) {
      int own = maker_.joined(k, axis);
      if (own >= 0 && has(axes_.units, own)) {
        places[axis] = {offsets_.at(own), integer(arena_, 0)};
        continue;
      }
      bound.push_back(fresh_axis(arena_, own < 0 ? axis->size : block_size(own)));
      places[axis] = place_of(own, value(bound.back()));
    }
    Expr body = rewritten(x->operands[0], places, k);
    return bound.empty() ? body : reduce(x->reduction, bound, body);
  }

  const BodyMaker& maker_;
  const BlockRegion& region_;
  const BlockAxes& axes_;
  Arena& arena_;
  const BodyExtent& extent_;
  const DecidedConditions& decided_;
  Plan plan_;
  std::unordered_map<int, Expr> offsets_;
  std::unordered_map<ArrayRef, std::size_t> index_;
  std::unordered_map<ArrayRef, ArrayRef> made_;
  std::unordered_map<std::size_t, ArrayRef> shift_before_;
  std::map<std::pair<std::size_t, double>, ArrayRef> corrections_;
  std::unordered_set<ArrayRef> captured_;
};

Plan BodyMaker::make(const BodyWork& work, const BodyExtent& extent, const DecidedConditions& decided) const {
  return Body(*this, extent, decided).make(work);
}

}  // namespace heed
