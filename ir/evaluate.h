// The reference evaluator: what a graph means, in plain loops over axes. It shares nothing with the passes and the generated code,
// which are tested against it.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "ir/graph.h"
#include "ir/tensor.h"

namespace heed {

struct EvaluateOptions {
  // native: expressions in double precision, every floating array and cast rounded to its type. f64: nothing is rounded but to f64,
  // and floating results are f64 tensors.
  enum class Precision { native, f64 } precision = Precision::native;
};

// The graph's outputs in order. `inputs` by name, of the type and shape that the graph says; with Precision::f64 a floating input
// may be f64. Throws InputError for an input that is missing, unlike its type, or outside its range, and for an index found in data
// that is outside of what it indexes; std::logic_error for a gradient (differentiate first) and for any other read outside an array.
std::vector<Tensor> evaluate(const Graph& graph, const std::map<std::string, Tensor>& inputs, EvaluateOptions options = {});

}  // namespace heed
