// Gradients against finite differences in f64, after all passes that the gradient goes through.
#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "ir/graph.h"

namespace heed {

struct TestInput {
  std::string name;
  std::vector<std::int64_t> shape;
  std::int64_t limit = 0;  // of integers; 0: floating values
  double low = -1, high = 1;
};
using Inputs = std::map<std::string, ArrayRef>;

struct CheckedGradient {
  Graph plain;     // as built, with gradients not yet expanded
  Graph finished;  // after opening, naming, differentiation, and opening and naming again
};

// Builds an array of the inputs, and compares value and gradients of sum(array * fixed weights) before and after every pass, in random
// directions and at some elements.
CheckedGradient check_gradient(const std::vector<TestInput>& inputs, const std::function<ArrayRef(Arena&, const Inputs&)>& build);

// The same for a graph as it was elaborated: gradients of the sum of its floating outputs, each output times fixed weights.
CheckedGradient check_gradient(const Graph& graph);
// A function or model of a file or of some text, at sizes of which it takes those that it has.
Graph graph_of_file(const std::string& path, const std::string& entry, const std::map<std::string, std::int64_t>& sizes);
Graph graph_of_text(const std::string& text, const std::map<std::string, std::int64_t>& sizes = {}, const std::string& entry = "",
                    bool training = false);

// Nodes of an operation in all definitions of a graph.
int count_nodes(const Graph& graph, Op op);
int count_reductions(const Graph& graph, Reduction reduction);

}  // namespace heed
