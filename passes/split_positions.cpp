// Undoes flattened positions.
#include "passes/split_positions.h"

#include <algorithm>
#include <cstdlib>
#include <optional>

#include "ir/algebra.h"
#include "ir/arena.h"
#include "passes/kind.h"
#include "passes/opening.h"
#include "passes/rewrite.h"

namespace heed {

namespace {

struct Split {
  std::size_t position;
  std::int64_t n;  // position = n * high + low
};

// The smallest n by which a position is divided in the body.
std::optional<Split> division_in(Expr body, const std::vector<AxisRef>& places) {
  std::optional<Split> best;
  for (Expr node : nodes_of(body)) {
    if (node->op != Op::quotient && node->op != Op::remainder) continue;
    for (const IntegerTerm& term : linear_form(node->operands[0]).terms) {
      auto place = term.x->op == Op::axis ? std::ranges::find(places, term.x->axes[0]) : places.end();
      std::int64_t weight = std::abs(term.weight);
      if (place == places.end() || node->integer % weight != 0) continue;
      std::int64_t n = node->integer / weight;
      if (n <= 1 || (*place)->size <= n || (*place)->size % n != 0 || (best && best->n <= n)) continue;
      best = Split{static_cast<std::size_t>(place - places.begin()), n};
    }
  }
  return best;
}

// The body with n * high + low for the position, if the two then never stand together and choose no branches: the pieces of a
// concatenation stay one array.
std::optional<Expr> separated(Expr body, AxisRef place, std::int64_t n, AxisRef high, AxisRef low) {
  Expr split = substitute(body, {{place, add(scale(n, value(high)), value(low))}});
  for (Expr node : nodes_of(split)) {
    auto uses = [&](AxisRef axis) { return std::ranges::find(node->free, axis) != node->free.end(); };
    if (node->dtype == DType::boolean && (uses(high) || uses(low))) return {};
    if (is_floating(node->dtype) || node->op == Op::read) continue;
    if (uses(high) && uses(low)) return {};
  }
  return split;
}

void apply_splits(const std::vector<Split>& splits, std::vector<Expr>& indices) {
  for (const Split& split : splits) {
    auto at = indices.begin() + static_cast<std::ptrdiff_t>(split.position);
    Expr whole = *at;
    *at = floor_divide(whole, split.n);
    indices.insert(at + 1, remainder(whole, split.n));
  }
}

// Splits positions of results alone, which then rename what was split, or of all that is no result.
Graph split(const Graph& graph, bool of_results) {
  const std::vector<ArrayRef> arrays = all_arrays(outputs_of(graph)), results = outputs_of(graph);
  const std::unordered_set<ArrayRef> fixed = fixed_arrays(graph, arrays);
  const std::unordered_map<ArrayRef, int> readers = reader_counts(arrays);
  // A sum that this guard alone reads is made under it: what only guards and moves is no array to read from.
  auto opens = [&](ArrayRef definition) {
    if (!is_guarded(definition->body) || definition->body->operands[1]->op != Op::read) return false;
    ArrayRef source = definition->body->operands[1]->array;
    return source->kind == Array::Kind::definition && source->body->has_reduction && readers.at(source) == 1 && !fixed.contains(source);
  };
  auto may_split = [&](ArrayRef definition, Expr body) {
    if (body->has_reduction && kind_of(definition) == Kind::product) return false;  // Those read at any positions equally well.
    if (!of_results) return !fixed.contains(definition);
    if (std::ranges::find(results, definition) == results.end()) return false;
    const bool only_moves = body->op == Op::read || (is_guarded(body) && body->operands[1]->op == Op::read);
    return !only_moves || opens(definition);
  };
  std::unordered_map<ArrayRef, std::vector<Split>> splits;  // by what was there before, in the order they were made
  return rewrite(graph, [&](ArrayRef definition, const ArrayTable& table) {
    Expr body = rewrite(definition->body, [&](Expr node, std::span<const Expr> operands) {
      if (node->op != Op::read) return with_operands(node, operands);
      auto known = table.find(node->array);
      std::vector<Expr> indices(operands.begin(), operands.end());
      if (auto before = splits.find(node->array); before != splits.end()) apply_splits(before->second, indices);
      return read(known == table.end() ? node->array : known->second, indices);
    });
    std::vector<AxisRef> places = positions(definition);
    std::vector<Split> made;
    while (may_split(definition, body)) {
      std::optional<Split> split = division_in(body, places);
      if (!split) break;
      AxisRef place = places[split->position], high = fresh_axis(*body->arena, place->size / split->n),
              low = fresh_axis(*body->arena, split->n);
      std::optional<Expr> apart = separated(body, place, split->n, high, low);
      if (!apart) break;
      body = *apart;
      places[split->position] = high;
      places.insert(places.begin() + static_cast<std::ptrdiff_t>(split->position) + 1, low);
      made.push_back(*split);
    }
    if (made.empty() && body == definition->body) return definition;
    if (of_results && !made.empty() && opens(definition))
      body = select(body->operands[0], opened(body->operands[1]->array, body->operands[1]->operands), body->operands[2]);
    ArrayRef split = define(places, body, definition->dtype, definition->name);
    if (made.empty()) return split;
    if (!of_results) {
      splits[definition] = std::move(made);
      return split;
    }
    std::vector<Expr> indices;
    for (AxisRef axis : positions(definition)) indices.push_back(value(axis));
    apply_splits(made, indices);
    return define(positions(definition), read(split, indices), definition->dtype, definition->name);
  });
}

}  // namespace

Graph split_positions(const Graph& graph) { return split(graph, false); }
Graph split_results(const Graph& graph) { return split(graph, true); }

}  // namespace heed
