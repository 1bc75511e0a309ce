// Index notation in C++: arrays from functions of their positions, and the layers that the tests of passes are made of.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "ir/algebra.h"
#include "ir/function.h"

namespace heed {

// An index or a value; numbers and axes turn into either by what they meet.
using Indices = std::vector<Expr>;

ArrayRef array(Arena& arena, std::vector<std::int64_t> shape, const std::function<Expr(Indices)>& body);
Expr at(ArrayRef array, const Indices& indices);
Expr reduced(Arena& arena, Reduction reduction, std::vector<std::int64_t> sizes, const std::function<Expr(Indices)>& body);
Expr summed(Arena& arena, std::vector<std::int64_t> sizes, const std::function<Expr(Indices)>& body);
// NumPy's broadcasting.
ArrayRef mapped(const std::vector<ArrayRef>& arrays, const std::function<Expr(std::vector<Expr>)>& body);
Expr number(Expr like, double value);
Expr exponential(Expr x);

ArrayRef linear_layer(ArrayRef x, ArrayRef weight, ArrayRef bias = nullptr);
ArrayRef matrix_product(ArrayRef a, ArrayRef b);  // batched over leading dimensions
ArrayRef layer_norm(ArrayRef x, ArrayRef weight, ArrayRef bias);
ArrayRef gelu(ArrayRef x);
ArrayRef relu(ArrayRef x);
ArrayRef square(ArrayRef x);
ArrayRef softmax(ArrayRef x, std::size_t over);
ArrayRef cross_entropy(ArrayRef logits, ArrayRef labels);
ArrayRef mean_of_all(ArrayRef x);
ArrayRef embedding(ArrayRef table, ArrayRef ids);
ArrayRef transpose(ArrayRef x, std::vector<std::size_t> order);
ArrayRef reshape(ArrayRef x, std::vector<std::int64_t> shape);
ArrayRef slice(ArrayRef x, std::int64_t begin, std::int64_t size);  // of the last dimension
ArrayRef concat(const std::vector<ArrayRef>& arrays);               // along the last dimension
ArrayRef pad(ArrayRef x, std::int64_t before, std::int64_t after);  // the last dimension
ArrayRef split_heads(ArrayRef x, std::int64_t heads);               // b t (h e) -> b h t e
ArrayRef merge_heads(ArrayRef x);
struct Convolution {
  std::int64_t stride = 1, padding = 0, dilation = 1, groups = 1;
};
ArrayRef convolution(ArrayRef x, ArrayRef weight, ArrayRef bias, Convolution how);
ArrayRef pool(Reduction reduction, ArrayRef x, std::int64_t size, std::int64_t stride);

}  // namespace heed
