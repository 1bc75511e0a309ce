// Gradients one after another, each through the whole graph.
#include "passes/differentiate.h"

#include <fmt/format.h>

#include <algorithm>

#include "input_error.h"
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

// What only moves values is opened where it is read, so that no read of it is left to differentiate by.
void refuse_views(const Gradient& gradient) {
  const std::vector<ArrayRef> known = in_order({gradient.target});
  for (ArrayRef array : gradient.wrt) {
    if (array->kind != Array::Kind::definition || std::ranges::find(known, array) != known.end()) continue;
    std::vector<Expr> at;
    for (AxisRef place : positions(array)) at.push_back(value(place));
    if (read(array, at) == read_stored(array, at)) continue;
    for (ArrayRef source : reads_of(array))
      if (std::ranges::find(known, source) != known.end())
        throw InputError(fmt::format(
            "`grad` is by a value that only moves others (a slice, a reshape, a broadcast); take it by `{}`, which it is made of",
            source->name));
  }
}

Graph expand(const Graph& graph, const Gradient& gradient) {
  const std::uint32_t origin = graph.arena->origin_index();
  ArrayRef one = define({}, real(*graph.arena, 1, compute_type(gradient.target->dtype)), gradient.target->dtype);
  refuse_views(gradient);
  const PullBack back = pull_back({{gradient.target, one}}, gradient.wrt);
  std::vector<ArrayRef> derivatives;
  for (std::size_t k = 0; k < gradient.wrt.size(); ++k) {
    // It comes from the line that its first part comes from.
    graph.arena->set_origin_index(back.terms[k].empty() ? origin : back.terms[k][0]->origin);
    derivatives.push_back(derivative_array(back.terms[k], gradient.wrt[k]));
  }
  graph.arena->set_origin_index(origin);
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
