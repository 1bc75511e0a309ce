// One attention written in many ways: the same mathematics with other operand orders, masks, places of the scale, layouts, and by hand.
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "ir/graph.h"
#include "ir/tensor.h"

namespace heed {

// What is computed.
struct Mathematics {
  enum class Mask : std::uint8_t { none, causal, window, given, padding } mask;
  enum class Bias : std::uint8_t { none, slope, pairs } bias;
  enum class Normaliser : std::uint8_t { over_keys, over_queries, over_both, sigmoid, by_sum, sink } normaliser;
  bool capped, weighted;  // tanh around the scores; weights times a given tensor (dropout by hand)
  bool shifted;           // a maximum is taken off the scores before the exponential, which is then kept for the gradient
  double scale;
};
Mathematics random_mathematics(std::uint64_t seed);

// How it is written: a number for each way in which it may differ.
struct Spelling {
  enum Way : std::uint8_t { q_layout, k_layout, v_layout, scale, scores, condition, mask, bias, shift, division, values, count };
  std::vector<int> choice = std::vector<int>(count, 0);
};
Spelling random_spelling(std::uint64_t seed);

// The model file: one function `f` with the symbols B, H, T, K, E and D.
std::string written(const Mathematics& what, const Spelling& how);

// Values for its inputs at the sizes of the graph: the same mathematics has the same values, wherever they lie.
std::map<std::string, Tensor> values_of(const Graph& graph, const Spelling& how);

}  // namespace heed
