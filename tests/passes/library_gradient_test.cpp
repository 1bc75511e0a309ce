// Gradients of the library's layers, by inputs and parameters, as they train.
#include <gtest/gtest.h>

#include "gradient_check.h"

namespace heed {
namespace {

struct Layer {
  const char* name;
  const char* inputs;  // as they are declared
  const char* call;    // what makes the result, `y`
};

std::ostream& operator<<(std::ostream& out, const Layer& layer) { return out << layer.name; }

class LibraryGradient : public testing::TestWithParam<Layer> {};

TEST_P(LibraryGradient, HasItsGradients) {
  const Layer& layer = GetParam();
  check_gradient(
      graph_of_text(std::string("import nn\nmodel m(") + layer.inputs + ") -> (y: f32) {\n" + layer.call + "  return sum(y * cos(y))\n}\n",
                    {}, "", true));
}

const Layer layers[] = {
    {"linear", "x: f32[2, 3]", "  layer l = nn.linear(3, 4)\n  y = l(x)\n"},
    {"embedding", "x: i32[2, 3]", "  layer l = nn.embedding(5, 4)\n  y = l(x)\n"},
    {"conv1d", "x: f32[2, 4, 7]", "  layer l = nn.conv1d(4, 6, 3, stride = 2, padding = 1, groups = 2)\n  y = l(x)\n"},
    {"conv2d", "x: f32[2, 3, 6, 5]", "  layer l = nn.conv2d(3, 4, 3, padding = 1)\n  y = l(x)\n"},
    {"conv2d_patches", "x: f32[2, 3, 6, 6]", "  layer l = nn.conv2d(3, 4, 3, stride = 3)\n  y = l(x)\n"},
    {"conv2d_dilated", "x: f32[1, 2, 8, 7]", "  layer l = nn.conv2d(2, 2, 3, stride = 2, padding = 2, dilation = 2)\n  y = l(x)\n"},
    {"conv2d_depthwise", "x: f32[2, 4, 5, 5]", "  layer l = nn.conv2d(4, 8, 3, padding = 1, groups = 4)\n  y = l(x)\n"},
    {"max_pool2d", "x: f32[2, 2, 6, 6]", "  y = nn.max_pool2d(x, 2)\n"},
    {"max_pool2d_padded", "x: f32[1, 2, 5, 5]", "  y = nn.max_pool2d(x, 3, stride = 2, padding = 1)\n"},
    {"avg_pool2d", "x: f32[1, 2, 5, 5]", "  y = nn.avg_pool2d(x, 3, stride = 2, padding = 1)\n"},
    {"max_pool1d", "x: f32[2, 2, 7]", "  y = nn.max_pool1d(x, 3, stride = 2)\n"},
    {"avg_pool1d", "x: f32[2, 2, 6]", "  y = nn.avg_pool1d(x, 2)\n"},
    {"layer_norm", "x: f32[2, 3, 4]", "  layer l = nn.layer_norm(4)\n  y = l(x)\n"},
    {"rms_norm", "x: f32[2, 3, 4]", "  layer l = nn.rms_norm(4)\n  y = l(x)\n"},
    {"batch_norm", "x: f32[3, 2, 4, 4]", "  layer l = nn.batch_norm(2)\n  y = l(x)\n"},
    {"group_norm", "x: f32[2, 4, 3, 3]", "  layer l = nn.group_norm(2, 4)\n  y = l(x)\n"},
    {"attention", "x: f32[2, 5, 6]", "  layer l = nn.attention(6, 2, causal = true, rate = 0.2)\n  y = l(x)\n"},
    {"cross_attention", "x: f32[2, 5, 6], memory: f32[2, 3, 4]",
     "  layer l = nn.cross_attention(6, 2, memory_width = 4)\n  y = l(x, memory)\n"},
    {"encoder_block", "x: f32[2, 4, 6]", "  layer l = nn.encoder_block(6, 2, rate = 0.1)\n  y = l(x)\n"},
    {"decoder_block", "x: f32[2, 4, 6], memory: f32[2, 3, 6]", "  layer l = nn.decoder_block(6, 2)\n  y = l(x, memory)\n"},
    {"lstm", "x: f32[2, 4, 3]", "  layer l = nn.lstm(3, 4)\n  y, h, c = l(x)\n"},
    {"gru", "x: f32[2, 4, 3]", "  layer l = nn.gru(3, 4)\n  y, h = l(x)\n"},
    {"stacked_lstm", "x: f32[2, 3, 3]", "  layer a = nn.lstm(3, 4)\n  layer b = nn.lstm(4, 2)\n  z, h, c = a(x)\n  y, g, d = b(tanh(z))\n"},
    {"cross_entropy", "x: f32[4, 5], label: i32[4]", "  y = cross_entropy(x, label, label_smoothing = 0.1, ignore = 2)\n"},
    {"binary_cross_entropy", "x: f32[4, 5], t: f32[4, 5]", "  y = binary_cross_entropy(x, t)\n"},
    {"kl", "x: f32[4, 5], t: f32[4, 5]", "  y = kl(log_softmax(x), softmax(t))\n"},
    {"huber", "x: f32[4, 5], t: f32[4, 5]", "  y = huber(x, t, delta = 0.4)\n"},
    {"mse_mae", "x: f32[4, 5], t: f32[4, 5]", "  y = mse(x, t) + mae(x, t)\n"},
    {"activations", "x: f32[4, 5]",
     "  y = silu(x) + mish(x) + elu(x) + selu(x) + softsign(x) + gelu(x, exact = true) + sigmoid(x) + log_sigmoid(x)\n"},
    {"piecewise", "x: f32[4, 6]", "  y = glu(relu6(x) + leaky_relu(x) + hard_swish(x) + hard_tanh(x))\n"},
    {"sort_like", "x: f32[3, 6]", "  y = cumsum(x, axis = -1) + prod(x, axis = -1, keep = true) + min(x, axis = 0, keep = true)\n"},
};
INSTANTIATE_TEST_SUITE_P(Layers, LibraryGradient, testing::ValuesIn(layers), [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace heed
