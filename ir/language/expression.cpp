// Evaluates expressions: names, operators, lists. A mistake is reported where it is made, and the value is unknown from there on.
#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "input_error.h"
#include "ir/language/elaborator.h"

namespace heed {
namespace {

using Operator = syntax::BinaryOperator;
using Compare = syntax::CompareOperator;

// The comparison of two values that are no arrays; none if one is.
std::optional<bool> compared(Compare op, const Value& a, const Value& b) {
  if (is_number(a) && is_number(b)) {
    double x = number_of(a), y = number_of(b);
    switch (op) {
      case Compare::equal:
        return x == y;
      case Compare::not_equal:
        return x != y;
      case Compare::less:
        return x < y;
      case Compare::less_equal:
        return x <= y;
      case Compare::greater:
        return x > y;
      case Compare::greater_equal:
        return x >= y;
    }
  }
  if (op != Compare::equal && op != Compare::not_equal) return std::nullopt;
  std::optional<bool> same;
  if (is<Nothing>(a) || is<Nothing>(b))
    same = is<Nothing>(a) && is<Nothing>(b);
  else if (is<Text>(a) && is<Text>(b))
    same = get_if<Text>(a)->text == get_if<Text>(b)->text;
  else if (is<bool>(a) && is<bool>(b))
    same = *get_if<bool>(a) == *get_if<bool>(b);
  else if (is<DType>(a) && is<DType>(b))
    same = *get_if<DType>(a) == *get_if<DType>(b);
  if (same && op == Compare::not_equal) same = !*same;
  return same;
}

}  // namespace

void Elaborator::report(const Mistake& mistake, Span fallback) {
  Span span = mistake.span.file ? mistake.span : fallback;
  // What goes wrong inside of the library is the caller's: it is said at the call.
  bool in_library = !frames_.empty() && frames_.back().is_library;
  if (!in_library) return diagnostics.error(span, mistake.message, mistake.help);
  std::size_t k = frames_.size();
  while (k > 1 && frames_[k - 2].is_library) --k;
  diagnostics.error(frames_[k - 1].call, fmt::format("in `{}`: {}", frames_[k - 1].name, mistake.message));
}

Value Elaborator::evaluate(const syntax::Expression& expression, Scope& scope) {
  int depth = index_depth_;
  std::size_t guards = guards_.size(), frames = frames_.size();
  auto recover = [&] {
    index_depth_ = depth;
    guards_.resize(guards);
    frames_.resize(frames);
    builder.name_hint.clear();
    return Unknown{};
  };
  try {
    Value value = evaluate_node(expression, scope);
    return flat_ && in_index_notation() ? flat_value(value) : value;
  } catch (const Mistake& mistake) {
    Value unknown = recover();
    report(mistake, expression.span);
    return unknown;
  } catch (const InputError& error) {
    Value unknown = recover();
    report({{}, error.what(), ""}, expression.span);
    return unknown;
  } catch (const Unreported&) {
    return recover();
  }
}

Value Elaborator::evaluate_node(const syntax::Expression& expression, Scope& scope) {
  const auto& node = expression.node;
  if (const auto* number = std::get_if<syntax::Number>(&node)) {
    if (number->integer) return Dimension(*number->integer);
    return Real{number->real, ""};
  }
  if (const auto* text = std::get_if<syntax::String>(&node)) return Text{text->value};
  if (const auto* truth = std::get_if<syntax::Truth>(&node)) return truth->value;
  if (std::holds_alternative<syntax::Nothing>(node)) return Nothing{};
  if (const auto* reference = std::get_if<syntax::Reference>(&node)) {
    if (auto found = lookup(reference->name, scope)) return *found;
    std::vector<std::string> known;
    for (const Scope* s = &scope; s; s = s->outer)
      for (const auto& entry : s->names) known.push_back(entry.first);
    for (const std::string& name : top_level_names(*scope.module)) known.push_back(name);
    if (scope.module->prelude)
      for (const std::string& name : top_level_names(*scope.module->prelude)) known.push_back(name);
    for (const Operation* operation : operations()) known.emplace_back(operation->name);
    throw Mistake{expression.span, fmt::format("`{}` is not defined", reference->name), did_you_mean(reference->name, known)};
  }
  if (const auto* member = std::get_if<syntax::Member>(&node)) {
    if (auto path = syntax::path_of(expression))
      for (const Scope* s = &scope; s; s = s->outer)
        if (auto found = s->names.find(*path); found != s->names.end()) return found->second;
    return member_of(evaluate(*member->object, scope), member->name);
  }
  if (const auto* unary = std::get_if<syntax::Unary>(&node)) {
    Value operand = evaluate(*unary->operand, scope);
    if (unary->op == syntax::UnaryOperator::plus) return operand;
    if (unary->op == syntax::UnaryOperator::negate) {
      if (const auto* size = get_if<Dimension>(operand)) return Dimension(0) - *size;
      if (const auto* real = get_if<Real>(operand)) return Real{-real->value, ""};
      return apply("negate", expression.span, {operand}, {unary->operand->span});
    }
    if (const auto* truth = get_if<bool>(operand)) return !*truth;
    return apply("not", expression.span, {operand}, {unary->operand->span});
  }
  if (const auto* binary = std::get_if<syntax::Binary>(&node)) return evaluate_binary(*binary, expression, scope);
  if (const auto* comparison = std::get_if<syntax::Comparison>(&node)) return evaluate_comparison(*comparison, expression, scope);
  if (const auto* list = std::get_if<syntax::List>(&node)) {
    std::vector<Value> items;
    for (const auto& item : list->items) items.push_back(evaluate(*item, scope));
    return list_of(std::move(items));
  }
  if (const auto* call = std::get_if<syntax::Call>(&node)) return evaluate_call(*call, expression, scope);
  if (const auto* index = std::get_if<syntax::Index>(&node)) return subscript(*index, expression, scope);
  if (const auto* body = std::get_if<syntax::Scan>(&node)) return scan(*body, expression.span, scope);
  if (const auto* body = std::get_if<syntax::Region>(&node)) return region(*body, expression.span, scope);
  throw Mistake{expression.span, "a range `a..b` stands only in `for` and `scan`", "numbers as an array: `iota(n)`"};
}

std::optional<Value> Elaborator::lookup(const std::string& name, const Scope& scope) {
  for (const Scope* s = &scope; s; s = s->outer)
    if (auto found = s->names.find(name); found != s->names.end()) return found->second;
  for (const Module* m = scope.module; m; m = m->prelude.get()) {
    if (m->lets.contains(name)) return top_level_let(*m, name);
    if (auto found = m->functions.find(name); found != m->functions.end()) return Callable{found->second, m};
    if (auto found = m->imports.find(name); found != m->imports.end()) return ModuleValue{found->second.get()};
    if (m->lost.contains(name)) return Unknown{};
  }
  if (name == "training") return builder.training;
  if (name == "step") return ShapedArray{builder.step()->array, {}};
  if (name == "seed") return ShapedArray{builder.seed()->array, {}};
  if (name == "lowest") return Real{std::numeric_limits<float>::lowest(), ""};
  if (auto dtype = dtype_named(name)) return *dtype;
  if (const Operation* operation = find_operation(name)) return OperationValue{operation};
  return std::nullopt;
}

Value Elaborator::member_of(const Value& object, const syntax::Name& name) {
  if (is<Unknown>(object)) return Unknown{};
  if (const auto* instance = get_if<InstanceValue>(object)) return member_of_instance(instance->instance, name);
  if (const auto* target = get_if<ModuleValue>(object)) {
    if (auto found = target->module->functions.find(name.text); found != target->module->functions.end())
      return Callable{found->second, target->module};
    if (target->module->lets.contains(name.text)) return top_level_let(*target->module, name.text);
    std::vector<std::string> known = top_level_names(*target->module);
    throw Mistake{name.span, fmt::format("`{}` has no `{}`", target->module->source.name, name.text), did_you_mean(name.text, known)};
  }
  const auto* list = get_if<List>(object);
  bool is_index = !name.text.empty() && std::all_of(name.text.begin(), name.text.end(), [](char c) { return c >= '0' && c <= '9'; });
  if (list && is_index) {
    std::size_t k = std::stoul(name.text);
    if (k < list->items->size()) return (*list->items)[k];
    throw Mistake{name.span, fmt::format("item {} of {} items", k, list->items->size())};
  }
  throw Mistake{name.span, fmt::format("{} has no member `{}`", describe(object), name.text)};
}

void Elaborator::mark_origin(Span span, std::string_view what) {
  Origin origin{span.file ? span.file->name : "", builder.place, std::string(what), span.line};
  for (std::size_t k = frames_.size(); k-- > 0 && frames_[k].is_library;) {
    origin.file = frames_[k].call.file ? frames_[k].call.file->name : "";
    origin.line = frames_[k].call.line;
    origin.what = frames_[k].name;
  }
  builder.arena().set_origin(std::move(origin));
}

Value Elaborator::apply(std::string_view operation, Span span, std::vector<Value> values, std::vector<Span> spans) {
  mark_origin(span, operation);
  return apply_operation(builder, *find_operation(operation), span, std::move(values), std::move(spans));
}

Value Elaborator::evaluate_binary(const syntax::Binary& binary, const syntax::Expression& expression, Scope& scope) {
  std::string name = std::exchange(builder.name_hint, {});
  Value left = evaluate(*binary.left, scope);
  if (binary.op == Operator::logical_and || binary.op == Operator::logical_or) {
    if (const auto* truth = get_if<bool>(left); truth && *truth == (binary.op == Operator::logical_or)) return *truth;
  }
  Value right;
  const auto* guard = get_if<Scalar>(left);
  if (binary.op == Operator::logical_and && guard && guard->dtype == DType::boolean)
    right = evaluate_under(guard->expression, *binary.right, scope);
  else
    right = evaluate(*binary.right, scope);
  if (is<Unknown>(left) || is<Unknown>(right)) return Unknown{};
  if (auto number = number_operation(binary.op, left, right, expression.span, builder)) return *number;
  builder.name_hint = std::move(name);
  return apply(spelling(binary.op), expression.span, {left, right}, {binary.left->span, binary.right->span});
}

Value Elaborator::evaluate_comparison(const syntax::Comparison& comparison, const syntax::Expression& expression, Scope& scope) {
  std::string name = std::exchange(builder.name_hint, {});
  std::vector<Value> operands;
  for (const auto& operand : comparison.operands) operands.push_back(evaluate(*operand, scope));
  for (const Value& operand : operands)
    if (has_unknown(operand)) return Unknown{};
  std::optional<Value> result;
  for (std::size_t k = 0; k < comparison.operators.size(); ++k) {
    Value link;
    std::vector<Span> spans{comparison.operands[k]->span, comparison.operands[k + 1]->span};
    if (comparison.operators.size() == 1) builder.name_hint = name;
    if (auto truth = compared(comparison.operators[k], operands[k], operands[k + 1]))
      link = *truth;
    else
      link = apply(spelling(comparison.operators[k]), expression.span, {operands[k], operands[k + 1]}, spans);
    result = result ? apply("and", expression.span, {*result, link}, {expression.span, expression.span}) : link;
  }
  return *result;
}

}  // namespace heed
