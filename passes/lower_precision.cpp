// Who reads a value, and what it is made of, decide in which type it is held.
#include "passes/lower_precision.h"

#include <algorithm>
#include <functional>
#include <optional>
#include <unordered_map>
#include <unordered_set>

#include "ir/algebra.h"
#include "passes/kind.h"
#include "passes/opening.h"
#include "passes/rewrite.h"
#include "passes/scan_body.h"
#include "passes/virtual_values.h"

namespace heed {

namespace {

using ArraySet = std::unordered_set<ArrayRef>;

std::optional<ProductForm> product_in_f32(Expr node) {
  if (node->op != Op::reduction || node->dtype != DType::f32) return {};
  return product_form(node);
}

// What a factor is, aside from the conditions and the places of its reads: `leaf` is called with each read and constant, `computed` with
// what is neither, nor a selection of such.
Expr with_leaves(Expr factor, const std::function<Expr(Expr)>& leaf, const std::function<Expr(Expr)>& computed) {
  if (factor->op == Op::read || factor->op == Op::constant) return leaf(factor);
  if (factor->op != Op::select) return computed(factor);
  Expr yes = with_leaves(factor->operands[1], leaf, computed), no = with_leaves(factor->operands[2], leaf, computed);
  return select(factor->operands[0], yes, no);
}

// The reads in an expression of which the value depends as a number, not as an index or a condition.
std::vector<Expr> values_read(Expr body) {
  std::vector<Expr> reads;
  for (Expr node : nodes_of(body))
    if (node->op == Op::read && is_floating(node->dtype)) reads.push_back(node);
  return reads;
}

class Chooser {
 public:
  explicit Chooser(const Graph& graph) : arrays_(all_arrays(outputs_of(graph))), fixed_(fixed_arrays(graph, arrays_)) {
    for (const GraphInput& input : graph.inputs)
      if (input.role == GraphInput::Role::parameter) weights_.insert(input.array);
    for (const GraphOutput& output : graph.outputs)
      if (output.updates) updates_.insert(output.array);
    for (ArrayRef array : arrays_) look_at(array);
    virtual_ = virtual_values(arrays_, fixed_);
    for (auto array = arrays_.rbegin(); array != arrays_.rend(); ++array) look_back_at(*array);
    for (ArrayRef array : arrays_)
      if (array->kind == Array::Kind::definition) classify(array);
  }

  bool is_lowered(ArrayRef array) const { return lowered_.contains(array); }
  bool is_copied(ArrayRef array) const { return factors_.contains(array) && array->dtype == DType::f32 && !is_lowered(array); }

 private:
  void look_at(ArrayRef array) {
    if (array->kind != Array::Kind::definition) {
      for (ArrayRef read : reads_of(array)) read_otherwise_.insert(read);
      return;
    }
    std::unordered_set<Expr> leaves;
    for (Expr node : nodes_of(array->body)) {
      if (node->op == Op::reduction && (node->reduction == Reduction::maximum || node->reduction == Reduction::argmax))
        for (Expr read : values_read(node->operands[0]))
          if (has_whole_rows(read, node)) rows_.insert(read->array);
      auto form = product_in_f32(node);
      if (!form) continue;
      for (Expr factor : {form->a, form->b}) {
        for (Expr read : values_read(factor)) needed_.insert(read->array);
        with_leaves(
            factor,
            [&](Expr leaf) {
              if (leaf->op == Op::read) factors_.insert(leaf->array), leaves.insert(leaf);
              return leaf;
            },
            [](Expr computed) { return computed; });
      }
    }
    for (Expr node : nodes_of(array->body)) {
      if (node->op != Op::read) continue;
      readers_[node->array].push_back(array);
      if (!leaves.contains(node)) read_otherwise_.insert(node->array);
    }
  }

  // An axis that is reduced is an index by itself: no window moves over the array.
  static bool has_whole_rows(Expr read, Expr reduction) {
    return std::ranges::any_of(read->operands, [&](Expr index) {
      return index->op == Op::axis && std::ranges::find(reduction->axes, index->axes[0]) != reduction->axes.end();
    });
  }

  // What depends on it comes before.
  void look_back_at(ArrayRef array) {
    if (array->scan) {  // To which result what belongs is not asked.
      for (ArrayRef each : reads_of(array)) needed_.insert(each);
      for (ArrayRef each : roots_of(*array->scan)) needed_.insert(each);
    }
    if (array->kind != Array::Kind::definition) return;
    const bool is_map = kind_of(array) == Kind::map;
    for (ArrayRef read : reads_of(array)) {
      if (needed_.contains(array)) needed_.insert(read);
      if (is_map && updates_.contains(array)) updates_.insert(read);
      if (is_map && rows_.contains(array) && element_count(read) == element_count(array)) rows_.insert(read);
    }
  }

  // One map alone reads it, element by element: that follows it while it is at hand.
  bool is_mapped_at_once(ArrayRef array) const {
    auto found = readers_.find(array);
    if (found == readers_.end() || found->second.size() != 1) return false;
    ArrayRef reader = found->second[0];
    return kind_of(reader) == Kind::map && element_count(reader) == element_count(array);
  }

  bool is_of_weights(Expr x) const {
    return std::ranges::all_of(values_read(x), [&](Expr read) { return weights_.contains(read->array); });
  }

  // An activation, or of inputs alone; not what is picked from an activation by data at fewer places.
  bool is_map_of_activations(ArrayRef map) const {
    bool of_reductions = false, of_inputs = false;
    for (Expr read : values_read(map->body)) {
      const bool is_picked = !std::ranges::all_of(read->operands, is_affine) && element_count(map) < element_count(read->array);
      if (read->array->kind != Array::Kind::definition)
        of_inputs = true;
      else if (activations_.contains(read->array) && !is_picked)
        return true;
      else if (!weights_.contains(read->array))
        of_reductions = true;
    }
    return of_inputs && !of_reductions;
  }

  // Virtual, and no layer's output: what meets in it are two activations, or it is made for a softmax, or it is made of such values.
  bool is_score(ArrayRef array, Kind kind) const {
    if (!virtual_.contains(array)) return false;
    if (rows_.contains(array) || std::ranges::any_of(reads_of(array), [&](ArrayRef read) { return scores_.contains(read); })) return true;
    if (kind != Kind::product) return false;
    const ProductForm form = *product_form_of(array);
    return !is_of_weights(form.a) && !is_of_weights(form.b);
  }

  void classify(ArrayRef array) {
    const Kind kind = kind_of(array);
    const bool is_activation = kind == Kind::product || (kind == Kind::map && is_map_of_activations(array));
    if (is_of_weights(array->body)) weights_.insert(array);  // or of positions alone
    if (is_activation) activations_.insert(array);
    if (is_score(array, kind)) scores_.insert(array);
    if (array->dtype != DType::f32 || fixed_.contains(array) || updates_.contains(array)) return;
    // Blocks add to it.
    if (kind != Kind::map && std::ranges::any_of(reads_of(array), [&](ArrayRef read) { return scores_.contains(read); })) return;
    const bool is_factor = factors_.contains(array);
    const bool stays = scores_.contains(array) || rows_.contains(array) || (kind == Kind::product && is_mapped_at_once(array));
    const bool as_activation = is_activation && (is_factor || (needed_.contains(array) && !stays));
    if (as_activation || (is_factor && !read_otherwise_.contains(array))) lowered_.insert(array);
  }

  std::vector<ArrayRef> arrays_;  // what is read comes first
  ArraySet fixed_, virtual_;
  ArraySet factors_;         // read as a factor of a product
  ArraySet read_otherwise_;  // and in another way, too
  ArraySet needed_;          // some factor depends on it
  ArraySet updates_;         // and what they are elementwise made from
  ArraySet rows_;            // a maximum of whole rows is taken of it, or of what is elementwise of it
  ArraySet weights_, activations_, scores_, lowered_;
  std::unordered_map<ArrayRef, std::vector<ArrayRef>> readers_;  // once for each read
};

}  // namespace

Graph lower_precision(const Graph& graph, DType to) {
  const Chooser chosen(graph);
  std::unordered_map<ArrayRef, ArrayRef> copies;  // of arrays as remade
  auto copy_of_factor = [&](ArrayRef array) {
    ArrayRef& copy = copies[array];
    if (copy) return copy;
    std::vector<Expr> at;
    for (AxisRef axis : positions(array)) at.push_back(value(axis));
    return copy = define(positions(array), read_stored(array, at), to, array->name);
  };
  auto rounded = [&](Expr computed) { return cast(to, computed); };

  return rewrite(graph, [&](ArrayRef definition, const ArrayTable& table) {
    ArraySet copied;  // as remade
    for (ArrayRef read : definition->reads)
      if (chosen.is_copied(read)) copied.insert(table.at(read));
    auto leaf = [&](Expr x) {
      if (x->op == Op::read && x->array->dtype == to) return x;
      return x->op == Op::read && copied.contains(x->array) ? read_stored(copy_of_factor(x->array), x->operands) : rounded(x);
    };
    Expr whole = replace_arrays(definition->body, table);
    Expr body = rewrite(whole, [&](Expr node, std::span<const Expr> operands) {
      Expr made = with_operands(node, operands);
      auto form = product_in_f32(made);
      if (!form) return made;
      return sum(made->axes, multiply(with_leaves(form->a, leaf, rounded), with_leaves(form->b, leaf, rounded)));
    });
    const DType dtype = chosen.is_lowered(definition) ? to : definition->dtype;
    if (body == definition->body && dtype == definition->dtype) return definition;
    return define(positions(definition), body, dtype, definition->name);
  });
}

}  // namespace heed
