// What must hold of any graph: of each pass, of printing, of gradients, of compiled code. Each check says what is wrong, or nothing.
#pragma once
#include <functional>
#include <map>
#include <optional>
#include <string>

#include "ir/graph.h"
#include "ir/plan.h"
#include "ir/tensor.h"
#include "passes/work.h"

namespace heed {

using Finding = std::optional<std::string>;
using GraphCheck = std::function<Finding(const Graph&)>;

// Values that follow from the inputs' names and places: floating ones in -1 … 1, integers in their range.
std::map<std::string, Tensor> values_for(const Graph& graph);
// The same with every function off by a share of `size`, every value at random by half of it, and what is compared by another share.
Graph with_rough_values(const Graph& graph, double size);
// Whether a change of about `size`, of the inputs or of all that is computed, moves an output by more than `tolerance`: then so may
// rounding.
bool is_at_a_step(const Graph& graph, const std::map<std::string, Tensor>& inputs, double size, double tolerance);
// The outputs of both graphs on those values, in f64. Nothing to say where the first one is not finite.
Finding difference(const Graph& expected, const Graph& graph);
// Of outputs one by one; `tolerance` is relative to the largest magnitude of each.
Finding difference(const std::vector<Tensor>& expected, const std::vector<Tensor>& got, double tolerance);

Finding check_passes(const Graph& graph);               // each pass keeps the meaning and gives a sound graph
Finding check_passes_of_gradients(const Graph& graph);  // the same with gradients, from `differentiate` on
Finding check_derivatives(const Graph& graph);          // gradients against differences along a line
Finding check_round_trip(const Graph& graph);           // printed and read back; also its plan, region by region
Finding check_compiled(const Graph& graph);             // compiled code against the evaluator; the same bits with more threads
Finding check_compiled_gradients(const Graph& graph);
Finding check_shared_code(const Graph& graph);  // kernels of one piece of code against each compiled by itself: the same bits
// Gradients too, by the plan of a machine on which what can goes by blocks: as near to f64 as without blocks, ten times aside.
Finding check_in_blocks(const Graph& graph, const Machine& machine, bool* goes_by_blocks = nullptr);
// In bf16, with gradients: as near to f64 as the evaluator's roundings of the same graph; the same bits with more threads.
Finding check_in_bf16(const Graph& graph, const Machine& machine);
Finding check_plan(const Plan& plan);  // of one that is made already

// Smaller graphs of which the check still says something: fewer outputs, values inside given from outside.
Graph shrunk(Graph graph, const GraphCheck& check);

}  // namespace heed
