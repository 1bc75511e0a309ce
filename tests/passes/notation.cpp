// Layers written out in index notation.
#include "notation.h"

#include <cmath>
#include <numbers>

namespace heed {
namespace {

Expr constant(Arena& arena, std::int64_t value) { return integer(arena, value); }
Indices leading(const Indices& indices) { return {indices.begin(), indices.end() - 1}; }
Indices joined(Indices a, std::initializer_list<Expr> b) {
  a.insert(a.end(), b);
  return a;
}
std::vector<std::int64_t> leading(std::vector<std::int64_t> shape) {
  shape.pop_back();
  return shape;
}

}  // namespace

ArrayRef array(Arena& arena, std::vector<std::int64_t> shape, const std::function<Expr(Indices)>& body) {
  std::vector<AxisRef> axes;
  Indices indices;
  for (std::int64_t size : shape) {
    axes.push_back(fresh_axis(arena, size));
    indices.push_back(value(axes.back()));
  }
  Expr made = body(indices);
  return define(axes, made, made->dtype);
}

Expr at(ArrayRef array, const Indices& indices) { return read(array, indices); }

Expr reduced(Arena& arena, Reduction reduction, std::vector<std::int64_t> sizes, const std::function<Expr(Indices)>& body) {
  std::vector<AxisRef> axes;
  Indices indices;
  for (std::int64_t size : sizes) {
    axes.push_back(fresh_axis(arena, size));
    indices.push_back(value(axes.back()));
  }
  return reduce(reduction, axes, body(indices));
}

Expr summed(Arena& arena, std::vector<std::int64_t> sizes, const std::function<Expr(Indices)>& body) {
  return reduced(arena, Reduction::sum, std::move(sizes), body);
}

ArrayRef mapped(const std::vector<ArrayRef>& arrays, const std::function<Expr(std::vector<Expr>)>& body) {
  std::size_t rank = 0;
  for (ArrayRef each : arrays) rank = std::max(rank, each->shape.size());
  std::vector<std::int64_t> shape(rank, 1);
  for (ArrayRef each : arrays)
    for (std::size_t k = 0; k < each->shape.size(); ++k) {
      std::int64_t& size = shape[rank - each->shape.size() + k];
      if (size == 1) size = each->shape[k];
    }
  Arena& arena = *arrays[0]->arena;
  return array(arena, shape, [&](Indices indices) {
    std::vector<Expr> values;
    for (ArrayRef each : arrays) {
      Indices own;
      for (std::size_t k = 0; k < each->shape.size(); ++k)
        own.push_back(each->shape[k] == 1 ? constant(arena, 0) : indices[rank - each->shape.size() + k]);
      values.push_back(at(each, own));
    }
    return body(values);
  });
}

Expr number(Expr like, double value) { return real(*like->arena, value, like->dtype); }
Expr exponential(Expr x) { return apply(functions::exp, {x}); }

ArrayRef linear_layer(ArrayRef x, ArrayRef weight, ArrayRef bias) {
  Arena& arena = *x->arena;
  std::vector<std::int64_t> shape = leading(x->shape);
  shape.push_back(weight->shape[1]);
  return array(arena, shape, [&](Indices p) {
    Expr y = summed(arena, {x->shape.back()},
                    [&](Indices k) { return multiply(at(x, joined(leading(p), {k[0]})), at(weight, {k[0], p.back()})); });
    return bias ? add(y, at(bias, {p.back()})) : y;
  });
}

ArrayRef matrix_product(ArrayRef a, ArrayRef b) {
  Arena& arena = *a->arena;
  std::vector<std::int64_t> shape = leading(a->shape);
  shape.push_back(b->shape.back());
  return array(arena, shape, [&](Indices p) {
    Indices batch = leading(leading(p));
    return summed(arena, {a->shape.back()},
                  [&](Indices k) { return multiply(at(a, joined(leading(p), {k[0]})), at(b, joined(batch, {k[0], p.back()}))); });
  });
}

ArrayRef layer_norm(ArrayRef x, ArrayRef weight, ArrayRef bias) {
  Arena& arena = *x->arena;
  const std::int64_t n = x->shape.back();
  const double share = 1.0 / static_cast<double>(n);
  ArrayRef mean = array(arena, leading(x->shape),
                        [&](Indices p) { return scale(share, summed(arena, {n}, [&](Indices k) { return at(x, joined(p, {k[0]})); })); });
  ArrayRef variance = array(arena, leading(x->shape), [&](Indices p) {
    return scale(share, summed(arena, {n}, [&](Indices k) { return power(subtract(at(x, joined(p, {k[0]})), at(mean, p)), 2); }));
  });
  return array(arena, x->shape, [&](Indices p) {
    Expr spread = at(variance, leading(p));
    Expr centred = subtract(at(x, p), at(mean, leading(p)));
    return add(multiply(multiply(centred, power(add(spread, number(spread, 1e-5)), -0.5)), at(weight, {p.back()})), at(bias, {p.back()}));
  });
}

ArrayRef gelu(ArrayRef x) {
  const double c = std::sqrt(2 / std::numbers::pi);
  return mapped({x}, [&](std::vector<Expr> v) {
    Expr inner = scale(c, add(v[0], scale(0.044715, power(v[0], 3))));
    Expr y = apply(*find_function("tanh"), {inner});
    return scale(0.5, multiply(v[0], add(y, number(y, 1))));
  });
}

ArrayRef relu(ArrayRef x) {
  return mapped({x}, [](std::vector<Expr> v) { return apply(functions::maximum, {v[0], number(v[0], 0)}); });
}

ArrayRef square(ArrayRef x) {
  return mapped({x}, [](std::vector<Expr> v) { return power(v[0], 2); });
}

ArrayRef softmax(ArrayRef x, std::size_t over) {
  Arena& arena = *x->arena;
  std::vector<std::int64_t> rest = x->shape;
  rest.erase(rest.begin() + static_cast<std::ptrdiff_t>(over));
  auto inserted = [&](Indices p, Expr k) {
    p.insert(p.begin() + static_cast<std::ptrdiff_t>(over), k);
    return p;
  };
  auto removed = [&](Indices p) {
    p.erase(p.begin() + static_cast<std::ptrdiff_t>(over));
    return p;
  };
  ArrayRef largest = array(arena, rest, [&](Indices p) {
    Expr m = reduced(arena, Reduction::maximum, {x->shape[over]}, [&](Indices k) { return at(x, inserted(p, k[0])); });
    return apply(functions::maximum, {m, number(m, -1e30)});
  });
  ArrayRef e = array(arena, x->shape, [&](Indices p) { return exponential(subtract(at(x, p), at(largest, removed(p)))); });
  ArrayRef total =
      array(arena, rest, [&](Indices p) { return summed(arena, {x->shape[over]}, [&](Indices k) { return at(e, inserted(p, k[0])); }); });
  return array(arena, x->shape,
               [&](Indices p) { return multiply(at(e, p), apply(functions::reciprocal_or_zero, {at(total, removed(p))})); });
}

ArrayRef cross_entropy(ArrayRef logits, ArrayRef labels) {
  Arena& arena = *logits->arena;
  const std::int64_t n = logits->shape.back();
  ArrayRef largest = array(arena, leading(logits->shape), [&](Indices p) {
    return reduced(arena, Reduction::maximum, {n}, [&](Indices k) { return at(logits, joined(p, {k[0]})); });
  });
  ArrayRef total = array(arena, leading(logits->shape), [&](Indices p) {
    return summed(arena, {n}, [&](Indices k) { return exponential(subtract(at(logits, joined(p, {k[0]})), at(largest, p))); });
  });
  return array(arena, leading(logits->shape), [&](Indices p) {
    Expr normaliser = add(apply(functions::log, {at(total, p)}), at(largest, p));
    return subtract(normaliser, at(logits, joined(p, {at(labels, p)})));
  });
}

ArrayRef mean_of_all(ArrayRef x) {
  Arena& arena = *x->arena;
  return array(arena, {}, [&](Indices) {
    return scale(1.0 / static_cast<double>(element_count(x)), summed(arena, x->shape, [&](Indices k) { return at(x, k); }));
  });
}

ArrayRef embedding(ArrayRef table, ArrayRef ids) {
  std::vector<std::int64_t> shape = ids->shape;
  shape.push_back(table->shape[1]);
  return array(*table->arena, shape, [&](Indices p) { return at(table, {at(ids, leading(p)), p.back()}); });
}

ArrayRef transpose(ArrayRef x, std::vector<std::size_t> order) {
  std::vector<std::int64_t> shape;
  for (std::size_t k : order) shape.push_back(x->shape[k]);
  return array(*x->arena, shape, [&](Indices p) {
    Indices own(p.size());
    for (std::size_t k = 0; k < order.size(); ++k) own[order[k]] = p[k];
    return at(x, own);
  });
}

ArrayRef reshape(ArrayRef x, std::vector<std::int64_t> shape) {
  Arena& arena = *x->arena;
  return array(arena, shape, [&](Indices p) {
    Expr flat = constant(arena, 0);
    for (std::size_t k = 0; k < p.size(); ++k) flat = add(scale(shape[k], flat), p[k]);
    Indices own(x->shape.size());
    for (std::size_t k = x->shape.size(); k-- > 0;) {
      own[k] = remainder(flat, x->shape[k]);
      flat = floor_divide(flat, x->shape[k]);
    }
    return at(x, own);
  });
}

ArrayRef slice(ArrayRef x, std::int64_t begin, std::int64_t size) {
  std::vector<std::int64_t> shape = x->shape;
  shape.back() = size;
  return array(*x->arena, shape, [&](Indices p) { return at(x, joined(leading(p), {shift(p.back(), begin)})); });
}

ArrayRef concat(const std::vector<ArrayRef>& arrays) {
  std::vector<std::int64_t> shape = arrays[0]->shape;
  shape.back() = 0;
  for (ArrayRef each : arrays) shape.back() += each->shape.back();
  return array(*arrays[0]->arena, shape, [&](Indices p) {
    Expr result = nullptr;
    std::int64_t begin = shape.back();
    for (auto each = arrays.rbegin(); each != arrays.rend(); ++each) {
      const std::int64_t end = begin;
      begin -= (*each)->shape.back();
      Expr here = at(*each, joined(leading(p), {shift(p.back(), -begin)}));
      result = result ? select(greater(integer(*here->arena, end), p.back()), here, result) : here;
    }
    return result;
  });
}

ArrayRef pad(ArrayRef x, std::int64_t before, std::int64_t after) {
  std::vector<std::int64_t> shape = x->shape;
  shape.back() += before + after;
  return array(*x->arena, shape, [&](Indices p) {
    Expr index = shift(p.back(), -before);
    Expr here = at(x, joined(leading(p), {index}));
    return select(inside(index, x->shape.back()), here, number(here, 0));
  });
}

ArrayRef split_heads(ArrayRef x, std::int64_t heads) {
  const std::int64_t size = x->shape[2] / heads;
  return array(*x->arena, {x->shape[0], heads, x->shape[1], size},
               [&](Indices p) { return at(x, {p[0], p[2], add(scale(size, p[1]), p[3])}); });
}

ArrayRef merge_heads(ArrayRef x) {
  const std::int64_t size = x->shape[3];
  return array(*x->arena, {x->shape[0], x->shape[2], x->shape[1] * size},
               [&](Indices p) { return at(x, {p[0], floor_divide(p[2], size), p[1], remainder(p[2], size)}); });
}

ArrayRef convolution(ArrayRef x, ArrayRef weight, ArrayRef bias, Convolution how) {
  Arena& arena = *x->arena;
  const std::vector<std::int64_t>&in = x->shape, &w = weight->shape;
  auto out = [&](std::int64_t size, std::int64_t window) {
    return (size + 2 * how.padding - how.dilation * (window - 1) - 1) / how.stride + 1;
  };
  return array(arena, {in[0], w[0], out(in[2], w[2]), out(in[3], w[3])}, [&](Indices p) {
    Expr y = summed(arena, {w[1], w[2], w[3]}, [&](Indices k) {
      Expr row = shift(add(scale(how.stride, p[2]), scale(how.dilation, k[1])), -how.padding);
      Expr column = shift(add(scale(how.stride, p[3]), scale(how.dilation, k[2])), -how.padding);
      Expr channel = how.groups == 1 ? k[0] : add(scale(w[1], floor_divide(p[1], w[0] / how.groups)), k[0]);
      Expr pixel = at(x, {p[0], channel, row, column});
      Expr guarded = select(both(inside(row, in[2]), inside(column, in[3])), pixel, number(pixel, 0));
      return multiply(guarded, at(weight, {p[1], k[0], k[1], k[2]}));
    });
    return bias ? add(y, at(bias, {p[1]})) : y;
  });
}

ArrayRef pool(Reduction reduction, ArrayRef x, std::int64_t size, std::int64_t stride) {
  Arena& arena = *x->arena;
  const std::vector<std::int64_t>& in = x->shape;
  return array(arena, {in[0], in[1], (in[2] - size) / stride + 1, (in[3] - size) / stride + 1}, [&](Indices p) {
    Expr y = reduced(arena, reduction, {size, size},
                     [&](Indices k) { return at(x, {p[0], p[1], add(scale(stride, p[2]), k[0]), add(scale(stride, p[3]), k[1])}); });
    return reduction == Reduction::sum ? scale(1.0 / static_cast<double>(size * size), y) : y;
  });
}

}  // namespace heed
