// Rows, sweeps and levels: each reduction that is free of inner axes is a value of the row, computed in a sweep of its level.
#include "codegen/tile/lower.h"

#include <algorithm>
#include <functional>
#include <limits>
#include <map>
#include <numeric>
#include <optional>
#include <set>
#include <utility>

#include "codegen/tile/row_classes.h"
#include "codegen/tile/schedule.h"
#include "ir/guard.h"
#include "ir/integer.h"

namespace heed {

namespace {

constexpr std::int64_t few_rows = 8;     // not worth splitting among threads
constexpr double small_work = 32768;     // elements one thread does at once
constexpr std::int64_t few_trips = 16;   // of a reduction that may be done again for each row
constexpr std::int64_t most_parts = 64;  // of a long reduction

std::int64_t product_of(const auto& axes) {
  std::int64_t count = 1;
  for (AxisRef axis : axes) count *= axis->size;
  return count;
}
bool has(const auto& list, const auto* one) { return std::ranges::find(list, one) != list.end(); }

Expr in_stored_type(ArrayRef array, Expr body) { return compute_type(array->dtype) == array->dtype ? body : cast(array->dtype, body); }

class RegionLowering {
 public:
  // Members are opened where they are read; those in `stored` are written.
  RegionLowering(std::vector<ArrayRef> members, std::vector<ArrayRef> stored, StandIns& stand_ins, VectorShape shape)
      : members_(std::move(members)),
        stored_(std::move(stored)),
        stand_ins_(stand_ins),
        shape_(shape),
        classes_(members_, stored_),
        arena_(*stored_[0]->arena) {}

  Lowered lower() {
    choose_rows();
    while (!attempt()) {
    }
    schedule(nest_, shape_);
    return taken();
  }

  std::optional<Lowered> lower(const std::vector<ArrayRef>& sums, const RegionFrame& frame) {
    choose_rows();
    do {
      while (!attempt()) {
      }
      for (ArrayRef sum : sums)
        if (!shrunk_ && !add_up(sum, frame)) return {};
    } while (std::exchange(shrunk_, false));
    schedule(nest_, shape_);
    for (Part& part : nest_.parts) {
      std::vector<std::int64_t> shape{nest_.tasks};
      shape.insert(shape.end(), part.array->shape.begin(), part.array->shape.end());
      part.into = input(arena_, "", shape, part.array->dtype);
      workspace_.push_back(part.into);
    }
    std::vector<Nest> after = totals(sums);
    Lowered result = taken();
    std::ranges::move(after, std::back_inserter(result.nests));
    return result;
  }

 private:
  Lowered taken() {
    Lowered result;
    for (Lowered& before : before_) {
      std::ranges::move(before.nests, std::back_inserter(result.nests));
      std::ranges::move(before.workspace, std::back_inserter(result.workspace));
    }
    std::ranges::move(workspace_, std::back_inserter(result.workspace));
    result.nests.push_back(std::move(nest_));
    return result;
  }

  struct Value {
    Expr value;
    std::vector<AxisRef> axes;  // one a position; null where the size is 1
    int level;
  };

  void choose_rows() {
    for (std::size_t k = 0; k < stored_[0]->shape.size(); ++k) {
      if (stored_[0]->shape[k] == 1) continue;
      std::size_t row = classes_.of(stored_[0], k);
      bool shared = !classes_.is_inner(row);
      for (ArrayRef array : stored_) {
        int count = 0;
        for (std::size_t j = 0; j < array->shape.size(); ++j) count += array->shape[j] != 1 && classes_.of(array, j) == row;
        shared = shared && count == 1;
      }
      if (shared) rows_.emplace_back(row, fresh_axis(arena_, stored_[0]->shape[k]));
    }
  }

  AxisRef row_axis(ArrayRef member, std::size_t k) const {
    for (const auto& [row, axis] : rows_)
      if (classes_.of(member, k) == row) return axis;
    return nullptr;
  }
  bool is_row(AxisRef axis) const {
    return std::ranges::any_of(rows_, [&](const auto& row) { return row.second == axis; });
  }
  std::vector<AxisRef> inner_axes(const std::vector<std::int64_t>& sizes) {
    auto [found, added] = inner_.try_emplace(sizes);
    if (added)
      for (std::int64_t size : sizes) found->second.push_back(fresh_axis(arena_, size));
    return found->second;
  }

  // One try with the present rows; false when it took fewer.
  bool attempt() {
    nest_ = {};
    values_.clear(), reductions_.clear(), levels_.clear();
    for (const auto& [row, axis] : rows_) nest_.rows.push_back(axis);
    for (ArrayRef member : members_) {
      Value value = value_of(member);
      if (shrunk_) {
        shrunk_ = false;
        return false;
      }
      values_[member] = value;
      if (has(stored_, member)) store(member, value);
    }
    return true;
  }

  Value value_of(ArrayRef member) {
    Value result{nullptr, {}, 0};
    std::vector<std::int64_t> sizes;
    for (std::size_t k = 0; k < member->shape.size(); ++k)
      if (member->shape[k] != 1 && !row_axis(member, k)) sizes.push_back(member->shape[k]);
    std::vector<AxisRef> inner = inner_axes(sizes);
    Substitution table;
    std::size_t next = 0;
    for (std::size_t k = 0; k < member->shape.size(); ++k) {
      AxisRef axis = member->shape[k] == 1 ? nullptr : row_axis(member, k);
      if (!axis && member->shape[k] != 1) axis = inner[next++];
      result.axes.push_back(axis);
      table.emplace_back(positions(member)[k], axis ? value(axis) : integer(arena_, 0));
    }
    auto row_of = [&](AxisRef axis) {
      return axis->kind == AxisKind::position ? row_axis(member, static_cast<std::size_t>(axis->key)) : nullptr;
    };
    Expr body = rewrite(member->body, [&](Expr node, std::span<const Expr> operands) { return opened(node, operands, row_of); });
    body = in_stored_type(member, substitute(body, table));
    result.value = extracted(body);
    result.level = level_of(result.value);
    return result;
  }

  // The values of a row that a sum over rows takes, added to what is there of its part. False if it does not take every row.
  bool add_up(ArrayRef member, const RegionFrame& frame) {
    Expr total = sum_in(member);
    const std::size_t k = static_cast<std::size_t>(std::ranges::find(frame.arrays, member) - frame.arrays.begin());
    const std::size_t first = static_cast<std::size_t>(std::ranges::find(frame.arrays, stored_[0]) - frame.arrays.begin());
    Substitution table;
    std::vector<AxisRef> inside;  // summed within a row
    auto row_of = [&](AxisRef axis) -> AxisRef {
      auto joined = frame.axis_of[k].find(axis);
      if (axis->kind == AxisKind::position || joined == frame.axis_of[k].end()) return nullptr;
      std::vector<AxisRef> places = positions(stored_[0]);
      for (std::size_t p = 0; p < places.size(); ++p)
        if (auto same = frame.axis_of[first].find(places[p]); same != frame.axis_of[first].end() && same->second == joined->second)
          return row_axis(stored_[0], p);
      return nullptr;
    };
    for (AxisRef axis : total->axes) {
      if (AxisRef row = row_of(axis)) {
        table.emplace_back(axis, value(row));
      } else {
        inside.push_back(fresh_axis(arena_, axis->size));
        table.emplace_back(axis, value(inside.back()));
      }
    }
    if (rows_.empty() || table.size() - inside.size() != rows_.size()) return false;
    const std::vector<std::int64_t> sizes = long_sizes(member);
    const std::vector<AxisRef> inner = inner_axes(sizes);
    std::size_t next = 0;
    for (AxisRef place : positions(member)) table.emplace_back(place, place->size == 1 ? integer(arena_, 0) : value(inner[next++]));
    Expr body = rewrite(total->operands[0], [&](Expr node, std::span<const Expr> operands) { return opened(node, operands, row_of); });
    body = substitute(body, table);
    if (!inside.empty()) body = sum(inside, body);
    body = extracted(body);
    ArrayRef part = input(arena_, "", sizes, total->dtype);
    std::vector<Expr> indices;
    for (AxisRef axis : inner) indices.push_back(value(axis));
    Expr onto = read_stored(part, indices);
    nest_.parts.push_back({part, fresh_axis(arena_, product_of(inner))});
    sweep(level_of(body), inner).stores.push_back({.array = part, .address = affine_address(onto), .value = body, .onto = onto});
    return true;
  }

  static Expr sum_in(ArrayRef member) { return member->body->op == Op::reduction ? member->body : member->body->operands[0]; }

  static std::vector<std::int64_t> long_sizes(ArrayRef member) {
    std::vector<std::int64_t> sizes;
    for (std::int64_t size : member->shape)
      if (size != 1) sizes.push_back(size);
    return sizes;
  }

  // Adds the parts of sums; those of the same size in one nest.
  std::vector<Nest> totals(const std::vector<ArrayRef>& sums) {
    std::vector<Nest> nests;
    for (std::size_t k = 0; k < sums.size(); ++k) {
      const std::vector<std::int64_t> sizes = long_sizes(sums[k]);
      auto same = std::ranges::find_if(nests, [&](const Nest& nest) { return std::ranges::equal(nest.rows, sizes, {}, &Axis::size); });
      if (same == nests.end()) {
        same = nests.insert(nests.end(), Nest{});
        for (std::int64_t size : sizes) same->rows.push_back(fresh_axis(arena_, size));
        same->sweeps.emplace_back();
      }
      AxisRef part = fresh_axis(arena_, nest_.tasks);
      std::vector<Expr> from{value(part)}, at;
      for (AxisRef axis : same->rows) from.push_back(value(axis));
      std::size_t next = 0;
      for (std::int64_t size : sums[k]->shape) at.push_back(size == 1 ? integer(arena_, 0) : value(same->rows[next++]));
      Expr body = sum(std::vector<AxisRef>{part}, read_stored(nest_.parts[k].into, from));
      if (sums[k]->body->op == Op::linear) body = scale(sums[k]->body->weights[0], body);
      Element place = stand_ins_.element(sums[k], at);
      same->sweeps[0].stores.push_back({.array = place.array, .address = address_of(place), .value = in_stored_type(sums[k], body)});
    }
    for (Nest& nest : nests) schedule(nest, shape_);
    return nests;
  }

  // Reads of members by their values; of anything else by its stand-in. `row_of`: the row that an axis of the reader stands for, or null.
  Expr opened(Expr node, std::span<const Expr> operands, const std::function<AxisRef(AxisRef)>& row_of) {
    if (node->op != Op::read) return with_stored_operands(node, operands);
    if (!classes_.knows(node->array)) return stand_ins_.read(node->array, operands);
    ArrayRef member = node->array;
    auto known = values_.find(member);
    bool aligned = known != values_.end();
    Substitution table;
    for (std::size_t k = 0; aligned && k < operands.size(); ++k) {
      if (member->shape[k] == 1) continue;
      AxisRef row = row_axis(member, k);
      if (!row)
        table.emplace_back(known->second.axes[k], operands[k]);
      else
        aligned = operands[k]->op == Op::axis && row_of(operands[k]->axes[0]) == row;
    }
    if (aligned) return substitute(known->second.value, table);
    table.clear();
    std::vector<AxisRef> places = positions(member);
    for (std::size_t k = 0; k < operands.size(); ++k) table.emplace_back(places[k], operands[k]);
    return substitute(whole(member), table);
  }

  // The body of a member with all members in it opened, at its own positions.
  Expr whole(ArrayRef member) {
    Expr& known = whole_[member];
    if (!known)
      known = in_stored_type(member, rewrite(member->body, [&](Expr node, std::span<const Expr> operands) {
                               if (node->op != Op::read) return with_stored_operands(node, operands);
                               if (!classes_.knows(node->array)) return stand_ins_.read(node->array, operands);
                               Substitution table;
                               std::vector<AxisRef> places = positions(node->array);
                               for (std::size_t k = 0; k < operands.size(); ++k) table.emplace_back(places[k], operands[k]);
                               return substitute(whole(node->array), table);
                             }));
    return whole_[member];
  }

  int level_of(Expr x) const {  // of the sweep in which it can be computed
    int level = 0;
    for (Expr node : nodes_of(x))
      if (node->op == Op::read)
        if (auto found = levels_.find(node->array); found != levels_.end()) level = std::max(level, found->second + 1);
    return level;
  }

  // Reductions that are values of a row become reads of locals; but not what a condition around it keeps from reading outside.
  Expr extracted(Expr x) {
    const std::unordered_set<Expr> guarded = in_branches(x);
    return rewrite(x, [&](Expr node, std::span<const Expr> operands) -> Expr {
      Expr made = with_stored_operands(node, operands);
      if (made->op != Op::reduction || shrunk_) return made;
      for (AxisRef axis : made->free)
        if (!is_row(axis)) return made;
      if (guarded.contains(node) && may_leave(node)) return made;
      return row_value(made);
    });
  }

  Expr row_value(Expr sum) {
    std::int64_t trips = product_of(sum->axes);
    bool pure = level_of(sum) == 0;
    if (sum->free.size() < rows_.size() && trips > few_trips) {
      // It is the same for many rows: done once for what it depends on, in a kernel of its own if those are too few for the rest.
      double work = static_cast<double>(product_of(nest_.rows));
      if (shape_.is_shared && pure && product_of(sum->free) < few_rows && work > small_work) return stored_apart(sum);
      std::erase_if(rows_, [&](const auto& row) { return !has(sum->free, row.second); });
      shrunk_ = true;
      return sum;
    }
    if (pure)
      if (Expr parts = in_parts(sum, trips)) sum = parts;
    if (sum->op != Op::reduction) return sum;
    std::vector<std::int64_t> sizes;
    for (AxisRef axis : sum->axes) sizes.push_back(axis->size);
    std::vector<AxisRef> axes = inner_axes(sizes);
    Substitution table;
    for (std::size_t k = 0; k < axes.size(); ++k) table.emplace_back(sum->axes[k], value(axes[k]));
    Expr body = substitute(sum->operands[0], table);
    ArrayRef& local = reductions_[{sum->reduction, body}];
    if (!local) {
      local = input(arena_, "", {}, sum->dtype);
      nest_.locals.push_back(local);
      int level = level_of(body);
      levels_[local] = level;
      sweep(level, axes).accumulations.push_back({sum->reduction, body, local});
    }
    return read_stored(local, {});
  }

  Sweep& sweep(int level, const std::vector<AxisRef>& axes) {
    for (Sweep& known : nest_.sweeps)
      if (known.level == level && known.axes == axes) return known;
    auto after = std::ranges::upper_bound(nest_.sweeps, level, {}, &Sweep::level);
    return *nest_.sweeps.insert(after, Sweep{.level = level, .axes = axes});
  }

  Expr stored_apart(Expr sum) {
    std::vector<AxisRef> axes(sum->free.begin(), sum->free.end());
    std::vector<Expr> indices;
    for (AxisRef axis : axes) indices.push_back(value(axis));
    return read_stored(stand_ins_.of(apart(axes, sum)), indices);
  }

  ArrayRef apart(const std::vector<AxisRef>& axes, Expr body) {
    ArrayRef array = define(axes, body, body->dtype);
    if (array->kind == Array::Kind::definition && !has(workspace_, array)) {
      before_.push_back(RegionLowering({array}, {array}, stand_ins_, shape_, true).lower());
      workspace_.push_back(array);
    }
    return array;
  }

  // Whether one of the axes lies along memory in the largest that is read: each row can then be a task of its own.
  static bool runs_along(Expr sum) {
    std::int64_t largest = 0;
    for (Expr node : nodes_of(sum->operands[0]))
      if (node->op == Op::read) largest = std::max(largest, product_of(node->free));
    for (Expr node : nodes_of(sum->operands[0])) {
      if (node->op != Op::read || product_of(node->free) < largest) continue;
      for (const IntegerTerm& term : affine_address(node).terms)
        if (term.weight == 1 && term.x->op == Op::axis && has(sum->axes, term.x->axes[0])) return true;
    }
    return false;
  }

  // A long reduction for few rows is cut into parts, one row each in a kernel before; what is left reduces the parts.
  Expr in_parts(Expr sum, std::int64_t trips) {
    std::int64_t rows = product_of(nest_.rows);
    // From so many rows on every thread, or every multiprocessor of a GPU, has one.
    const bool on_gpu = shape_.block_threads > 0;
    const std::int64_t enough = runs_along(sum) ? (on_gpu ? 256 : 32) : (on_gpu ? 32768 : 1024);
    if (is_part_ || !shape_.is_shared || rows >= enough || trips < 1024 || rows * trips < (1 << 19) || sum->reduction == Reduction::argmax)
      return nullptr;
    AxisRef axis = *std::ranges::max_element(sum->axes, {}, [](AxisRef each) { return each->size; });
    std::int64_t parts = std::min({most_parts, axis->size, trips / 256});
    if (parts < 2) return nullptr;
    std::int64_t divisor = parts;
    while (divisor > 1 && axis->size % divisor != 0) --divisor;
    if (divisor * 4 >= parts) parts = divisor;
    std::int64_t length = ceil_divide(axis->size, parts);
    AxisRef part = fresh_axis(arena_, parts), rest = fresh_axis(arena_, length);
    Expr index = add(scale(length, value(part)), value(rest));
    std::vector<AxisRef> bound{rest};
    Substitution table{{axis, index}};
    for (AxisRef other : sum->axes)
      if (other != axis) {
        bound.push_back(fresh_axis(arena_, other->size));
        table.emplace_back(other, value(bound.back()));
      }
    Expr body = substitute(sum->operands[0], table);
    if (axis->size % length != 0) body = select(inside(index, axis->size), body, identity(sum));
    std::vector<AxisRef> axes{part};
    axes.insert(axes.end(), sum->free.begin(), sum->free.end());
    ArrayRef array = apart(axes, reduce(sum->reduction, bound, body));
    std::vector<Expr> indices;
    for (AxisRef each : axes) indices.push_back(value(each));
    return reduce(sum->reduction, std::vector<AxisRef>{part}, read_stored(stand_ins_.of(array), indices));
  }

  Expr identity(Expr sum) {
    Expr body = sum->operands[0];
    std::vector<AxisRef> none{fresh_axis(arena_, 0)};
    return reduce(sum->reduction, none, body);
  }

  void store(ArrayRef member, const Value& value) {
    std::vector<Expr> indices;
    std::vector<AxisRef> axes;
    for (AxisRef axis : value.axes) {
      indices.push_back(axis ? heed::value(axis) : integer(arena_, 0));
      if (axis && !is_row(axis)) axes.push_back(axis);
    }
    Element place = stand_ins_.element(member, indices);
    sweep(value.level, axes).stores.push_back({place.array, address_of(place), value.value});
  }

  RegionLowering(std::vector<ArrayRef> members, std::vector<ArrayRef> stored, StandIns& stand_ins, VectorShape shape, bool is_part)
      : RegionLowering(std::move(members), std::move(stored), stand_ins, shape) {
    is_part_ = is_part;
  }

  std::vector<ArrayRef> members_, stored_;
  StandIns& stand_ins_;
  VectorShape shape_;
  RowClasses classes_;
  Arena& arena_;
  bool is_part_ = false, shrunk_ = false;
  std::vector<std::pair<std::size_t, AxisRef>> rows_;
  std::map<std::vector<std::int64_t>, std::vector<AxisRef>> inner_;
  std::unordered_map<ArrayRef, Value> values_;
  std::unordered_map<ArrayRef, Expr> whole_;
  std::map<std::pair<Reduction, Expr>, ArrayRef> reductions_;  // only looked up
  std::unordered_map<ArrayRef, int> levels_;
  Nest nest_;
  std::vector<Lowered> before_;
  std::vector<ArrayRef> workspace_;
};

}  // namespace

std::optional<Lowered> lower_with_sums(const std::vector<ArrayRef>& members, const std::vector<ArrayRef>& stored,
                                       const std::vector<ArrayRef>& sums, const RegionFrame& frame, StandIns& stand_ins,
                                       VectorShape shape) {
  return RegionLowering(members, stored, stand_ins, shape).lower(sums, frame);
}

Lowered lower_together(const std::vector<ArrayRef>& members, const std::vector<ArrayRef>& stored, StandIns& stand_ins, VectorShape shape) {
  return RegionLowering(members, stored, stand_ins, shape).lower();
}

}  // namespace heed
