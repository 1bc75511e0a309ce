// Reads a value that is an array instead of making it again.
#include "passes/reuse_stored.h"

#include <algorithm>
#include <map>
#include <unordered_set>

#include "ir/algebra.h"
#include "passes/rewrite.h"
#include "passes/work.h"

namespace heed {

namespace {

constexpr double cheap = 8;  // operations for each element, for which a reduction does not read

// Arrays by what they are, whatever the order of their dimensions.
class Stored {
 public:
  // One with a dimension that its body does not tell apart is left out.
  void add(ArrayRef array) {
    std::vector<AxisRef> axes = axes_by_use(array->body, array->body->free);
    Entry entry{array, {}};
    for (AxisRef place : positions(array)) {
      auto found = std::ranges::find(axes, place);
      if (found == axes.end()) return;
      entry.order.push_back(static_cast<std::size_t>(found - axes.begin()));
    }
    entries_.try_emplace(key(array->body, axes), std::move(entry));
  }

  // The array whose body x is, read at x's axes; null if there is none.
  Expr value_of(Expr x) const {
    std::vector<AxisRef> axes = axes_by_use(x, x->free);
    auto found = entries_.find(key(x, axes));
    if (found == entries_.end()) return nullptr;
    std::vector<Expr> indices;
    for (std::size_t k : found->second.order) indices.push_back(value(axes[k]));
    return read_stored(found->second.array, indices);
  }

 private:
  struct Entry {
    ArrayRef array;
    std::vector<std::size_t> order;  // of its dimensions, as indices into the axes by use
  };
  using Key = std::pair<std::uint32_t, std::vector<std::int64_t>>;  // the body over positions in the order of use, and their sizes

  static Key key(Expr x, const std::vector<AxisRef>& axes) {
    Substitution table;
    std::vector<std::int64_t> shape;
    for (std::size_t k = 0; k < axes.size(); ++k) {
      table.emplace_back(axes[k], value(axis_of(*x->arena, AxisKind::position, static_cast<std::int32_t>(k), axes[k]->size)));
      shape.push_back(axes[k]->size);
    }
    return {substitute(x, table)->id, std::move(shape)};
  }

  std::map<Key, Entry> entries_;
};

// What is reduced whole.
std::unordered_set<Expr> reduced_in(Expr body) {
  std::unordered_set<Expr> reduced;
  if (!body->has_reduction) return reduced;
  for (Expr node : nodes_of(body))
    if (node->op == Op::reduction) reduced.insert(node->operands[0]);
  return reduced;
}

}  // namespace

Graph reuse_stored(const Graph& graph) {
  Stored stored;  // As remade; what a body reads comes before it, and so does an array of a part of it.
  return rewrite(graph, [&](ArrayRef definition, const ArrayTable& table) {
    Expr whole = replace_arrays(definition->body, table);
    const std::unordered_set<Expr> reduced = reduced_in(whole);
    Expr body = rewrite(whole, [&](Expr node, std::span<const Expr> operands) {
      Expr made = with_operands(node, operands);
      if (node == whole || !is_floating(made->dtype) || made->free.empty()) return made;
      const bool is_dear = made->op == Op::function || (reduced.contains(node) && operations_of(made) > cheap);
      Expr again = is_dear ? stored.value_of(made) : nullptr;
      return again ? again : made;
    });
    ArrayRef array = body == definition->body ? definition : define(positions(definition), body, definition->dtype, definition->name);
    if (array->kind == Array::Kind::definition && compute_type(array->dtype) == array->dtype) stored.add(array);
    return array;
  });
}

}  // namespace heed
