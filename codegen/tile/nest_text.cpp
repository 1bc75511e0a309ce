// The text a kernel is known by in the cache. Axes, arrays and nodes are numbered as they are met.
#include <fmt/format.h>

#include <bit>

#include "codegen/tile/nest.h"
#include "ir/function.h"

namespace heed {
namespace {

class Writer {
 public:
  Writer(const Accesses& accesses) : accesses_(accesses) {}

  std::string text;

  int axis(AxisRef axis) {
    auto [found, added] = axes_.try_emplace(axis, static_cast<int>(axes_.size()));
    if (added) text += fmt::format("a{}:{}\n", found->second, axis->size);
    return found->second;
  }
  std::string axes(const std::vector<AxisRef>& list) {
    std::string out;
    for (AxisRef each : list) out += fmt::format(" a{}", axis(each));
    return out;
  }
  std::string array(ArrayRef array) {
    if (!accesses_.is_local(array)) {
      std::string out = fmt::format("b{}:{}:{}", accesses_.buffer(array), name_of(array->dtype), element_count(array));
      // What can be known of a scalar index decides how addresses are computed.
      if (array->shape.empty() && array->range) out += fmt::format(" in {}:{}", array->range->low, array->range->high);
      return out;
    }
    auto [found, added] = locals_.try_emplace(array, static_cast<int>(locals_.size()));
    return fmt::format("l{}:{}", found->second, name_of(array->dtype));
  }
  std::string form(const LinearForm& form) {
    std::string out = fmt::format("{}", form.constant);
    for (const IntegerTerm& term : form.terms) out += fmt::format("+{}*n{}", term.weight, node(term.x));
    return out;
  }

  int node(Expr root) {
    for (Expr x : nodes_of(root)) {
      if (nodes_.contains(x)) continue;
      std::string line = fmt::format("{} {}", static_cast<int>(x->op), name_of(x->dtype));
      if (x->op == Op::read) {
        const Access& access = accesses_.of(x);
        line += " " + array(x->array) + " " + form(access.address) + (access.inside ? " in" : "");
        for (const auto& each : access.checked) line += fmt::format(" n{}*{}<{}", nodes_.at(each.index), each.stride, each.limit);
      } else {
        for (Expr operand : x->operands) line += fmt::format(" n{}", nodes_.at(operand));
      }
      for (double weight : x->weights) line += fmt::format(" w{:x}", std::bit_cast<std::uint64_t>(weight));
      for (std::int64_t weight : x->integers) line += fmt::format(" i{}", weight);
      if (!x->axes.empty()) line += axes(x->axes);
      if (x->op == Op::constant || x->op == Op::linear) line += fmt::format(" r{:x}", std::bit_cast<std::uint64_t>(x->real));
      line += fmt::format(" {} {}", x->integer, static_cast<int>(x->reduction));
      if (x->op == Op::cast) line += fmt::format(" {}", name_of(x->to));
      if (x->function) line += fmt::format(" {}", x->function->name);
      int number = static_cast<int>(nodes_.size());
      nodes_[x] = number;
      text += fmt::format("n{} {}\n", number, line);
      checks(x);
    }
    checks(root);
    return nodes_.at(root);
  }

 private:
  void checks(Expr owner) {
    if (!checked_.insert(owner).second) return;
    for (const Check& check : accesses_.checks(owner)) {
      std::string guard = check.guard ? fmt::format(" if n{}", node(check.guard)) : "";
      text += fmt::format("check n{} <{} {}{}\n", node(check.index), check.limit, check.place, guard);
    }
  }

  const Accesses& accesses_;
  std::unordered_map<Expr, int> nodes_;
  std::unordered_map<AxisRef, int> axes_;
  std::unordered_map<ArrayRef, int> locals_;
  std::set<Expr> checked_;
};

}  // namespace

std::string text_of(const Nest& nest, const Accesses& accesses, VectorShape shape) {
  Writer w(accesses);
  std::string rows = w.axes(nest.rows);
  w.text += fmt::format("nest lanes {} fma {} rows{} lane {} unroll {} tasks {} {} {}\n", shape.lanes, shape.has_fma, rows,
                        nest.lane_row ? w.axis(nest.lane_row) : -1, nest.unroll, nest.rows_per_task, nest.lanes_per_task, nest.tasks);
  if (shape.block_threads > 0)
    w.text += fmt::format("threads {}: {} rows {} along {}\n", shape.block_threads, nest.spread.rows, nest.spread.along,
                          nest.spread.rows_adjacent);
  if (nest.square) {
    const int row = w.axis(nest.square->row), lane = w.axis(nest.square->lane);
    w.text += fmt::format("squares a{} a{} {}\n", row, lane, nest.square->side);
  }
  for (const Strip& strip : nest.strips) w.text += fmt::format("strip {} at {}\n", w.array(strip.array), strip.offset);
  for (const Part& part : nest.parts) w.text += fmt::format("part {} in {}\n", w.array(part.array), w.array(part.into));
  for (const Sweep& sweep : nest.sweeps) {
    std::string axes = w.axes(sweep.axes);
    w.text += fmt::format("sweep{} lane {} unroll {}{}\n", axes, sweep.lane_axis ? w.axis(sweep.lane_axis) : -1, sweep.unroll,
                          sweep.turns ? " turned" : "");
    for (const Accumulation& each : sweep.accumulations) {
      int body = w.node(each.body);
      w.text += fmt::format("{} = reduce {} n{}\n", w.array(each.into), static_cast<int>(each.reduction), body);
    }
    for (const NestStore& store : sweep.stores) {
      int value = w.node(store.value), guard = store.guard ? w.node(store.guard) : -1;
      int onto = store.onto ? w.node(store.onto) : -1;
      std::string address = w.form(store.address);
      w.text += fmt::format("{}[{}] {} n{} {} {}\n", w.array(store.array), address, store.add ? "+=" : "=", value, guard, onto);
    }
  }
  return std::move(w.text);
}

}  // namespace heed
