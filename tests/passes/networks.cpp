// Whole networks in index notation.
#include "networks.h"

#include <fmt/format.h>

#include <cmath>

#include "notation.h"

namespace heed {

namespace {

class Builder {
 public:
  explicit Builder(std::string name) {
    graph_.arena = std::make_shared<Arena>();
    graph_.name = std::move(name);
  }
  Arena& arena() { return *graph_.arena; }
  // Where what follows comes from.
  void from(std::string path, std::string what, int line) {
    arena().set_origin({graph_.name + ".heed", std::move(path), std::move(what), line});
  }

  ArrayRef data(std::string name, std::vector<std::int64_t> shape, DType dtype, std::optional<Interval> range = {}) {
    return add(GraphInput::Role::data, std::move(name), std::move(shape), dtype, range);
  }
  ArrayRef parameter(std::string name, std::vector<std::int64_t> shape) {
    parameters_.push_back(add(GraphInput::Role::parameter, std::move(name), std::move(shape), DType::f32, {}));
    return parameters_.back();
  }
  void symbol(std::string name, std::int64_t size) { graph_.sizes.emplace_back(std::move(name), size); }

  Graph forward(std::vector<std::pair<std::string, ArrayRef>> results) {
    for (auto& [name, array] : results) graph_.outputs.push_back({name, array});
    return graph_;
  }

  Graph training(ArrayRef loss) {
    graph_.outputs.push_back({"loss", loss});
    ArrayRef step = add(GraphInput::Role::step, "step", {}, DType::i64, {});
    std::vector<ArrayRef> gradients = gradient(loss, parameters_);
    for (std::size_t k = 0; k < parameters_.size(); ++k) {
      from(parameters_[k]->name, "adam", 900);
      update(parameters_[k], gradients[k], step);
    }
    return graph_;
  }

 private:
  ArrayRef add(GraphInput::Role role, std::string name, std::vector<std::int64_t> shape, DType dtype, std::optional<Interval> range) {
    ArrayRef array = input(arena(), std::move(name), std::move(shape), dtype, range);
    graph_.inputs.push_back({role, array});
    return array;
  }

  void update(ArrayRef parameter, ArrayRef gradient, ArrayRef step) {
    ArrayRef m = add(GraphInput::Role::state, parameter->name + ".m", parameter->shape, DType::f32, {});
    ArrayRef v = add(GraphInput::Role::state, parameter->name + ".v", parameter->shape, DType::f32, {});
    ArrayRef new_m = mapped({m, gradient}, [](std::vector<Expr> x) { return heed::add(scale(0.9, x[0]), scale(0.1, x[1])); });
    ArrayRef new_v = mapped({v, gradient}, [](std::vector<Expr> x) { return heed::add(scale(0.999, x[0]), scale(0.001, power(x[1], 2))); });
    ArrayRef moved = array(arena(), parameter->shape, [&](Indices p) {
      Expr rate = scale(1e-3, power(cast(DType::f32, at(step, {})), -0.5));
      Expr root = power(at(new_v, p), 0.5);
      return subtract(at(parameter, p), multiply(rate, divide(at(new_m, p), heed::add(root, number(root, 1e-8)))));
    });
    graph_.outputs.push_back({parameter->name, moved, parameter});
    graph_.outputs.push_back({m->name, new_m, m});
    graph_.outputs.push_back({v->name, new_v, v});
  }

  Graph graph_;
  std::vector<ArrayRef> parameters_;
};

ArrayRef sum_of(ArrayRef a, ArrayRef b) {
  return mapped({a, b}, [](std::vector<Expr> v) { return add(v[0], v[1]); });
}

class Layers {
 public:
  explicit Layers(Builder& builder) : builder_(builder) {}

  ArrayRef linear(std::string path, ArrayRef x, std::int64_t out, int line) {
    ArrayRef weight = builder_.parameter(path + ".weight", {x->shape.back(), out}), bias = builder_.parameter(path + ".bias", {out});
    builder_.from(path, "linear", line);
    return linear_layer(x, weight, bias);
  }
  ArrayRef norm(std::string path, ArrayRef x, int line) {
    std::int64_t width = x->shape.back();
    ArrayRef weight = builder_.parameter(path + ".weight", {width}), bias = builder_.parameter(path + ".bias", {width});
    builder_.from(path, "layer_norm", line);
    return layer_norm(x, weight, bias);
  }

 private:
  Builder& builder_;
};

ArrayRef block(Builder& builder, std::string path, ArrayRef x, const GptSizes& sizes) {
  Layers layers(builder);
  std::int64_t width = sizes.width, head = width / sizes.heads;
  ArrayRef qkv = layers.linear(path + ".attn.qkv", layers.norm(path + ".ln_1", x, 26), 3 * width, 12);
  builder.from(path + ".attn", "split", 14);
  ArrayRef q = split_heads(slice(qkv, 0, width), sizes.heads), k = split_heads(slice(qkv, width, width), sizes.heads);
  ArrayRef v = split_heads(slice(qkv, 2 * width, width), sizes.heads);
  builder.from(path + ".attn", "@", 18);
  ArrayRef score = matrix_product(q, transpose(k, {0, 1, 3, 2}));
  builder.from(path + ".attn", "where", 19);
  ArrayRef masked = array(builder.arena(), score->shape, [&](Indices p) {
    Expr s = scale(1 / std::sqrt(static_cast<double>(head)), at(score, p));
    return select(at_least(p[2], p[3]), s, number(s, -INFINITY));
  });
  builder.from(path + ".attn", "softmax", 20);
  ArrayRef weights = softmax(masked, 3);
  builder.from(path + ".attn", "@", 20);
  ArrayRef mixed = merge_heads(matrix_product(weights, v));
  ArrayRef out = layers.linear(path + ".attn.out", mixed, width, 20);
  builder.from(path, "+", 31);
  x = sum_of(x, out);
  ArrayRef hidden = layers.linear(path + ".fc", layers.norm(path + ".ln_2", x, 28), 4 * width, 29);
  builder.from(path, "gelu", 32);
  hidden = gelu(hidden);
  ArrayRef down = layers.linear(path + ".proj", hidden, width, 30);
  builder.from(path, "+", 32);
  return sum_of(x, down);
}

struct Gpt {
  ArrayRef loss, logits;
};

Gpt gpt(Builder& builder, const GptSizes& sizes) {
  Interval ids{0, sizes.vocabulary - 1};
  builder.symbol("B", sizes.batch);
  builder.symbol("T", sizes.context);
  ArrayRef tokens = builder.data("tokens", {sizes.batch, sizes.context}, DType::i32, ids);
  ArrayRef next = builder.data("next", {sizes.batch, sizes.context}, DType::i32, ids);
  ArrayRef table = builder.parameter("wte.table", {sizes.vocabulary, sizes.width});
  ArrayRef places = builder.parameter("wpe.table", {sizes.context, sizes.width});
  builder.from("wte", "embedding", 41);
  ArrayRef x = embedding(table, tokens);
  builder.from("", "+", 41);
  x = sum_of(x, places);
  for (int layer = 0; layer < sizes.layers; ++layer) x = block(builder, fmt::format("h.{}", layer), x, sizes);
  x = Layers(builder).norm("ln_f", x, 43);
  builder.from("", "@", 43);
  ArrayRef logits = matrix_product(x, transpose(table, {1, 0}));
  // The table is shared by all of the batch.
  logits = array(builder.arena(), {sizes.batch, sizes.context, sizes.vocabulary}, [&](Indices p) {
    return summed(builder.arena(), {sizes.width}, [&](Indices k) { return multiply(at(x, {p[0], p[1], k[0]}), at(table, {p[2], k[0]})); });
  });
  builder.from("", "cross_entropy", 44);
  ArrayRef losses = cross_entropy(logits, next);
  builder.from("", "mean", 44);
  return {mean_of_all(losses), logits};
}

}  // namespace

Graph gpt_training(GptSizes sizes) {
  Builder builder("gpt");
  return builder.training(gpt(builder, sizes).loss);
}

Graph gpt_forward(GptSizes sizes) {
  Builder builder("gpt");
  Gpt outputs = gpt(builder, sizes);
  return builder.forward({{"loss", outputs.loss}, {"logits", outputs.logits}});
}

Graph attention_cnn_training(CnnSizes sizes) {
  Builder builder("attention_cnn");
  Layers layers(builder);
  builder.symbol("B", sizes.batch);
  std::int64_t pixels = sizes.side * sizes.side;
  ArrayRef image = builder.data("image", {sizes.batch, 3, sizes.side, sizes.side}, DType::f32);
  ArrayRef label = builder.data("label", {sizes.batch}, DType::i32, Interval{0, 9});
  ArrayRef weight = builder.parameter("conv.weight", {sizes.channels, 3, 3, 3}), bias = builder.parameter("conv.bias", {sizes.channels});
  builder.from("conv", "conv2d", 22);
  ArrayRef x = convolution(image, weight, bias, {.padding = 1});
  builder.from("", "relu", 22);
  x = relu(x);
  builder.from("", "rearrange", 23);
  x = array(builder.arena(), {sizes.batch, pixels, sizes.channels},
            [&](Indices p) { return at(x, {p[0], p[2], floor_divide(p[1], sizes.side), remainder(p[1], sizes.side)}); });
  ArrayRef q = layers.linear("attn.q", x, sizes.inner, 12), k = layers.linear("attn.k", x, sizes.inner, 12),
           v = layers.linear("attn.v", x, sizes.inner, 13);
  builder.from("attn", "@", 12);
  ArrayRef score = matrix_product(q, transpose(k, {0, 2, 1}));
  builder.from("attn", "softmax", 12);
  ArrayRef weights = softmax(score, 1);
  builder.from("attn", "@", 13);
  ArrayRef mixed = matrix_product(weights, v);
  ArrayRef out = layers.linear("attn.o", mixed, sizes.channels, 13);
  builder.from("", "relu", 24);
  x = relu(sum_of(x, out));
  builder.from("", "mean", 25);
  ArrayRef pooled = array(builder.arena(), {sizes.batch, sizes.channels}, [&](Indices p) {
    return scale(1.0 / static_cast<double>(pixels),
                 summed(builder.arena(), {pixels}, [&](Indices n) { return at(x, {p[0], n[0], p[1]}); }));
  });
  ArrayRef logits = layers.linear("head", pooled, 10, 25);
  builder.from("", "cross_entropy", 26);
  ArrayRef losses = cross_entropy(logits, label);
  builder.from("", "mean", 26);
  return builder.training(mean_of_all(losses));
}

}  // namespace heed
