// Definitions and reductions at named axes. Sizes of axes follow from what they index directly; a read that may leave its array needs a
// guard.
#include <fmt/format.h>

#include <algorithm>
#include <functional>

#include "ir/language/elaborator.h"

namespace heed {
namespace {

bool binds(const std::vector<syntax::Subscript>& subscripts, const std::string& axis) {
  auto axes = syntax::axis_bindings(subscripts);
  return axes && std::any_of(axes->begin(), axes->end(), [&](const syntax::AxisBinding& binding) { return binding.name.text == axis; });
}

// Calls `visit` with every subexpression that is not inside of a reduction that binds the axis anew.
void walk(const syntax::Expression& expression, const std::string& axis, const std::function<void(const syntax::Index&)>& visit) {
  auto all = [&](const auto& list) {
    for (const auto& item : list) walk(*item, axis, visit);
  };
  if (const auto* member = std::get_if<syntax::Member>(&expression.node)) return walk(*member->object, axis, visit);
  if (const auto* unary = std::get_if<syntax::Unary>(&expression.node)) return walk(*unary->operand, axis, visit);
  if (const auto* binary = std::get_if<syntax::Binary>(&expression.node)) {
    walk(*binary->left, axis, visit);
    return walk(*binary->right, axis, visit);
  }
  if (const auto* comparison = std::get_if<syntax::Comparison>(&expression.node)) return all(comparison->operands);
  if (const auto* list = std::get_if<syntax::List>(&expression.node)) return all(list->items);
  if (const auto* call = std::get_if<syntax::Call>(&expression.node)) {
    const auto* reduction = std::get_if<syntax::Index>(&call->callee->node);
    if (reduction && binds(reduction->subscripts, axis)) return;
    for (const syntax::Argument& argument : call->arguments) walk(*argument.value, axis, visit);
    return;
  }
  if (const auto* index = std::get_if<syntax::Index>(&expression.node)) {
    visit(*index);
    for (const syntax::Subscript& subscript : index->subscripts)
      if (subscript.index) walk(*subscript.index, axis, visit);
  }
}

struct Bounds {
  bool low, high;
};

// Whether guards or intervals keep the index in 0 … size - 1.
Bounds kept_inside(Expr index, std::int64_t size, const std::vector<Expr>& guards) {
  Interval range = bounds(index);
  Bounds kept{range.low >= 0, range.high < size};
  for (Expr guard : guards)
    for (Expr condition : conjuncts(guard)) {
      if (condition->op == Op::at_least_zero) {
        Expr above = subtract(index, condition->operands[0]), below = add(index, condition->operands[0]);
        if (above->op == Op::constant && above->integer >= 0) kept.low = true;
        if (below->op == Op::constant && below->integer < size) kept.high = true;
      }
      // A condition on the same axes: the sizes may say what its form does not.
      for (AxisRef axis : condition->free)
        if (std::find(index->free.begin(), index->free.end(), axis) != index->free.end()) kept = {true, true};
    }
  return kept;
}

}  // namespace

std::vector<std::pair<Dimension, std::string>> Elaborator::uses_of_axis(const std::string& axis, const syntax::Expression& body,
                                                                        Scope& scope) {
  std::vector<std::pair<Dimension, std::string>> uses;
  walk(body, axis, [&](const syntax::Index& index) {
    auto path = syntax::path_of(*index.object);
    if (!path) return;
    std::optional<Value> object = lookup(*path, scope);
    if (!object && path->find('.') != std::string::npos) object = evaluate(*index.object, scope);  // `wte.table`
    if (object && is<Unknown>(*object)) throw Unreported{};
    if (object && is<List>(*object)) object = array_of(builder, *object, index.object->span);
    const auto* array = object ? get_if<ShapedArray>(*object) : nullptr;
    if (!array || array->shape.size() != index.subscripts.size()) return;
    for (std::size_t k = 0; k < index.subscripts.size(); ++k) {
      const auto* reference = index.subscripts[k].index ? std::get_if<syntax::Reference>(&index.subscripts[k].index->node) : nullptr;
      if (reference && reference->name == axis) uses.emplace_back(array->shape[k], *path);
    }
  });
  return uses;
}

Elaborator::OpenAxes Elaborator::open_axes(const std::vector<syntax::AxisBinding>& axes, const syntax::Expression& body, Scope& scope) {
  OpenAxes open{{}, {}, Scope{scope.module, &scope}};
  for (const syntax::AxisBinding& binding : axes) {
    if (open.scope.names.contains(binding.name.text))
      throw Mistake{binding.name.span, fmt::format("axis `{}` is bound twice", binding.name.text)};
    Dimension size;
    if (binding.size) {
      size = dimension_of(*binding.size, scope);
    } else {
      auto uses = uses_of_axis(binding.name.text, body, scope);
      if (uses.empty())
        throw Mistake{binding.name.span, fmt::format("the size of axis `{}` is not known: it indexes nothing directly", binding.name.text),
                      fmt::format("give it: `{}: N`", binding.name.text)};
      size = uses[0].first;
      for (const auto& use : uses)
        if (!(use.first == size))
          throw Mistake{binding.name.span,
                        fmt::format("axis `{}` is {} in `{}` and {} in `{}`", binding.name.text, size.size.text(), uses[0].second,
                                    use.first.size.text(), use.second),
                        fmt::format("give its size: `{}: {}`", binding.name.text, size.size.text())};
    }
    open.axes.push_back(fresh_axis(builder.arena(), size.value));
    open.sizes.push_back(size);
    open.scope.names[binding.name.text] = Scalar{value(open.axes.back()), DType::i32, true};
  }
  return open;
}

ShapedArray Elaborator::define_at_axes(const std::vector<syntax::AxisBinding>& axes, std::optional<DType> dtype,
                                       const syntax::Expression& body, Scope& scope) {
  std::string name = std::exchange(builder.name_hint, {});
  OpenAxes open = open_axes(axes, body, scope);
  Temporarily literals(builder.default_floating, dtype && is_floating(*dtype) ? compute_type(*dtype) : builder.default_floating);
  ++index_depth_;
  Value result = evaluate(body, open.scope);
  --index_depth_;
  if (has_unknown(result)) throw Unreported{};
  if (const auto* array = get_if<ShapedArray>(result)) {
    if (!array->shape.empty() && array->shape.size() == axes.size() && array->shape == open.sizes && (!dtype || *dtype == array->dtype()))
      return *array;
    if (!array->shape.empty())
      throw Mistake{body.span, fmt::format("{} needs an index for each of its {} axes here", describe(result), array->shape.size())};
    result = Scalar{at(*array, {}), array->dtype()};
  }
  if (is_compile_time_scalar(result))
    result = scalar_of(builder, result,
                       dtype.value_or(is<bool>(result)        ? DType::boolean
                                      : is<Dimension>(result) ? DType::i32
                                                              : DType::f32),
                       body.span);
  const auto* scalar = get_if<Scalar>(result);
  if (!scalar) throw Mistake{body.span, fmt::format("a value at each position is wanted here, not {}", describe(result))};
  // The flat form says what is stored; elsewhere types do not change silently.
  DType stored = dtype.value_or(scalar->dtype);
  if (compute_type(stored) != scalar->expression->dtype)
    throw Mistake{body.span, fmt::format("this is {}, not {}", name_of(scalar->dtype), name_of(stored)),
                  fmt::format("convert it: `{}(…)`", name_of(stored))};
  mark_origin(body.span, name);
  return {define(open.axes, scalar->expression, stored, name), open.sizes};
}

Value Elaborator::reduce_over_axes(const Operation& operation, const std::vector<syntax::AxisBinding>& axes, const syntax::Expression& body,
                                   Scope& scope) {
  OpenAxes open = open_axes(axes, body, scope);
  ++index_depth_;
  Value inner = evaluate(body, open.scope);
  --index_depth_;
  if (has_unknown(inner)) return Unknown{};
  if (const auto* array = get_if<ShapedArray>(inner)) {
    if (!array->shape.empty())
      throw Mistake{body.span, fmt::format("{} needs an index for each of its {} axes here", describe(inner), array->shape.size())};
    inner = Scalar{at(*array, {}), array->dtype()};
  }
  if (is_compile_time_scalar(inner))
    inner = scalar_of(builder, inner,
                      is<bool>(inner)        ? DType::boolean
                      : is<Dimension>(inner) ? DType::i32
                                             : builder.default_floating,
                      body.span);
  if (!is<Scalar>(inner)) throw Mistake{body.span, fmt::format("a value at each position is wanted here, not {}", describe(inner))};
  try {
    return operation.over(builder, open.axes, *get_if<Scalar>(inner));
  } catch (Mistake& mistake) {
    mistake.span = body.span;
    throw;
  }
}

Value Elaborator::evaluate_under(Expr guard, const syntax::Expression& expression, Scope& scope) {
  guards_.push_back(guard);
  Value result = evaluate(expression, scope);
  guards_.pop_back();
  return result;
}

Value Elaborator::read_at(const ShapedArray& array, const std::vector<Evaluated>& indices, Span span) {
  std::vector<Expr> expressions;
  for (std::size_t k = 0; k < indices.size(); ++k) {
    const Dimension& size = array.shape[k];
    Value index = indices[k].value;
    if (const auto* looked_up = get_if<ShapedArray>(index); looked_up && looked_up->shape.empty())
      index = Scalar{at(*looked_up, {}), looked_up->dtype()};
    Expr expression = nullptr;
    if (const auto* number = get_if<Dimension>(index))
      expression = integer(builder.arena(), number->value < 0 ? number->value + size.value : number->value);
    else if (const auto* scalar = get_if<Scalar>(index); scalar && is_integer(scalar->dtype))
      expression = scalar->expression;
    else
      throw Mistake{indices[k].span, fmt::format("an index is an integer, not {}", describe(index)),
                    is<Scalar>(index) ? fmt::format("convert it: `i32({})`", source_text(indices[k].span)) : ""};
    if (is_affine(expression)) {
      Bounds kept = kept_inside(expression, size.value, guards_);
      bool empty = std::any_of(expression->free.begin(), expression->free.end(), [](AxisRef axis) { return axis->size == 0; });
      if ((!kept.low || !kept.high) && !empty) {
        Interval range = bounds(expression);
        builder.suit_nominal(size, 4, 1);
        throw Mistake{indices[k].span,
                      fmt::format("index `{}` {}, but the axis runs from 0 to {} - 1", source_text(indices[k].span),
                                  kept.low ? "goes past the end" : fmt::format("reaches {}", range.low), size.size.text()),
                      fmt::format("guard it: `where(0 <= {0} and {0} < {1}, {2}, 0)`", source_text(indices[k].span), size.size.text(),
                                  source_text(span))};
      }
    }
    expressions.push_back(expression);
  }
  mark_origin(span, "read");
  return Scalar{flat_ ? read_stored(array.array, expressions) : read(array.array, expressions), array.dtype()};
}

ShapedArray Elaborator::settle(const Value& value, Span span) {
  const auto& scalar = *get_if<Scalar>(value);
  mark_origin(span, "");
  return {define({}, scalar.expression, scalar.dtype, std::exchange(builder.name_hint, {})), {}};
}

}  // namespace heed
