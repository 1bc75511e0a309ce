// Puts the cheapest chains (passes/chains.h) where the sums were.
#include "passes/order_products.h"

#include <algorithm>
#include <bit>

#include "ir/arena.h"
#include "passes/chains.h"
#include "passes/opening.h"
#include "passes/reads_outside.h"
#include "passes/rewrite.h"
#include "passes/source_order.h"

namespace heed {

namespace {

constexpr double chain_gain = 1.25, distribution_gain = 4;  // so many times cheaper another order must be

// Builds what a chain says, each sum over two operands at most.
class Builder {
 public:
  Builder(Arena& arena, DType dtype, std::string name) : arena_(arena), dtype_(dtype), name_(std::move(name)) {}

  Expr operator()(const Chain& chain) {
    Arrangement arrangement = arrangement_of(chain);
    double weight = chain.weight;
    for (AxisRef axis : chain.summed)
      if (std::ranges::find(arrangement.axes, axis) == arrangement.axes.end()) weight *= static_cast<double>(axis->size);
    std::vector<Factor> factors = arrangement.outside;
    if (!arrangement.operands.empty()) {
      Expr rest = of_operands(arrangement, arrangement.order->all());
      for (const Factor& factor : factors_of(rest)) factors.push_back(factor);
    }
    return scale(weight, product(factors, arena_, dtype_));
  }

  // With an array for each sum in it.
  Expr named(Expr x) {
    return rewrite(x, [&](Expr node, std::span<const Expr> operands) {
      Expr made = with_operands(node, operands);
      // What a condition keeps from reading outside stays under it.
      if (made->op != Op::reduction || may_read_outside(made)) return made;
      const std::vector<AxisRef> axes = in_source_order(made);
      std::vector<Expr> at;
      for (AxisRef axis : axes) at.push_back(value(axis));
      return read_stored(define(axes, made, made->dtype, name_), at);
    });
  }

 private:
  Expr of_operands(const Arrangement& arrangement, OperandBits subset) {
    std::vector<Factor> factors;
    if (std::has_single_bit(subset)) {
      factors = arrangement.operands[static_cast<std::size_t>(std::countr_zero(subset))];
    } else {
      const OperandBits part = arrangement.order->part(subset);
      for (OperandBits each : {part, subset ^ part})
        for (const Factor& factor : factors_of(of_operands(arrangement, each))) factors.push_back(factor);
    }
    Expr x = product(factors, arena_, dtype_);
    std::vector<AxisRef> bound;
    for (AxisBits bits = arrangement.order->axes_bound(subset); bits; bits &= bits - 1)
      bound.push_back(arrangement.axes[static_cast<std::size_t>(std::countr_zero(bits))]);
    return bound.empty() ? x : sum(bound, named(x));
  }

  Arena& arena_;
  DType dtype_;
  std::string name_;
};

// What may not be looked into: by what gradients are taken, and what enters or leaves a scan.
std::unordered_set<ArrayRef> closed_arrays(const Graph& graph, const std::vector<ArrayRef>& arrays) {
  std::unordered_set<ArrayRef> closed = fixed_arrays(graph, arrays);
  for (const GraphOutput& output : graph.outputs) closed.erase(output.array);
  for (ArrayRef array : arrays)
    if (array->kind != Array::Kind::definition)
      for (ArrayRef read : reads_of(array)) closed.insert(read);
  return closed;
}

}  // namespace

Graph order_products(const Graph& graph) {
  const std::vector<ArrayRef> arrays = all_arrays(outputs_of(graph));
  ArrayCosts costs(arrays, fixed_arrays(graph, arrays), closed_arrays(graph, arrays));
  Signs signs;
  return rewrite(graph, [&](ArrayRef definition, const ArrayTable& table) {
    ArrayRef array = redefine(definition, table);
    if (array->kind == Array::Kind::definition && array->body->has_reduction) {
      Builder builder(*array->arena, array->body->dtype, array->name);
      Expr body = rewrite(array->body, [&](Expr node, std::span<const Expr> operands) {
        Expr kept = with_operands(node, operands);
        if (node != kept || !is_sum(node) || node->operands[0]->has_reduction || may_read_outside(node->operands[0])) return kept;
        const Chain chain = chain_of(node);
        if (has_condition(chain)) return kept;
        const double written = as_written(chain, costs).cost();
        Found found = cheapest(chain, costs, signs, true);
        if (found.chains.size() > 1 && found.cost() * distribution_gain > written) found = cheapest(chain, costs, signs, false);
        if (found.cost() * (found.chains.size() > 1 ? distribution_gain : chain_gain) > written) return kept;
        std::vector<Term> terms;
        for (const Chain& each : found.chains) terms.push_back({1, builder(each)});
        return linear(terms, 0, *node->arena, node->dtype);
      });
      if (body != array->body) {
        const bool is_root = is_sum(body) || (body->op == Op::linear && body->operands.size() == 1 && is_sum(body->operands[0]));
        array = define(positions(array), is_root ? body : builder.named(body), array->dtype, array->name);
      }
    }
    if (array != definition) costs.stands_for(array, definition);
    return array;
  });
}

}  // namespace heed
