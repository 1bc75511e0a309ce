// Follows normalised weights through what is linear in them: where every way ends in a plain sum over the normalised axis, they add up
// to 1.
#include "ir/language/idle_weights.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>
#include <set>

#include "ir/algebra.h"
#include "ir/function.h"

namespace heed {
namespace {

using Users = std::map<std::uint32_t, std::vector<ArrayRef>>;  // by id of what they read

// The position at which the indices are not the reading array's own, if there is just one.
std::optional<std::size_t> other_position(Expr read, ArrayRef reader) {
  if (read->op != Op::read || read->operands.size() != reader->shape.size()) return std::nullopt;
  std::vector<AxisRef> own = positions(reader);
  std::optional<std::size_t> other;
  for (std::size_t k = 0; k < own.size(); ++k) {
    if (read->operands[k] == value(own[k])) continue;
    if (other) return std::nullopt;
    other = k;
  }
  return other;
}

bool reads_own_positions(Expr read, ArrayRef reader) {
  return read->op == Op::read && read->operands.size() == reader->shape.size() && !other_position(read, reader) &&
         std::ranges::equal(read->operands, positions(reader), {}, {}, [](AxisRef axis) { return value(axis); });
}

// e / sum(e) along one axis, kept as 1: which axis that is.
std::optional<std::size_t> normalised_axis(ArrayRef weights) {
  if (weights->kind != Array::Kind::definition || weights->body->op != Op::product || weights->body->operands.size() != 2)
    return std::nullopt;
  for (std::size_t k : {0, 1}) {
    Expr top = weights->body->operands[k], scale = weights->body->operands[1 - k];
    double power = weights->body->weights[1 - k];
    if (weights->body->weights[k] != 1 || !reads_own_positions(top, weights)) continue;
    auto axis = other_position(scale, weights);
    if (!axis || weights->shape[*axis] < 2) continue;
    ArrayRef total = scale->array;
    if (power == 1 && total->body && total->body->op == Op::function && total->body->function == &functions::reciprocal_or_zero &&
        reads_own_positions(total->body->operands[0], total))
      total = total->body->operands[0]->array;
    else if (power != -1)
      continue;
    Expr sum = total->body;
    if (!sum || sum->op != Op::reduction || sum->reduction != Reduction::sum || sum->axes.size() != 1) continue;
    Expr summed = sum->operands[0];
    if (summed->op != Op::read || summed->array != top->array || other_position(summed, total) != axis) continue;
    if (summed->operands[*axis] == value(sum->axes[0])) return axis;
  }
  return std::nullopt;
}

struct Walk {
  const Graph& graph;
  const Users& users;
  std::set<std::pair<std::uint32_t, std::size_t>> seen = {};

  struct Use {
    bool is_linear = true;
    std::vector<AxisRef> axes;  // at which the weights' axis is read and not yet summed
  };

  Use use_in(Expr x, ArrayRef source, std::size_t axis) {
    Use result;
    auto add = [&](const Use& part) {
      result.is_linear &= part.is_linear;
      result.axes.insert(result.axes.end(), part.axes.begin(), part.axes.end());
    };
    if (x->op == Op::read && x->array == source) {
      Expr index = x->operands[axis];
      if (index->op != Op::axis) return {false, {}};
      for (std::size_t k = 0; k < x->operands.size(); ++k)
        if (k != axis && std::ranges::count(x->operands[k]->free, index->axes[0])) return {false, {}};
      return {true, {index->axes[0]}};
    }
    for (Expr operand : x->operands) add(use_in(operand, source, axis));
    if (!result.is_linear || result.axes.empty()) return result;
    if (x->op == Op::linear) return result;
    if (x->op == Op::reduction && x->reduction == Reduction::sum) {
      std::erase_if(result.axes, [&](AxisRef a) { return std::ranges::count(x->axes, a) > 0; });
      return result;
    }
    if (x->op != Op::product) return {false, {}};
    int with = 0;
    for (std::size_t k = 0; k < x->operands.size(); ++k) {
      bool carries = !use_in(x->operands[k], source, axis).axes.empty();
      with += carries;
      if (carries && x->weights[k] != 1) return {false, {}};
      for (AxisRef a : result.axes)
        if (!carries && std::ranges::count(x->operands[k]->free, a)) return {false, {}};
    }
    result.is_linear = with == 1;
    return result;
  }

  // Whether nothing of the array but its sums over the axis matters.
  bool only_summed(ArrayRef source, std::size_t axis) {
    for (const GraphOutput& output : graph.outputs)
      if (output.array == source) return false;
    if (!seen.insert({source->id, axis}).second) return true;
    auto found = users.find(source->id);
    if (found == users.end()) return false;
    for (ArrayRef user : found->second) {
      if (user->kind != Array::Kind::definition) return false;
      Use use = use_in(user->body, source, axis);
      if (!use.is_linear) return false;
      for (AxisRef a : use.axes)
        if (a->kind != AxisKind::position || !only_summed(user, static_cast<std::size_t>(a->key))) return false;
    }
    return true;
  }
};

Span line_span(const Module& module, int line) {
  std::size_t begin = 0;
  for (int k = 1; k < line && begin != std::string::npos; ++k) begin = module.source.text.find('\n', begin) + 1;
  std::size_t end = std::min(module.source.text.find('\n', begin), module.source.text.size());
  std::size_t first = std::min(module.source.text.find_first_not_of(' ', begin), end);
  return {&module.source, line, static_cast<int>(first - begin) + 1, static_cast<int>(std::max<std::size_t>(end - first, 1))};
}

}  // namespace

void warn_of_idle_weights(const Graph& graph, const Module& module, Diagnostics& diagnostics) {
  Users users;
  std::vector<ArrayRef> arrays = in_order(graph);
  for (ArrayRef array : arrays)
    for (ArrayRef read : reads_of(array)) users[read->id].push_back(array);
  for (ArrayRef array : arrays) {
    auto axis = normalised_axis(array);
    const Origin& origin = graph.arena->origin(array->origin);
    if (!axis || origin.file != module.source.name || !Walk{graph, users}.only_summed(array, *axis)) continue;
    diagnostics.warning(
        line_span(module, origin.line),
        fmt::format("these weights sum to 1 along axis {}, and nothing but their sums along it is used: they have no effect", *axis),
        "normalise them along another axis, or put a step between that is not linear");
  }
}

}  // namespace heed
