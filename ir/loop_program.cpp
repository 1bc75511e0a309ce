// Makes the evaluator's loops from an array's body.
#include "ir/loop_program.h"

#include <algorithm>
#include <stdexcept>

#include "ir/algebra.h"

namespace heed::loops {
namespace {

class Compiler {
 public:
  Program compile(ArrayRef definition) {
    program_.loops.push_back({.size = 1, .parent = -1, .depth = 0});
    memo_.emplace_back();
    int innermost = 0;
    for (AxisRef axis : positions(definition)) {
      if (axis->size == 1) continue;
      int loop = add_loop(axis->size, innermost);
      outer_.push_back({innermost, loop});
      bind(axis, loop);
      innermost = loop;
    }
    int value = compile(definition->body, -1);
    emit(innermost, {.code = Code::store, .operands = {value}});
    for (auto [parent, loop] : outer_) emit(parent, {.code = Code::run, .loop = loop});
    place();
    return std::move(program_);
  }

 private:
  int add_loop(std::int64_t size, int parent) {
    program_.loops.push_back({.size = size, .parent = parent, .depth = program_.loops[parent].depth + 1});
    program_.loops[parent].innermost = false;
    memo_.emplace_back();
    return static_cast<int>(program_.loops.size()) - 1;
  }

  void bind(AxisRef axis, int loop) { loop_of_[axis] = loop; }

  int add_value(int loop) {
    program_.values.push_back({.loop = loop});
    return static_cast<int>(program_.values.size()) - 1;
  }

  void emit(int loop, Instruction instruction) { program_.loops[loop].code.push_back(std::move(instruction)); }

  int emit_value(int loop, Instruction instruction) {
    instruction.result = add_value(loop);
    emit(loop, std::move(instruction));
    return program_.loops[loop].code.back().result;
  }

  int deeper(int a, int b) const { return program_.loops[a].depth >= program_.loops[b].depth ? a : b; }
  int loop_of_value(int value) const { return program_.values[value].loop; }

  int loop_of_axes(Expr node) const {
    int loop = 0;
    for (AxisRef axis : node->free) loop = deeper(loop, loop_of_.at(axis));
    return loop;
  }

  // Whether something in it may read outside its array, so that it may run only where a selection wants it.
  bool is_unsafe(Expr node) {
    auto [entry, is_new] = unsafe_.try_emplace(node, false);
    if (!is_new) return entry->second;
    bool result = std::ranges::any_of(node->operands, [&](Expr operand) { return is_unsafe(operand); });
    if (node->op == Op::read)
      for (std::size_t k = 0; k < node->operands.size(); ++k) result |= leaves(node, k);
    return unsafe_[node] = result;
  }

  static bool leaves(Expr read, std::size_t dimension) {
    Interval range = bounds(read->operands[dimension]);
    return range.low < 0 || range.high >= read->array->shape[dimension];
  }

  int index_of(int loop) {
    int& index = program_.loops[loop].index;
    if (index < 0) index = add_value(loop);
    return program_.loops[loop].index;
  }

  // A mask matters to what may fail, and saves a reduction that is not wanted; for all else a value is made once, wherever it is used.
  int effective_mask(Expr node, int mask) {
    if (mask < 0 || is_unsafe(node)) return mask;
    bool saves = node->has_reduction && program_.loops[loop_of_value(mask)].depth <= program_.loops[loop_of_axes(node)].depth;
    return saves ? mask : -1;
  }

  int combine_masks(int mask, int condition, bool wanted) {
    if (mask < 0 && wanted) return condition;
    auto [entry, is_new] = masks_.try_emplace({mask, condition, wanted}, -1);
    if (!is_new) return entry->second;
    int loop = loop_of_value(condition);
    if (mask >= 0) loop = deeper(loop, loop_of_value(mask));
    Instruction instruction{.code = mask < 0 ? Code::negation : wanted ? Code::both : Code::only_not};
    if (mask >= 0) instruction.operands.push_back(mask);
    instruction.operands.push_back(condition);
    return entry->second = emit_value(loop, std::move(instruction));
  }

  int compile(Expr node, int mask) {
    if (node->op == Op::axis) return index_of(loop_of_.at(node->axes[0]));
    mask = effective_mask(node, mask);
    int loop = loop_of_axes(node);
    if (mask >= 0) loop = deeper(loop, loop_of_value(mask));
    if (auto found = memo_[loop].find({node, mask}); found != memo_[loop].end()) return found->second;
    int value = make(node, mask, loop);
    memo_[loop][{node, mask}] = value;
    return value;
  }

  int make(Expr node, int mask, int loop) {
    if (node->op == Op::reduction) return make_reduction(node, mask, loop);
    if (node->op == Op::read) return make_read(node, mask, loop);
    if (node->op == Op::select) return make_select(node, mask, loop);
    if (node->op == Op::both && is_unsafe(node)) return make_both(node, mask, loop);
    Instruction instruction{.code = code_of(node), .node = node};
    for (Expr operand : node->operands) instruction.operands.push_back(compile(operand, mask));
    instruction.integer = node->integer;
    instruction.real = node->real;
    instruction.weights = node->weights;
    instruction.integers = node->integers;
    instruction.from_real = !node->operands.empty() && is_floating(node->operands[0]->dtype);
    return emit_value(loop, std::move(instruction));
  }

  static Code code_of(Expr node) {
    bool floating = is_floating(node->dtype);
    bool of_floating = !node->operands.empty() && is_floating(node->operands[0]->dtype);
    switch (node->op) {
      case Op::constant:
        return Code::constant;
      case Op::linear:
        return floating ? Code::linear_real : Code::linear_integer;
      case Op::product:
        return floating ? Code::product_real : Code::product_integer;
      case Op::function:
        return Code::call;
      case Op::cast:
        return Code::cast;
      case Op::quotient:
        return Code::quotient;
      case Op::remainder:
        return Code::remainder;
      case Op::at_least_zero:
        return Code::at_least_zero;
      case Op::is_zero:
        return Code::is_zero;
      case Op::at_least:
        return Code::at_least;
      case Op::greater:
        return Code::greater;
      case Op::equal:
        return of_floating ? Code::equal_real : Code::equal_integer;
      case Op::both:
        return Code::both;
      case Op::negation:
        return Code::negation;
      default:
        throw std::logic_error("evaluate: a node of an unknown kind");
    }
  }

  int make_select(Expr node, int mask, int loop) {
    int condition = compile(node->operands[0], mask);
    int value = compile(node->operands[1], combine_masks(mask, condition, true));
    int other = compile(node->operands[2], combine_masks(mask, condition, false));
    return emit_value(loop, {.code = Code::select, .operands = {condition, value, other}, .node = node});
  }

  // Conditions on indices guard the conditions that read.
  int make_both(Expr node, int mask, int loop) {
    Instruction instruction{.code = Code::both, .node = node};
    int inside = mask;
    for (Expr operand : node->operands) {
      if (is_unsafe(operand)) continue;
      instruction.operands.push_back(compile(operand, mask));
      inside = combine_masks(inside, instruction.operands.back(), true);
    }
    for (Expr operand : node->operands)
      if (is_unsafe(operand)) instruction.operands.push_back(compile(operand, inside));
    return emit_value(loop, std::move(instruction));
  }

  int make_reduction(Expr node, int mask, int loop) {
    std::vector<std::pair<AxisRef, int>> hidden;  // what the axes mean further out
    int inner = loop, first = -1;
    for (AxisRef axis : node->axes) {
      if (auto found = loop_of_.find(axis); found != loop_of_.end()) hidden.emplace_back(axis, found->second);
      int parent = inner;
      inner = add_loop(axis->size, parent);
      if (first < 0) first = inner;
      bind(axis, inner);
    }
    int body = compile(node->operands[0], mask);
    bool from_real = is_floating(node->operands[0]->dtype);
    int result = add_value(loop), best = node->reduction == Reduction::argmax ? add_value(loop) : -1;
    Instruction accumulate{.code = Code::accumulate, .result = result, .operands = {body}, .from_real = from_real, .node = node};
    if (best >= 0) accumulate.operands = {body, best, index_of(inner)};
    emit(inner, std::move(accumulate));
    for (int each = inner; program_.loops[each].parent != loop; each = program_.loops[each].parent)
      emit(program_.loops[each].parent, {.code = Code::run, .loop = each});
    Instruction reduce{.code = Code::reduce, .result = result, .mask = mask, .loop = first, .from_real = from_real, .node = node};
    if (best >= 0) reduce.operands = {best};
    emit(loop, std::move(reduce));
    for (AxisRef axis : node->axes) loop_of_.erase(axis);
    for (auto [axis, outer] : hidden) loop_of_[axis] = outer;
    return result;
  }

  int make_read(Expr node, int mask, int loop) {
    auto known = std::ranges::find(program_.arrays, node->array);
    int array = static_cast<int>(known - program_.arrays.begin());
    if (known == program_.arrays.end()) program_.arrays.push_back(node->array);
    for (std::size_t k = 0; k < node->operands.size(); ++k) {
      if (!leaves(node, k)) continue;
      Instruction check{
          .code = Code::check, .mask = mask, .dimension = static_cast<int>(k), .integer = node->array->shape[k], .node = node};
      check.operands = {compile(node->operands[k], mask)};
      emit(loop, std::move(check));
    }
    // The address is one linear combination; what is constant in a loop is added outside of it.
    Instruction read{.code = Code::read, .mask = mask, .array = array, .node = node};
    std::vector<std::pair<Expr, std::int64_t>> weights;
    std::int64_t stride = 1, constant = 0;
    for (std::size_t k = node->operands.size(); k-- > 0; stride *= node->array->shape[k]) {
      LinearForm form = linear_form(node->operands[k]);
      constant += stride * form.constant;
      for (const IntegerTerm& term : form.terms) {
        auto found = std::ranges::find(weights, term.x, &std::pair<Expr, std::int64_t>::first);
        if (found == weights.end()) found = weights.insert(weights.end(), {term.x, 0});
        found->second += stride * term.weight;
      }
    }
    std::map<int, std::vector<std::pair<int, std::int64_t>>> terms;  // depth -> (value, weight)
    for (auto [x, weight] : weights) {
      if (weight == 0) continue;
      if (x->op == Op::axis && loop_of_.at(x->axes[0]) == loop) {
        read.step = weight;
        continue;
      }
      int value = compile(x, mask);
      terms[program_.loops[loop_of_value(value)].depth].emplace_back(value, weight);
    }
    int base = -1;
    for (auto& [depth, group] : terms) {
      Instruction sum{.code = Code::linear_integer, .integer = base < 0 ? constant : 0};
      if (base >= 0) group.emplace_back(base, 1);
      for (auto [value, weight] : group) {
        sum.operands.push_back(value);
        sum.integers.push_back(weight);
      }
      int where = 0;
      for (auto [value, weight] : group) where = deeper(where, loop_of_value(value));
      base = emit_value(where, std::move(sum));
    }
    if (base >= 0) read.operands = {base};
    read.integer = base < 0 ? constant : 0;
    if (read.step != 0) index_of(loop);
    return emit_value(loop, std::move(read));
  }

  void place() {
    int next = 0;
    for (Value& value : program_.values) {
      bool row = program_.loops[value.loop].innermost;
      value.offset = next;
      value.step = row;
      next += row ? lanes : 1;
    }
    program_.slots = next;
  }

  struct MemoHash {
    std::size_t operator()(const std::pair<Expr, int>& key) const { return key.first->id * 1000003u + static_cast<unsigned>(key.second); }
  };
  Program program_;
  std::vector<std::unordered_map<std::pair<Expr, int>, int, MemoHash>> memo_;  // by loop
  std::vector<std::pair<int, int>> outer_;
  std::unordered_map<AxisRef, int> loop_of_;
  std::unordered_map<Expr, bool> unsafe_;
  std::map<std::tuple<int, int, bool>, int> masks_;
};

}  // namespace

Program compile(ArrayRef definition) { return Compiler().compile(definition); }

}  // namespace heed::loops
