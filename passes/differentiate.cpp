// Gradients one after another, each through the whole graph.
#include "passes/differentiate.h"

#include "ir/algebra.h"
#include "passes/pull_back.h"

namespace heed {
namespace {

// The first whose target depends on no other.
const Gradient* innermost_gradient(const std::vector<ArrayRef>& outputs) {
  for (ArrayRef array : all_arrays(outputs))
    if (array->kind == Array::Kind::gradient) return array->gradient;
  return nullptr;
}

Graph expand(const Graph& graph, const Gradient& gradient) {
  const std::uint32_t origin = graph.arena->origin_index();
  ArrayRef one = define({}, real(*graph.arena, 1, compute_type(gradient.target->dtype)), gradient.target->dtype);
  const PullBack back = pull_back({{gradient.target, one}}, gradient.wrt);
  graph.arena->set_origin_index(origin);
  std::vector<ArrayRef> derivatives;
  for (std::size_t k = 0; k < gradient.wrt.size(); ++k) derivatives.push_back(derivative_array(back.terms[k], gradient.wrt[k]));
  Redirect redirect{{}, back.replaced};
  for (ArrayRef array : all_arrays(outputs_of(graph)))
    if (array->gradient == &gradient) redirect.arrays[array] = derivatives.at(static_cast<std::size_t>(array->result));
  return rewrite(graph, redefine, redirect);
}

}  // namespace

Graph differentiate(const Graph& graph) {
  Graph result = graph;
  while (const Gradient* gradient = innermost_gradient(outputs_of(result))) result = expand(result, *gradient);
  return result;
}

}  // namespace heed
