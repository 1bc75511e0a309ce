// Calls: arguments meet parameters, functions and layers run in place.
#include <fmt/format.h>

#include <algorithm>

#include "ir/language/elaborator.h"

namespace heed {
namespace {

constexpr std::size_t deepest_call = 200;

struct Slot {
  std::string name;
  bool required;
};

// Which argument goes to which parameter; -1: none given. Those that fit nowhere are mistakes, or are left over for operations that take
// more.
struct Assignment {
  std::vector<const Evaluated*> given;
  std::vector<const Evaluated*> more;
  std::vector<std::pair<std::string, Value>> further;
};

Assignment assign_arguments(const std::vector<Slot>& slots, const Arguments& arguments, const std::string& callee, Span span,
                            bool takes_more) {
  Assignment result;
  result.given.resize(slots.size(), nullptr);
  for (std::size_t k = 0; k < arguments.positional.size(); ++k) {
    if (k < slots.size())
      result.given[k] = &arguments.positional[k];
    else if (takes_more)
      result.more.push_back(&arguments.positional[k]);
    else
      throw Mistake{arguments.positional[k].span, fmt::format("`{}` takes {} argument{}, but {} are given", callee, slots.size(),
                                                              slots.size() == 1 ? "" : "s", arguments.positional.size())};
  }
  for (const auto& [name, value] : arguments.named) {
    auto slot = std::find_if(slots.begin(), slots.end(), [&](const Slot& s) { return s.name == name.text; });
    if (slot == slots.end()) {
      if (takes_more) {
        result.further.emplace_back(name.text, value.value);
        continue;
      }
      std::vector<std::string> known;
      for (const Slot& s : slots) known.push_back(s.name);
      std::string help = did_you_mean(name.text, known);
      if (help.empty() && !known.empty()) help = "it takes " + list_in_words(known);
      throw Mistake{name.span, fmt::format("`{}` has no parameter `{}`", callee, name.text), help};
    }
    auto& place = result.given[slot - slots.begin()];
    if (place) throw Mistake{name.span, fmt::format("`{}` of `{}` is given twice", name.text, callee)};
    place = &value;
  }
  for (std::size_t k = 0; k < slots.size(); ++k)
    if (slots[k].required && !result.given[k]) throw Mistake{span, fmt::format("`{}` needs `{}`", callee, slots[k].name)};
  return result;
}

}  // namespace

Arguments Elaborator::arguments_of(const std::vector<syntax::Argument>& arguments, Scope& scope) {
  Arguments result;
  for (const syntax::Argument& argument : arguments) {
    Evaluated value{evaluate(*argument.value, scope), argument.value->span};
    if (argument.name)
      result.named.emplace_back(*argument.name, value);
    else
      result.positional.push_back(value);
  }
  return result;
}

Value Elaborator::evaluate_call(const syntax::Call& call, const syntax::Expression& expression, Scope& scope) {
  std::string name = std::exchange(builder.name_hint, {});
  // `sum[k: 64](…)`: a reduction over named axes.
  if (const auto* index = std::get_if<syntax::Index>(&call.callee->node)) {
    const auto* reference = std::get_if<syntax::Reference>(&index->object->node);
    auto callee = reference ? lookup(reference->name, scope) : std::nullopt;
    const auto* operation = callee ? get_if<OperationValue>(*callee) : nullptr;
    if (operation) {
      auto axes = syntax::axis_bindings(index->subscripts);
      if (!operation->operation->over) throw Mistake{call.callee->span, fmt::format("`{}` is no reduction over axes", reference->name)};
      if (!axes)
        throw Mistake{call.callee->span, fmt::format("a reduction names its axes: `{0}[i](…)` or `{0}[i: 8](…)`", reference->name)};
      if (call.arguments.size() != 1 || call.arguments[0].name)
        throw Mistake{expression.span, fmt::format("`{}` over axes takes one expression, not {}", reference->name, call.arguments.size())};
      mark_origin(expression.span, reference->name);
      return reduce_over_axes(*operation->operation, *axes, *call.arguments[0].value, scope);
    }
  }
  if (const auto* reference = std::get_if<syntax::Reference>(&call.callee->node);
      reference && reference->name == "with" && in_index_notation() && !lookup("with", scope))
    return evaluate_with(call, expression.span, scope);
  Value callee = evaluate(*call.callee, scope);
  if (is<Unknown>(callee)) {
    arguments_of(call.arguments, scope);  // for their own mistakes
    return Unknown{};
  }
  const auto* operation = get_if<OperationValue>(callee);
  if (operation && operation->operation->chooses && in_index_notation() && call.arguments.size() == 3) {
    Value condition = evaluate(*call.arguments[0].value, scope);
    const auto* guard = get_if<Scalar>(condition);
    if (guard && guard->dtype == DType::boolean) {
      Value first = evaluate_under(guard->expression, *call.arguments[1].value, scope);
      Value second = evaluate_under(negate(guard->expression), *call.arguments[2].value, scope);
      return apply(operation->operation->name, expression.span, {condition, first, second},
                   {call.arguments[0].value->span, call.arguments[1].value->span, call.arguments[2].value->span});
    }
  }
  Arguments arguments = arguments_of(call.arguments, scope);
  builder.name_hint = std::move(name);
  return this->call(callee, arguments, expression.span);
}

Value Elaborator::call(const Value& callee, const Arguments& arguments, Span span) {
  if (is<Unknown>(callee)) return Unknown{};
  if (const auto* operation = get_if<OperationValue>(callee)) {
    const Operation& record = *operation->operation;
    std::vector<OperationParameter> parameters = parameters_of(record);
    std::vector<Slot> slots;
    for (const OperationParameter& parameter : parameters) slots.push_back({parameter.name, !parameter.fallback});
    Assignment assigned =
        assign_arguments(slots, arguments, std::string(record.name), span, record.signature.find("…") != std::string_view::npos);
    std::vector<Value> values;
    std::vector<Span> spans;
    for (std::size_t k = 0; k < parameters.size(); ++k) {
      values.push_back(assigned.given[k] ? assigned.given[k]->value : *parameters[k].fallback);
      spans.push_back(assigned.given[k] ? assigned.given[k]->span : span);
    }
    for (const Evaluated* value : assigned.more) values.push_back(value->value), spans.push_back(value->span);
    for (const auto& entry : assigned.further)
      if (has_unknown(entry.second)) return Unknown{};
    mark_origin(span, record.name);
    return apply_operation(builder, record, span, std::move(values), std::move(spans), std::move(assigned.further));
  }
  if (const auto* dtype = get_if<DType>(callee)) return call(OperationValue{find_operation(name_of(*dtype))}, arguments, span);
  if (const auto* callable = get_if<Callable>(callee)) {
    using Kind = syntax::Function::Kind;
    if (callable->definition->kind == Kind::layer || callable->definition->kind == Kind::optimizer) return make(*callable, arguments, span);
    if (callable->definition->kind == Kind::model)
      throw Mistake{span, fmt::format("the model `{}` cannot be called", callable->definition->name.text),
                    "make it a `layer`, or a `fn` if it has no parameters"};
    return call_function(*callable, arguments, span);
  }
  if (const auto* instance = get_if<InstanceValue>(callee)) return call_instance(instance->instance, arguments, span);
  if (is<Maker>(callee))
    throw Mistake{span, fmt::format("{} is called before it is made", describe(callee)),
                  "make it first: `layer name = …`, then call `name(…)`"};
  if (is<List>(callee)) throw Mistake{span, "a list cannot be called", "call each of an array of layers: `for b in name { x = b(x) }`"};
  throw Mistake{span, fmt::format("{} cannot be called", describe(callee))};
}

std::map<std::string, Evaluated> Elaborator::bind(const std::vector<syntax::Parameter>& parameters, const Arguments& arguments,
                                                  const std::string& callee, Span span, Scope& scope) {
  std::vector<Slot> slots;
  for (const syntax::Parameter& parameter : parameters) slots.push_back({parameter.name.text, !parameter.fallback});
  Assignment assigned = assign_arguments(slots, arguments, callee, span, false);
  std::map<std::string, Evaluated> result;
  for (std::size_t k = 0; k < parameters.size(); ++k) {
    const syntax::Parameter& parameter = parameters[k];
    Evaluated value = assigned.given[k] ? *assigned.given[k] : Evaluated{evaluate(*parameter.fallback, scope), span};
    if (parameter.type && !is<Unknown>(value.value) && (assigned.given[k] || !is<Nothing>(value.value)))
      value.value = matched(*parameter.type, value, scope, fmt::format("`{}` takes `{}`", callee, parameter.name.text));
    else if (parameter.type)
      forget_symbols(*parameter.type, scope);
    scope.names[parameter.name.text] = value.value;
    result.emplace(parameter.name.text, value);
  }
  return result;
}

Maker Elaborator::make(const Callable& callable, const Arguments& settings, Span span) {
  Scope scope{callable.module};
  auto bound = bind(callable.definition->settings, settings, callable.definition->name.text, span, scope);
  return {callable, std::make_shared<const std::map<std::string, Value>>(std::move(scope.names))};
}

Value Elaborator::call_function(const Callable& callable, const Arguments& arguments, Span span) {
  Scope scope{callable.module};
  bind(callable.definition->inputs, arguments, callable.definition->name.text, span, scope);
  return run_body(callable, scope, span);
}

Value Elaborator::call_instance(const std::shared_ptr<Instance>& instance, const Arguments& arguments, Span span) {
  const Callable& callable = instance->maker.callable;
  Scope scope{callable.module, nullptr, *instance->maker.settings, instance};
  bind(callable.definition->inputs, arguments, instance->path.empty() ? callable.definition->name.text : instance->path, span, scope);
  Temporarily place(builder.place, instance->path);
  return run_body(callable, scope, span);
}

Value Elaborator::run_body(const Callable& callable, Scope& scope, Span span) {
  const syntax::Function& definition = *callable.definition;
  if (frames_.size() >= deepest_call) throw Mistake{span, fmt::format("`{}` calls itself without end", definition.name.text)};
  frames_.push_back({definition.name.text, span, callable.module->is_library});
  std::string name = std::exchange(builder.name_hint, {});
  Flow flow;
  run(definition.body, scope, flow);
  std::vector<Value> values;
  if (!flow.returned) {
    frames_.pop_back();
    throw Mistake{definition.name.span, fmt::format("`{}` returns nothing", definition.name.text), "end it with `return …`"};
  }
  const auto& results = definition.results;
  std::vector<Evaluated> returned = *flow.returned;
  if (returned.size() == 1 && results.size() > 1)
    if (const auto* list = get_if<List>(returned[0].value)) {
      std::vector<Evaluated> items;
      for (const Value& item : *list->items) items.push_back({item, returned[0].span});
      returned = items;
    }
  bool unknown = returned.size() == 1 && is<Unknown>(returned[0].value);
  try {
    if (!results.empty() && returned.size() != results.size() && !unknown)
      throw Mistake{returned.empty() ? definition.end : returned[0].span,
                    fmt::format("`{}` promises {} result{}, but returns {}", definition.name.text, results.size(),
                                results.size() == 1 ? "" : "s", returned.size())};
    for (std::size_t k = 0; k < returned.size(); ++k) {
      Value value = returned[k].value;
      if (k < results.size() && !has_unknown(value))
        value = matched(results[k].type, returned[k], scope,
                        fmt::format("`{}` promises{}", definition.name.text, results[k].name ? " `" + results[k].name->text + "`" : ""));
      values.push_back(value);
    }
  } catch (const Mistake& mistake) {
    report(mistake, span);
    values.assign(std::max<std::size_t>(results.size(), 1), Unknown{});
  }
  frames_.pop_back();
  if (unknown) values.assign(std::max<std::size_t>(results.size(), 1), Unknown{});
  return values.size() == 1 ? values[0] : Value(list_of(std::move(values)));
}

}  // namespace heed
