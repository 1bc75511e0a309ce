// Products of arrays: `@` and einsum.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <sstream>

#include "ir/ops/operation.h"

namespace heed {
namespace {

std::string both_types(const Call& call) { return describe(call.values[0]) + " by " + describe(call.values[1]); }

DType common_floating(const Call& call, const ShapedArray& a, const ShapedArray& b) {
  if (a.dtype() != b.dtype())
    call.fail(fmt::format("`{}` multiplies {}: the types {} and {} differ", call.operation.name, both_types(call), name_of(a.dtype()),
                          name_of(b.dtype())));
  if (a.dtype() == DType::boolean) call.fail(fmt::format("`{}` multiplies numbers, not {}", call.operation.name, describe(call.values[0])));
  return a.dtype();
}

Value matrix_product(Call& call) {
  ShapedArray a = call.array(0), b = call.array(1);
  DType dtype = common_floating(call, a, b);
  if (a.shape.empty() || b.shape.empty())
    call.fail(fmt::format("`@` multiplies {}: a scalar has no inner dimension", both_types(call)), "multiply by a scalar with `*`");
  bool row = a.shape.size() == 1, column = b.shape.size() == 1;  // vectors, as in NumPy
  Dimension inner = a.shape.back(), other = column ? b.shape[0] : b.shape[b.shape.size() - 2];
  if (!(inner == other)) {
    bool fits = !column && b.shape.back() == inner;
    call.fail(fmt::format("`@` multiplies {}: inner dimensions {} and {} differ", both_types(call), inner.size.text(), other.size.text()),
              fits ? fmt::format("transpose the right operand: `{} @ transpose({})`", call.source(0), call.source(1)) : "");
  }
  std::vector<Dimension> batch_a(a.shape.begin(), a.shape.end() - (row ? 1 : 2)),
      batch_b(b.shape.begin(), b.shape.end() - (column ? 1 : 2));
  std::vector<Dimension> shape =
      broadcast_shape({batch_a, batch_b}, call.operation, call.span, {describe(call.values[0]), describe(call.values[1])});
  std::size_t batch = shape.size();
  if (!row) shape.push_back(a.shape[a.shape.size() - 2]);
  if (!column) shape.push_back(b.shape.back());
  return call.builder.define(shape, dtype, [&](std::span<const Expr> positions) {
    Arena& arena = call.builder.arena();
    AxisRef axis = fresh_axis(arena, inner.value);
    std::vector<Expr> in_a = broadcast_positions(batch_a, positions.first(batch), arena),
                      in_b = broadcast_positions(batch_b, positions.first(batch), arena);
    if (!row) in_a.push_back(positions[batch]);
    in_a.push_back(value(axis));
    in_b.push_back(value(axis));
    if (!column) in_b.push_back(positions.back());
    return sum(std::span(&axis, 1), multiply(at(a, in_a), at(b, in_b)));
  });
}

std::vector<std::string> words_of(const std::string& text) {
  std::istringstream stream(text);
  std::vector<std::string> words;
  for (std::string word; stream >> word;) words.push_back(word);
  return words;
}

struct EinsumPlan {
  std::vector<std::vector<std::string>> operands;
  std::vector<std::string> result;
};

EinsumPlan parse_einsum(const Call& call, std::size_t operand_count) {
  const std::string& text = call.text(0);
  std::size_t arrow = text.find("->");
  if (arrow == std::string::npos) call.fail(0, fmt::format("\"{}\" has no result: write \"a b, b c -> a c\"", text));
  EinsumPlan plan;
  std::istringstream left(text.substr(0, arrow));
  for (std::string part; std::getline(left, part, ',');) plan.operands.push_back(words_of(part));
  if (plan.operands.empty()) plan.operands.emplace_back();
  plan.result = words_of(text.substr(arrow + 2));
  if (plan.operands.size() != operand_count)
    call.fail(0, fmt::format("\"{}\" names the axes of {} arrays, but {} are given", text, plan.operands.size(), operand_count));
  return plan;
}

Value einsum(Call& call) {
  std::vector<ShapedArray> arrays;
  for (std::size_t k = 1; k < call.values.size(); ++k) arrays.push_back(call.array(k));
  EinsumPlan plan = parse_einsum(call, arrays.size());
  std::map<std::string, Dimension> sizes;
  std::vector<std::string> order;  // as they are met, so that the same text makes the same sum
  for (std::size_t k = 0; k < arrays.size(); ++k) {
    const auto& names = plan.operands[k];
    if (names.size() != arrays[k].shape.size())
      call.fail(k + 1, fmt::format("\"{}\" names {} axes, but {} has {}", fmt::join(names, " "), names.size(), describe(call.values[k + 1]),
                                   arrays[k].shape.size()));
    for (std::size_t axis = 0; axis < names.size(); ++axis) {
      auto [known, added] = sizes.emplace(names[axis], arrays[k].shape[axis]);
      if (added) order.push_back(names[axis]);
      if (!(known->second == arrays[k].shape[axis]))
        call.fail(k + 1, fmt::format("axis `{}` of `einsum` is {} and {}", names[axis], known->second.size.text(),
                                     arrays[k].shape[axis].size.text()));
    }
    if (arrays[k].dtype() != arrays[0].dtype())
      call.fail(k + 1, fmt::format("`einsum` multiplies {} and {}: the types {} and {} differ", describe(call.values[1]),
                                   describe(call.values[k + 1]), name_of(arrays[0].dtype()), name_of(arrays[k].dtype())));
  }
  std::vector<Dimension> shape;
  for (std::size_t k = 0; k < plan.result.size(); ++k) {
    const std::string& name = plan.result[k];
    if (!sizes.contains(name)) call.fail(0, fmt::format("axis `{}` of the result is in no operand", name));
    if (std::find(plan.result.begin(), plan.result.begin() + k, name) != plan.result.begin() + k)
      call.fail(0, fmt::format("axis `{}` is twice in the result", name));
    shape.push_back(sizes[name]);
  }
  return call.builder.define(shape, arrays[0].dtype(), [&](std::span<const Expr> positions) {
    std::map<std::string, Expr> values;
    for (std::size_t k = 0; k < plan.result.size(); ++k) values[plan.result[k]] = positions[k];
    std::vector<AxisRef> summed;
    for (const std::string& name : order)
      if (!values.contains(name)) {
        summed.push_back(fresh_axis(call.builder.arena(), sizes[name].value));
        values[name] = value(summed.back());
      }
    Expr body = nullptr;
    for (std::size_t k = 0; k < arrays.size(); ++k) {
      std::vector<Expr> indices;
      for (const std::string& name : plan.operands[k]) indices.push_back(values[name]);
      Expr factor = at(arrays[k], indices);
      body = body ? multiply(body, factor) : factor;
    }
    return summed.empty() ? body : sum(summed, body);
  });
}

const Operation records[] = {
    {"@", "(a, b)", "matrix product over the last axis of a and the last but one of b; leading axes broadcast; vectors as in NumPy",
     "[[1.0, 2.0], [3.0, 4.0]] @ [1.0, 1.0] == [3.0, 7.0]", matrix_product},
    {"einsum", "(axes, …)", "sum of products over named axes: those that are not in the result are summed",
     "einsum(\"i j, j -> i\", [[1.0, 2.0], [3.0, 4.0]], [1.0, 1.0]) == [3.0, 7.0]", einsum},
};

}  // namespace

std::span<const Operation> product_operations() { return records; }

}  // namespace heed
