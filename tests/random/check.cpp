// Checks of passes, printing and gradients.
#include "tests/random/check.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "ir/algebra.h"
#include "ir/evaluate.h"
#include "ir/function.h"
#include "ir/language/elaborate.h"
#include "ir/print.h"
#include "ir/verify.h"
#include "passes/pipeline.h"
#include "passes/rewrite.h"
#include "passes/with_gradients.h"

namespace heed {
namespace {

constexpr EvaluateOptions exactly{EvaluateOptions::Precision::f64};

bool all_finite(const std::vector<Tensor>& tensors) {
  for (const Tensor& tensor : tensors)
    for (std::int64_t k = 0; k < tensor.count(); ++k)
      if (!std::isfinite(tensor.real(k))) return false;
  return true;
}

// Sound and of the same meaning after each pass; `from` is the first whose result can be evaluated.
Finding check_each_pass(const Graph& graph, std::string_view from, std::vector<Tensor> expected) {
  Finding fault;
  std::optional<Graph> first;
  auto inputs = values_for(graph);
  PipelineOptions options{.precision = DType::bf16};  // its pass, too; in f64 no value is rounded
  options.watch = [&](int, std::string_view name, const Graph& now) {
    if (fault) return;
    verify(now, name);
    if (!first && name == from) first = now;
    if (!first) return;
    std::vector<Tensor> results = evaluate(now, inputs, exactly);
    if (expected.empty()) expected = results;
    if (!all_finite(expected)) return;
    const double most = name.starts_with("lower_to_") ? 0x1p-8 : 1e-7;  // constants that are factors are rounded when the graph is made
    if (Finding found = difference(expected, results, most); found && !is_at_a_step(*first, inputs, 1e-11, 1e-7))
      fault = fmt::format("after {}: {}", name, *found);
  };
  run_passes(graph, options);
  return fault;
}

// What is thrown is a fault, too.
Finding guarded(const std::function<Finding()>& check) {
  try {
    return check();
  } catch (const std::exception& error) {
    return error.what();
  }
}

std::string without_comment(const std::string& text) { return text.starts_with("#") ? text.substr(text.find('\n') + 1) : text; }

Finding reads_back(const Graph& graph, const std::string& text, bool same_text) {
  Diagnostics diagnostics;
  auto module = parse_module("printed.heed", text, diagnostics);
  auto again = module ? elaborate(*module, {.training = true}, diagnostics) : std::nullopt;
  if (!again) return "does not read back: " + diagnostics.text(false) + text;
  verify(again->graph, "reading back");
  std::string second = without_comment(print(again->graph, again->regions));
  if (same_text && second != text) return fmt::format("prints differently when it was read back:\n{}\n{}", text, second);
  if (Finding fault = difference(graph, again->graph))
    return fmt::format("means something else when it was read back: {}\n{}", *fault, text);
  return {};
}

// 1, off at random by place, by at most half of `size`.
Expr nearly_one(ArrayRef array, double size) {
  Arena& arena = *array->arena;
  std::vector<IntegerTerm> place;
  std::int64_t stride = 1;
  for (AxisRef axis : positions(array)) {
    place.push_back({stride, value(axis)});
    stride *= axis->size;
  }
  Expr noise = apply(functions::random_uniform, {integer(arena, array->id), linear(place, 0, arena)});
  const Term term{size, compute_type(array->dtype) == DType::f32 ? noise : cast(DType::f64, noise)};
  return linear(std::span(&term, 1), 1 - size / 2, arena, compute_type(array->dtype));
}

}  // namespace

Graph with_rough_values(const Graph& graph, double size) {
  return rewrite(graph, [&](ArrayRef definition, const ArrayTable& table) {
    Expr body = rewrite(replace_arrays(definition->body, table), [&](Expr node, std::span<const Expr> operands) {
      Expr made = with_operands(node, operands);
      const bool compares = made->op == Op::greater || made->op == Op::at_least || made->op == Op::equal;
      if (compares) {  // One value on both sides may be made twice.
        Expr a = made->operands[0], b = made->operands[1];
        const std::array sides = {multiply(a, real(*a->arena, 1 + size * std::sin(node->id), a->dtype)), b};
        return with_operands(made, sides);
      }
      if (made->op != Op::function || !is_floating(made->dtype)) return made;
      return multiply(made, real(*made->arena, 1 + size, made->dtype));
    });
    if (is_floating(definition->dtype) && !is_constant(body)) body = multiply(body, nearly_one(definition, size));
    return body == definition->body ? definition : define(positions(definition), body, definition->dtype, definition->name);
  });
}

bool is_at_a_step(const Graph& graph, const std::map<std::string, Tensor>& inputs, double size, double tolerance) {
  std::vector<Tensor> results = evaluate(graph, inputs, exactly);
  for (double sign : {1.0, -1.0, 3.0, -7.0}) {
    auto moved = inputs;
    for (auto& [name, tensor] : moved) {
      if (!is_floating(tensor.dtype)) continue;
      Tensor wide(DType::f64, tensor.shape);
      for (std::int64_t k = 0; k < tensor.count(); ++k)
        wide.set(k, tensor.real(k) + sign * size * std::sin(1.0 + 3.0 * static_cast<double>(k)));
      tensor = wide;
    }
    if (difference(results, evaluate(graph, moved, exactly), tolerance)) return true;
    if (difference(results, evaluate(with_rough_values(graph, sign * size), inputs, exactly), tolerance)) return true;
  }
  return false;
}

std::map<std::string, Tensor> values_for(const Graph& graph) {
  std::map<std::string, Tensor> tensors;
  for (const GraphInput& input : graph.inputs) {
    std::int64_t key = 0;
    for (char c : input.array->name) key = key * 131 + c;
    Tensor tensor(input.array->dtype, input.array->shape);
    for (std::int64_t k = 0; k < tensor.count(); ++k) {
      double share = random_word(key, k) * 0x1p-32;
      Interval range = input.array->range.value_or(Interval{0, 3});
      if (is_floating(tensor.dtype))
        tensor.set(k, 2 * share - 1);
      else
        tensor.set(k, range.low + static_cast<std::int64_t>(share * static_cast<double>(range.high - range.low + 1)));
    }
    tensors.emplace(input.array->name, std::move(tensor));
  }
  return tensors;
}

Finding difference(const std::vector<Tensor>& expected, const std::vector<Tensor>& got, double tolerance) {
  if (expected.size() != got.size()) return fmt::format("{} outputs, not {}", got.size(), expected.size());
  for (std::size_t k = 0; k < expected.size(); ++k) {
    if (expected[k].shape != got[k].shape) return fmt::format("output {} has another shape", k);
    double largest = 0.05;  // what is smaller may be all that cancellation left
    for (std::int64_t at = 0; at < expected[k].count(); ++at) largest = std::max(largest, std::abs(expected[k].real(at)));
    double allowed = is_floating(expected[k].dtype) ? tolerance * largest : 0;
    for (std::int64_t at = 0; at < expected[k].count(); ++at)
      if (double a = expected[k].real(at), b = got[k].real(at); !(std::abs(a - b) <= allowed))
        return fmt::format("output {} at {} is {}, not {} (largest {})", k, at, b, a, largest);
  }
  return {};
}

Finding difference(const Graph& expected, const Graph& graph) {
  auto inputs = values_for(expected);
  std::vector<Tensor> first = evaluate(expected, inputs, exactly);
  if (!all_finite(first)) return {};
  Finding found = difference(first, evaluate(graph, inputs, exactly), 1e-7);
  return found && is_at_a_step(expected, inputs, 1e-11, 1e-7) ? std::nullopt : found;
}

Finding check_passes(const Graph& graph) {
  return guarded([&]() -> Finding { return check_each_pass(graph, "input", {}); });
}

Finding check_passes_of_gradients(const Graph& graph) {
  return guarded([&]() -> Finding { return check_each_pass(with_gradients(graph), "differentiate", {}); });
}

// The derivative along a line through the inputs, from gradients and from two differences; nothing to say where the differences disagree
// with each other, at a kink or a step.
Finding check_derivatives(const Graph& graph) {
  return guarded([&]() -> Finding {
    Graph all = run_passes(with_gradients(graph), {.to = "differentiate"});
    auto inputs = values_for(graph);
    auto shifted = [&](double by) {
      auto moved = inputs;
      for (auto& [name, tensor] : moved) {
        if (!is_floating(tensor.dtype)) continue;
        Tensor wide(DType::f64, tensor.shape);
        for (std::int64_t k = 0; k < tensor.count(); ++k) wide.set(k, tensor.real(k) + by * std::cos(1.0 + static_cast<double>(k)));
        tensor = wide;
      }
      double total = 0;
      for (const Tensor& tensor : evaluate(graph, moved, exactly))
        for (std::int64_t k = 0; is_floating(tensor.dtype) && k < tensor.count(); ++k) total += tensor.real(k);
      return total;
    };
    double coarse = (shifted(1e-4) - shifted(-1e-4)) / 2e-4, fine = (shifted(1e-5) - shifted(-1e-5)) / 2e-5;
    double middle = shifted(0), left = (middle - shifted(-1e-5)) / 1e-5, right = (shifted(1e-5) - middle) / 1e-5;
    double size = 1e-2 + std::abs(fine);
    bool smooth = std::abs(coarse - fine) < 1e-4 * size && std::abs(left - right) < 1e-2 * size;
    if (!std::isfinite(fine) || !smooth) return {};
    std::vector<Tensor> results = evaluate(all, inputs, exactly);
    double along = 0;
    for (std::size_t k = 0; k < all.outputs.size(); ++k) {
      if (!all.outputs[k].name.starts_with("grad.")) continue;
      for (std::int64_t n = 0; n < results[k].count(); ++n) along += results[k].real(n) * std::cos(1.0 + static_cast<double>(n));
    }
    if (std::abs(along - fine) <= 1e-3 * size) return {};
    return fmt::format("the derivative along a line is {} by gradients and {} by differences", along, fine);
  });
}

Finding check_round_trip(const Graph& graph) {
  return guarded([&]() -> Finding {
    if (Finding fault = reads_back(graph, without_comment(print(graph)), true)) return fault;
    return reads_back(graph, without_comment(print(make_plan(graph))), false);
  });
}

}  // namespace heed
