// Values that the command line gives to a program's inputs.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "ir/graph.h"
#include "runtime/tensor.h"

namespace heed {

// The shapes of those inputs that are given as files.
std::map<std::string, std::vector<std::int64_t>> given_shapes(const std::vector<std::string>& written);
// --input name=WHAT, each. Throws UserError that names the input, both types and what there is.
NamedTensors given_inputs(const Graph& graph, const std::vector<std::string>& written, std::int64_t seed);
// --cotangent result=WHAT; results without one get ones where there is any.
void give_cotangents(const Graph& graph, const std::vector<std::string>& written, std::int64_t seed, NamedTensors& given);
// Parameters and states from a file of weights.
void give_weights(const Graph& graph, const std::string& path, NamedTensors& given);

}  // namespace heed
