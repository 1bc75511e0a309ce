// The scalar that gradients are taken of, and its gradient arrays.
#include "passes/with_gradients.h"

#include "ir/algebra.h"

namespace heed {

Graph with_gradients(const Graph& graph, bool cotangents) {
  Arena& arena = *graph.arena;
  Graph result = graph;
  DType dtype = DType::f32;
  for (const GraphOutput& output : graph.outputs)
    if (output.array->dtype == DType::f64) dtype = DType::f64;
  std::vector<Term> terms;
  for (const GraphOutput& output : graph.outputs) {
    if (output.updates || !is_floating(output.array->dtype)) continue;
    const std::vector<AxisRef> places = positions(output.array);
    std::vector<Expr> at;
    for (AxisRef place : places) at.push_back(value(place));
    Expr summand = read(output.array, at);
    if (cotangents) {
      ArrayRef cotangent = input(arena, "cotangent." + output.name, output.array->shape, output.array->dtype);
      result.inputs.push_back({GraphInput::Role::data, cotangent});
      summand = multiply(summand, read(cotangent, at));
    }
    if (summand->dtype != dtype) summand = cast(dtype, summand);
    terms.push_back({1, sum(places, summand)});
  }
  ArrayRef target = define({}, linear(terms, 0, arena, dtype), dtype);
  std::vector<ArrayRef> variables;
  for (const GraphInput& each : graph.inputs) {
    const bool is_variable = each.role == GraphInput::Role::data || each.role == GraphInput::Role::parameter;
    if (is_variable && is_floating(each.array->dtype)) variables.push_back(each.array);
  }
  const std::vector<ArrayRef> gradients = gradient(target, variables);
  for (std::size_t k = 0; k < variables.size(); ++k) result.outputs.push_back({"grad." + variables[k]->name, gradients[k]});
  return result;
}

}  // namespace heed
