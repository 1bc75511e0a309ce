// Programs over the standard library with their inputs and what PyTorch makes of them: library.heed and library.txt, by make_golden.py.
#pragma once
#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "ir/language/elaborate.h"
#include "ir/tensor.h"

namespace heed::golden {

inline const std::string folder = HEED_SOURCE_DIR "/tests/golden/";

struct Case {
  std::string name;
  std::map<std::string, Tensor> inputs;
  std::vector<Tensor> outputs;
};

inline bool trains(const Case& one) { return one.name.starts_with("optimizer_"); }
inline void PrintTo(const Case& one, std::ostream* stream) { *stream << one.name; }

inline Tensor read_tensor(std::istringstream& line) {
  std::string dtype, shape;
  line >> dtype >> shape;
  std::vector<std::int64_t> sizes;
  std::istringstream parts(shape.substr(1, shape.size() - 2));
  for (std::string size; std::getline(parts, size, ',');) sizes.push_back(std::stoll(size));
  Tensor tensor(*dtype_named(dtype), sizes);
  for (std::int64_t k = 0; k < tensor.count(); ++k) {
    double value = 0;
    line >> value;
    tensor.set(k, value);
  }
  return tensor;
}

inline std::vector<Case> read_cases() {
  std::vector<Case> cases;
  std::ifstream stream(folder + "library.txt");
  for (std::string text; std::getline(stream, text);) {
    std::istringstream line(text);
    std::string kind, name;
    line >> kind >> name;
    if (kind == "case") cases.push_back({name, {}, {}});
    if (kind == "input") cases.back().inputs[name] = read_tensor(line);
    if (kind == "output") cases.back().outputs.push_back(read_tensor(line));
  }
  return cases;
}

inline const std::shared_ptr<const Module>& library() {
  static Diagnostics diagnostics;
  static std::shared_ptr<const Module> module = load_module(folder + "library.heed", diagnostics);
  EXPECT_EQ(diagnostics.text(false), "");
  return module;
}

inline Graph graph_of(const Case& one) {
  Diagnostics diagnostics;
  ElaborateRequest request{.entry = one.name, .training = one.name.starts_with("training_")};
  auto elaborated = trains(one) ? elaborate_training(*library(), request, diagnostics) : elaborate(*library(), request, diagnostics);
  if (!elaborated) throw std::runtime_error(diagnostics.text(false));
  return elaborated->graph;
}

// With zeros for what is not given: the seed, states; and step 1.
inline std::map<std::string, Tensor> complete(const Graph& graph, std::map<std::string, Tensor> inputs) {
  for (const GraphInput& input : graph.inputs) {
    if (inputs.contains(input.array->name)) continue;
    Tensor tensor(input.array->dtype, input.array->shape);
    if (input.role == GraphInput::Role::step) tensor.set(0, std::int64_t{1});
    inputs[input.array->name] = tensor;
  }
  return inputs;
}

// What the optimizers' cases do: five steps, each from what the one before it left; the parameter `w` is what counts.
constexpr int steps = 5;
// Puts the updates in place of what they update, and counts the step.
inline void advance(const Graph& graph, const std::vector<Tensor>& results, std::map<std::string, Tensor>& inputs) {
  for (std::size_t k = 0; k < graph.outputs.size(); ++k)
    if (graph.outputs[k].updates) inputs[graph.outputs[k].updates->name] = results[k];
  for (const GraphInput& input : graph.inputs)
    if (input.role == GraphInput::Role::step) inputs[input.array->name].set(0, inputs[input.array->name].integer(0) + 1);
}

}  // namespace heed::golden
