// The records as one list, and how any of them is applied to evaluated arguments.
#include "ir/ops/operation.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <deque>
#include <map>

namespace heed {
namespace {

std::optional<Value> fallback_value(std::string_view text) {
  if (text == "none") return Value(Nothing{});
  if (text == "true" || text == "false") return Value(text == "true");
  if (auto dtype = dtype_named(text)) return Value(*dtype);
  if (text.find('.') != std::string_view::npos) return Value(Real{std::stod(std::string(text)), ""});
  return Value(Dimension(std::stoll(std::string(text))));
}

// The record of a scalar function, as an operation.
Scalar call_function(ScalarCall& call) {
  const ScalarFunction& function = *call.operation.function;
  using Domain = ScalarFunction::Domain;
  DType dtype = call.common(0, call.values.size(), function.domain == Domain::floating);
  if (dtype == DType::boolean || (function.domain == Domain::floating && !is_floating(dtype)))
    call.fail(fmt::format("`{}` takes {} values, not {}", function.name, function.domain == Domain::floating ? "floating" : "numeric",
                          call.described[0]),
              fmt::format("convert it: `f32({})`", source_text(call.spans[0])));
  if (function.domain == Domain::integer && !is_integer(dtype))
    call.fail(fmt::format("`{}` takes integers, not {}", function.name, call.described[0]));
  std::vector<Expr> arguments;
  for (std::size_t k = 0; k < call.values.size(); ++k) arguments.push_back(call[k]);
  Expr result = heed::apply(function, std::span<const Expr>(arguments));
  if (function.result == DType::f32 && function.domain != Domain::integer) return {result, dtype};
  return {result, function.result};
}

std::deque<Operation> function_operations() {
  std::deque<Operation> result;
  for (const ScalarFunction& function : scalar_functions()) {
    Operation operation{function.name, function.arity == 1 ? "(x)" : "(a, b)", function.summary, function.example};
    operation.elementwise = call_function;
    operation.function = &function;
    result.push_back(operation);
  }
  return result;
}

bool is_strong(const Value& value) { return is<Scalar>(value) && !get_if<Scalar>(value)->adapts; }

Value constant_of(const Scalar& result, const std::vector<Value>& values, const Operation& operation) {
  Expr x = result.expression;
  if (x->op != Op::constant) return result;
  if (x->dtype == DType::boolean) return Value(x->integer != 0);
  if (is_floating(x->dtype)) return Value(Real{x->real, ""});
  // A size that was computed from symbols stays a symbol.
  Dimension dimension(x->integer);
  std::vector<Size> sizes;
  for (const Value& value : values)
    if (const auto* d = get_if<Dimension>(value)) sizes.push_back(d->size);
  bool symbolic = std::any_of(sizes.begin(), sizes.end(), [](const Size& size) { return !size.constant(); });
  if (symbolic && sizes.size() == 2) dimension.size = named_function(operation.name, sizes[0], sizes[1]);
  return dimension;
}

Value apply_elementwise(Builder& builder, const Operation& operation, Span span, std::vector<Value> values, std::vector<Span> spans) {
  bool all_constant = std::all_of(values.begin(), values.end(), is_compile_time_scalar);
  bool scalars = std::any_of(values.begin(), values.end(), [](const Value& value) { return is<Scalar>(value); });
  std::vector<std::string> described;
  for (const Value& value : values) described.push_back(describe(value));
  ScalarCall call{builder, operation, span, values, spans, described};
  if (all_constant) {
    Temporarily precise(builder.default_floating, DType::f64);
    return constant_of(operation.elementwise(call), values, operation);
  }
  std::vector<std::vector<Dimension>> shapes;
  std::vector<ShapedArray> arrays(values.size());
  for (std::size_t k = 0; k < values.size(); ++k) {
    if (is<List>(values[k])) values[k] = array_of(builder, values[k], spans[k]);
    if (const auto* array = get_if<ShapedArray>(values[k])) {
      arrays[k] = *array;
      shapes.push_back(array->shape);
      if (scalars && !array->shape.empty())
        throw Mistake{spans[k], fmt::format("`{}` is {}: in index notation it needs an index for each of its {} axes",
                                            source_text(spans[k]), describe(values[k]), array->shape.size())};
    } else if (!is_compile_time_scalar(values[k]) && !is<Scalar>(values[k])) {
      throw Mistake{spans[k], fmt::format("`{}` takes numbers and arrays, not {}", operation.name, describe(values[k]))};
    }
  }
  auto result_at = [&](std::span<const Expr> positions) {
    call.values = values;
    for (std::size_t k = 0; k < values.size(); ++k)
      if (arrays[k].array)
        call.values[k] = Scalar{at(arrays[k], broadcast_positions(arrays[k].shape, positions, builder.arena())), arrays[k].dtype()};
    return operation.elementwise(call);
  };
  if (scalars) return result_at({});
  std::vector<std::string> array_texts;
  for (std::size_t k = 0; k < values.size(); ++k)
    if (arrays[k].array) array_texts.push_back(described[k]);
  std::vector<Dimension> shape = broadcast_shape(shapes, operation, span, array_texts);
  // The type of the result is known once its body is.
  std::string name = std::exchange(builder.name_hint, {});
  std::vector<AxisRef> axes;
  std::vector<Expr> positions;
  for (const Dimension& dimension : shape) {
    axes.push_back(fresh_axis(builder.arena(), dimension.value));
    positions.push_back(value(axes.back()));
  }
  Scalar result = result_at(positions);
  return ShapedArray{define(axes, result.expression, result.dtype, name), shape};
}

}  // namespace

const std::vector<const Operation*>& operations() {
  static const std::deque<Operation> functions = function_operations();
  static const std::vector<const Operation*> all = [] {
    std::vector<const Operation*> result;
    for (auto block : {elementwise_operations(), product_operations(), reduction_operations(), movement_operations(),
                       arrangement_operations(), lookup_operations(), creation_operations(), gradient_operations()})
      for (const Operation& operation : block) result.push_back(&operation);
    for (const Operation& operation : functions) result.push_back(&operation);
    return result;
  }();
  return all;
}

const Operation* find_operation(std::string_view name) {
  static const std::map<std::string_view, const Operation*> by_name = [] {
    std::map<std::string_view, const Operation*> result;
    for (const Operation* operation : operations()) result.emplace(operation->name, operation);
    return result;
  }();
  auto found = by_name.find(name);
  return found == by_name.end() ? nullptr : found->second;
}

std::vector<OperationParameter> parameters_of(const Operation& operation) {
  std::vector<OperationParameter> result;
  std::string_view rest = operation.signature.substr(1, operation.signature.size() - 2);
  while (!rest.empty()) {
    std::string_view part = rest.substr(0, rest.find(", "));
    rest.remove_prefix(std::min(rest.size(), part.size() + 2));
    std::size_t equals = part.find(" = ");
    if (part == "…") continue;
    if (equals == std::string_view::npos)
      result.push_back({std::string(part), std::nullopt});
    else
      result.push_back({std::string(part.substr(0, equals)), fallback_value(part.substr(equals + 3))});
  }
  return result;
}

std::string source_text(Span span) {
  if (!span.file) return "";
  std::size_t begin = 0;
  for (int line = 1; line < span.line && begin != std::string::npos; ++line) {
    begin = span.file->text.find('\n', begin);
    if (begin != std::string::npos) ++begin;
  }
  if (begin == std::string::npos || begin + span.column - 1 > span.file->text.size()) return "";
  return span.file->text.substr(begin + span.column - 1, span.length);
}

std::vector<Dimension> broadcast_shape(const std::vector<std::vector<Dimension>>& shapes, const Operation& operation, Span span,
                                       const std::vector<std::string>& described) {
  std::vector<Dimension> result;
  for (const auto& shape : shapes) {
    if (shape.size() > result.size()) result.insert(result.begin(), shape.size() - result.size(), Dimension(1));
    for (std::size_t k = 0; k < shape.size(); ++k) {
      Dimension& mine = result[result.size() - shape.size() + k];
      if (mine == shape[k] || shape[k] == Dimension(1)) continue;
      if (mine == Dimension(1)) {
        mine = shape[k];
        continue;
      }
      throw Mistake{span, fmt::format("`{}` of {}: dimensions {} and {} differ", operation.name, fmt::join(described, " and "),
                                      mine.size.text(), shape[k].size.text())};
    }
  }
  return result;
}

Value apply_operation(Builder& builder, const Operation& operation, Span span, std::vector<Value> values, std::vector<Span> spans,
                      std::vector<std::pair<std::string, Value>> further) {
  for (const Value& value : values)
    if (has_unknown(value)) return Unknown{};
  if (operation.elementwise) return apply_elementwise(builder, operation, span, std::move(values), std::move(spans));
  Call call{builder, operation, span, std::move(values), std::move(spans), std::move(further)};
  return operation.whole(call);
}

void ScalarCall::fail(std::string message, std::string help) const { throw Mistake{span, std::move(message), std::move(help)}; }

DType ScalarCall::common(std::size_t first, std::size_t count, bool floating) {
  std::optional<std::size_t> typed, adapting;
  bool any_real = false, any_truth = false;
  for (std::size_t k = first; k < first + count; ++k) {
    if (is_strong(values[k])) {
      if (typed && get_if<Scalar>(values[k])->dtype != get_if<Scalar>(values[*typed])->dtype) {
        DType mine = get_if<Scalar>(values[*typed])->dtype, other = get_if<Scalar>(values[k])->dtype;
        bool widen = is_floating(other) && !is_floating(mine);
        fail(fmt::format("`{}` of {} and {}: the types {} and {} differ", operation.name, described[*typed], described[k], name_of(mine),
                         name_of(other)),
             fmt::format("convert one: `{}({})`", name_of(widen ? other : mine), source_text(spans[widen ? *typed : k])));
      }
      if (!typed) typed = k;
    } else if (is<Scalar>(values[k])) {
      adapting = k;
    }
    any_real |= is<Real>(values[k]);
    any_truth |= is<bool>(values[k]);
  }
  DType dtype = typed                                 ? get_if<Scalar>(values[*typed])->dtype
                : any_real || (floating && !adapting) ? builder.default_floating
                : adapting                            ? DType::i32
                : any_truth                           ? DType::boolean
                                                      : DType::i64;
  for (std::size_t k = first; k < first + count; ++k) {
    if (const auto* scalar = get_if<Scalar>(values[k])) {
      if (scalar->adapts && !is_integer(dtype))
        fail(fmt::format("`{}` of an axis and {}: an axis is an integer", operation.name,
                         typed ? described[*typed] : std::string("a real number")),
             fmt::format("convert it: `f32({})`", source_text(spans[k])));
      values[k] = Scalar{scalar->expression, dtype, scalar->adapts && !typed};
    } else {
      values[k] = scalar_of(builder, values[k], dtype, spans[k]);
    }
  }
  return dtype;
}

Scalar scalar_of(Builder& builder, const Value& value, DType dtype, Span span) {
  if (is<Real>(value) && !is_floating(dtype))
    throw Mistake{span,
                  fmt::format("{} is not {}: the other side is {}", describe(value), dtype == DType::boolean ? "a truth" : "an integer",
                              name_of(dtype)),
                  dtype == DType::boolean ? "" : "convert the other side: `f32(…)`"};
  if (is<bool>(value) != (dtype == DType::boolean))
    throw Mistake{span,
                  fmt::format("{} is {}: the other side is {}", describe(value), is<bool>(value) ? "a truth" : "no truth", name_of(dtype))};
  Arena& arena = builder.arena();
  if (is_floating(dtype)) return {real(arena, number_of(value), compute_type(dtype)), dtype};
  if (dtype == DType::boolean) return {boolean(arena, number_of(value) != 0), dtype};
  std::int64_t number = get_if<Dimension>(value)->value;
  if (wrap_to(dtype, number) != number) throw Mistake{span, fmt::format("{} is outside of {}", number, name_of(dtype))};
  return {integer(arena, number), dtype};
}

namespace {

void flatten(const Value& value, Span span, std::vector<Dimension>& shape, std::vector<Value>& leaves, std::size_t depth) {
  const auto* list = get_if<List>(value);
  if (!list) {
    if (!is_compile_time_scalar(value))
      throw Mistake{span, fmt::format("a list of numbers makes an array, but this holds {}", describe(value))};
    if (depth != shape.size()) throw Mistake{span, "the rows of this list differ in length"};
    leaves.push_back(value);
    return;
  }
  Dimension count(static_cast<std::int64_t>(list->items->size()));
  if (shape.size() == depth && leaves.empty())
    shape.push_back(count);
  else if (depth >= shape.size() || !(shape[depth] == count))
    throw Mistake{span, "the rows of this list differ in length"};
  for (const Value& item : *list->items) flatten(item, span, shape, leaves, depth + 1);
}

}  // namespace

ShapedArray array_of(Builder& builder, const Value& value, Span span, DType fallback) {
  if (const auto* array = get_if<ShapedArray>(value)) return *array;
  if (has_unknown(value)) throw Unreported{};
  auto dtype_of = [&](const Value& number) { return is<bool>(number) ? DType::boolean : is<Dimension>(number) ? DType::i32 : fallback; };
  if (is_compile_time_scalar(value)) return builder.constant(value, dtype_of(value));
  if (!is<List>(value)) throw Mistake{span, fmt::format("an array is wanted here, not {}", describe(value))};
  std::vector<Dimension> shape;
  std::vector<Value> leaves;
  flatten(value, span, shape, leaves, 0);
  DType dtype = leaves.empty() ? fallback : dtype_of(leaves[0]);
  for (const Value& leaf : leaves)
    if (is<Real>(leaf)) dtype = fallback;
  return builder.define(shape, dtype, [&](std::span<const Expr> positions) {
    std::vector<IntegerTerm> flat;
    std::int64_t stride = 1;
    for (std::size_t k = positions.size(); k-- > 0; stride *= shape[k].value) flat.push_back({stride, positions[k]});
    Expr index = linear(flat, 0, builder.arena());
    Expr result = scalar_of(builder, leaves.empty() ? Value(Real{0, ""}) : leaves.back(), dtype, span).expression;
    for (std::size_t k = leaves.size(); k-- > 1;)
      result = select(greater(integer(builder.arena(), static_cast<std::int64_t>(k)), index),
                      scalar_of(builder, leaves[k - 1], dtype, span).expression, result);
    return result;
  });
}

}  // namespace heed
