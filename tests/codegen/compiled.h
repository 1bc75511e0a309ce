// Runs a plan compiled and under the evaluator, and compares.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "codegen/compile.h"
#include "ir/algebra.h"
#include "ir/tensor.h"

namespace heed {

// A graph whose inputs are the arrays of kind input that the outputs depend on, in the order of their ids.
Graph graph_of(std::shared_ptr<Arena> arena, const std::vector<ArrayRef>& outputs);
// One region an array, or all arrays in one region; every array that is stored has a place of its own.
Plan plan_apart(const Graph& graph);
Plan plan_together(const Graph& graph);

// Deterministic values: floating in -2 … 2, integers in their range (else 0 … 5).
std::map<std::string, Tensor> inputs_for(const Graph& graph, std::uint64_t seed);

std::vector<Tensor> run_compiled(const Program& program, const std::map<std::string, Tensor>& inputs, int threads = 1);

// Compares with the evaluator in f64; `tolerance` is relative to the largest magnitude of an output. Outputs that are zero but for rounding
// may have that of the others.
void expect_as_evaluated(const Plan& plan, const std::map<std::string, Tensor>& inputs, double tolerance = 2e-6);
// The same where the plan was made by passes: the evaluator runs `before`, what they were given, without gradients.
void expect_as_evaluated(const Plan& plan, const Graph& before, const std::map<std::string, Tensor>& inputs, double tolerance);
void expect_as_evaluated(const Plan& plan, std::uint64_t seed, double tolerance = 2e-6);

extern Target test_target;      // what test_options() compiles for; test_processor() unless a test changes it
CompileOptions test_options();  // no cache on disk

}  // namespace heed
