// What the flat form adds to index notation: expressions are computed in the types of computation, whatever is stored, scalars need no
// brackets, and parts that are used twice are named.
#include <fmt/format.h>

#include <algorithm>

#include "ir/language/elaborator.h"

namespace heed {

// `loss: f32 = …` is written in index notation if no array stands in it without its indices and nothing but operations is called.
bool Elaborator::is_flat(const syntax::Expression& expression, Scope& scope) {
  auto flat = [&](const auto& part) { return is_flat(*part, scope); };
  const auto& node = expression.node;
  if (auto path = syntax::path_of(expression)) {
    auto value = lookup(*path, scope);
    const auto* array = value ? get_if<ShapedArray>(*value) : nullptr;
    return !value || (array ? array->shape.empty() : !is<List>(*value));
  }
  if (const auto* unary = std::get_if<syntax::Unary>(&node)) return flat(unary->operand);
  if (const auto* binary = std::get_if<syntax::Binary>(&node)) return flat(binary->left) && flat(binary->right);
  if (const auto* comparison = std::get_if<syntax::Comparison>(&node)) return std::ranges::all_of(comparison->operands, flat);
  if (const auto* index = std::get_if<syntax::Index>(&node))
    return std::ranges::all_of(index->subscripts,
                               [&](const syntax::Subscript& subscript) { return subscript.index && flat(subscript.index); });
  if (const auto* call = std::get_if<syntax::Call>(&node)) {
    auto path = syntax::path_of(*call->callee);
    auto callee = path ? lookup(*path, scope) : std::nullopt;
    const auto* operation = callee ? get_if<OperationValue>(*callee) : nullptr;
    bool elementwise = (operation && operation->operation->elementwise) || (callee && is<DType>(*callee)) || path == "with";
    if (!elementwise && !std::holds_alternative<syntax::Index>(call->callee->node)) return false;
    return std::ranges::all_of(call->arguments, [&](const syntax::Argument& argument) { return flat(argument.value); });
  }
  return std::holds_alternative<syntax::Number>(node) || std::holds_alternative<syntax::Truth>(node);
}

Value Elaborator::flat_value(const Value& value) {
  if (const auto* array = get_if<ShapedArray>(value); array && array->shape.empty())
    return Scalar{read_stored(array->array, {}), compute_type(array->dtype())};
  if (const auto* scalar = get_if<Scalar>(value)) return Scalar{scalar->expression, compute_type(scalar->dtype), scalar->adapts};
  return value;
}

// with(t * u, t = exp(x[i]), u = t + 1): each name stands for a part of what comes before it.
Value Elaborator::evaluate_with(const syntax::Call& call, Span span, Scope& scope) {
  if (call.arguments.empty() || call.arguments[0].name)
    throw Mistake{span, "`with` takes an expression, then the names in it", "write `with(t * t, t = exp(x[i]))`"};
  Scope inner{scope.module, &scope};
  for (const syntax::Argument& argument : call.arguments) {
    if (&argument == &call.arguments[0]) continue;
    if (!argument.name) throw Mistake{argument.value->span, "`with` takes one expression; what follows has a name"};
    inner.names[argument.name->text] = evaluate(*argument.value, inner);
  }
  return evaluate(*call.arguments[0].value, inner);
}

}  // namespace heed
