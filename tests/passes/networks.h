// Whole networks in index notation, with a training step by Adam: what the tests of fusion, memory and pictures look at.
#pragma once
#include "ir/graph.h"

namespace heed {

struct GptSizes {
  std::int64_t batch = 2, context = 32, width = 16, heads = 2, vocabulary = 80;
  int layers = 2;
};
// Inputs tokens, next, the parameters with their moments, step; outputs loss and the updates.
Graph gpt_training(GptSizes sizes);
// The forward pass alone: outputs loss and logits.
Graph gpt_forward(GptSizes sizes);

struct CnnSizes {
  std::int64_t batch = 4, side = 8, channels = 16, inner = 24;
};
Graph attention_cnn_training(CnnSizes sizes);

}  // namespace heed
