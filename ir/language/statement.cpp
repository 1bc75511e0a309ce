// Runs blocks: assignments bind names, `for` and `if` are unrolled.
#include <fmt/format.h>

#include <algorithm>

#include "input_error.h"
#include "ir/language/elaborator.h"

namespace heed {
namespace {

constexpr std::int64_t longest_loop = 100000;

// `a: f32[b: B, n: 256]`: every dimension names its axis; also `a: f32`.
std::optional<std::vector<syntax::AxisBinding>> flat_axes(const syntax::Type& type) {
  std::vector<syntax::AxisBinding> axes;
  for (const syntax::Dimension& dimension : type.dimensions) {
    if (!dimension.axis || !dimension.size) return std::nullopt;
    axes.push_back({*dimension.axis, dimension.size.get()});
  }
  return axes;
}

// Names that a block would bind become unknown.
void forget(const syntax::Block& block, Scope& scope, bool& returns) {
  for (const syntax::Statement& statement : block) {
    auto bind = [&](const syntax::Name& name) { scope.names[name.text] = Unknown{}; };
    if (const auto* assignment = std::get_if<syntax::Assignment>(&statement.node))
      for (const syntax::Target& target : assignment->targets) bind(target.name);
    else if (const auto* param = std::get_if<syntax::Param>(&statement.node))
      bind(param->name);
    else if (const auto* state = std::get_if<syntax::State>(&statement.node))
      bind(state->name);
    else if (const auto* instance = std::get_if<syntax::Instance>(&statement.node))
      bind(instance->name);
    else if (const auto* loop = std::get_if<syntax::For>(&statement.node))
      forget(loop->body, scope, returns);
    else if (const auto* choice = std::get_if<syntax::If>(&statement.node)) {
      forget(choice->then, scope, returns);
      forget(choice->otherwise, scope, returns);
    }
    returns |= std::holds_alternative<syntax::Return>(statement.node);
  }
}

bool makes_whole_arrays(const syntax::Expression& expression) {
  return std::holds_alternative<syntax::Scan>(expression.node) || std::holds_alternative<syntax::Region>(expression.node);
}

}  // namespace

void Elaborator::assign(const std::vector<syntax::Target>& targets, Value value, Scope& scope, Span span) {
  std::vector<Value> values{value};
  if (targets.size() > 1) {
    const auto* list = get_if<List>(value);
    if (is<Unknown>(value))
      values.assign(targets.size(), Unknown{});
    else if (list)
      values = *list->items;
    if (values.size() != targets.size()) {
      diagnostics.error(targets[0].name.span,
                        fmt::format("{} names for {} value{}", targets.size(), values.size(), values.size() == 1 ? "" : "s"));
      values.assign(targets.size(), Unknown{});
    }
  }
  for (std::size_t k = 0; k < targets.size(); ++k) {
    const syntax::Target& target = targets[k];
    Value& bound = values[k];
    try {
      if (is<Scalar>(bound) && !in_index_notation()) bound = settle(bound, span);
      if (target.type && !has_unknown(bound)) bound = matched(*target.type, {bound, span}, scope, fmt::format("`{}`", target.name.text));
    } catch (const Mistake& mistake) {
      report(mistake, span);
      bound = Unknown{};
    } catch (const Unreported&) {
      bound = Unknown{};
    }
    scope.names[target.name.text] = bound;
  }
}

void Elaborator::run(const syntax::Block& block, Scope& scope, Flow& flow) {
  for (const syntax::Statement& statement : block) {
    if (flow.ended) return;
    try {
      run_statement(statement, scope, flow);
    } catch (const Mistake& mistake) {
      report(mistake, statement.span);
    } catch (const InputError& error) {
      report({{}, error.what(), ""}, statement.span);
    } catch (const Unreported&) {
    }
  }
}

void Elaborator::run_statement(const syntax::Statement& statement, Scope& scope, Flow& flow) {
  if (const auto* assignment = std::get_if<syntax::Assignment>(&statement.node)) {
    run_assignment(*assignment, scope);
  } else if (const auto* param = std::get_if<syntax::Param>(&statement.node)) {
    scope.names[param->name.text] = Unknown{};
    declare_parameter(*param, scope);
  } else if (const auto* state = std::get_if<syntax::State>(&statement.node)) {
    scope.names[state->name.text] = Unknown{};
    declare_state(*state, scope);
  } else if (const auto* instance = std::get_if<syntax::Instance>(&statement.node)) {
    scope.names[instance->name.text] = Unknown{};
    declare_instance(*instance, scope);
  } else if (const auto* loop = std::get_if<syntax::For>(&statement.node)) {
    run_loop(*loop, scope, flow);
  } else if (const auto* choice = std::get_if<syntax::If>(&statement.node)) {
    Value condition = evaluate(*choice->condition, scope);
    const auto* truth = get_if<bool>(condition);
    if (truth) return run(*truth ? choice->then : choice->otherwise, scope, flow);
    // Which branch counts is unknown, and so is all that either would bind.
    bool returns = false;
    forget(choice->then, scope, returns);
    forget(choice->otherwise, scope, returns);
    if (returns) flow.ended = true, flow.returned.emplace(1, Evaluated{Unknown{}, statement.span});
    if (!is<Unknown>(condition))
      throw Mistake{choice->condition->span,
                    fmt::format("`if` chooses while compiling, but {} is known only when it runs", describe(condition)),
                    "choose between values by `where(condition, a, b)`"};
  } else if (const auto* result = std::get_if<syntax::Return>(&statement.node)) {
    flow.ended = true;
    flow.returned.emplace();
    for (const auto& value : result->values) {
      Value returned = evaluate(*value, scope);
      if (is<Scalar>(returned) && !in_index_notation()) returned = settle(returned, value->span);
      flow.returned->push_back({returned, value->span});
    }
  } else if (const auto* yield = std::get_if<syntax::Yield>(&statement.node)) {
    if (!scope.in_scan) throw Mistake{statement.span, "`yield` stands in the body of a `scan`"};
    for (const auto& value : yield->values) {
      Value yielded = evaluate(*value, scope);
      flow.yielded.push_back({is<Scalar>(yielded) ? Value(settle(yielded, value->span)) : yielded, value->span});
    }
  }
}

void Elaborator::run_assignment(const syntax::Assignment& assignment, Scope& scope) {
  const auto& targets = assignment.targets;
  const syntax::Target& first = targets[0];
  // Names are known from here on, whatever goes wrong.
  auto is_flat_definition = [&](const syntax::Type& type, const syntax::Expression& value) {
    return !makes_whole_arrays(value) && (!type.dimensions.empty() || is_flat(value, scope));
  };
  auto settle_names = [&](const Value& value) {
    for (const syntax::Target& target : targets) scope.names[target.name.text] = value;
  };
  builder.name_hint = first.name.text;
  try {
    if (assignment.update) {
      if (targets.size() != 1) throw Mistake{first.name.span, "`:=` sets one state at a time"};
      Value value = evaluate(*assignment.value, scope);
      if (!has_unknown(value)) set_state(first, value, scope, assignment.value->span);
    } else if (targets.size() == 1 && !first.subscripts.empty()) {
      auto axes = syntax::axis_bindings(first.subscripts);
      if (!axes) throw Mistake{first.name.span, fmt::format("a definition names its axes: `{}[i, j: 8] = …`", first.name.text)};
      scope.names[first.name.text] = define_at_axes(*axes, std::nullopt, *assignment.value, scope);
    } else if (auto axes = targets.size() == 1 && first.type && is_flat_definition(*first.type, *assignment.value) ? flat_axes(*first.type)
                                                                                                                   : std::nullopt) {
      Temporarily flat(flat_, true);
      scope.names[first.name.text] = define_at_axes(*axes, first.type->dtype, *assignment.value, scope);
    } else {
      for (const syntax::Target& target : targets)
        if (!target.subscripts.empty()) throw Mistake{target.name.span, "a definition at named axes stands alone"};
      assign(targets, evaluate(*assignment.value, scope), scope, assignment.value->span);
    }
  } catch (...) {
    builder.name_hint.clear();
    if (!assignment.update) settle_names(Unknown{});
    throw;
  }
  builder.name_hint.clear();
}

void Elaborator::run_loop(const syntax::For& loop, Scope& scope, Flow& flow) {
  std::vector<Value> items;
  if (const auto* range = std::get_if<syntax::Range>(&loop.range->node)) {
    Value first = evaluate(*range->first, scope), end = evaluate(*range->end, scope);
    if (is<Unknown>(first) || is<Unknown>(end)) throw Unreported{};
    const auto *low = get_if<Dimension>(first), *high = get_if<Dimension>(end);
    if (!low || !high)
      throw Mistake{loop.range->span,
                    fmt::format("a loop runs over whole numbers known at compile time, not from {} to {}", describe(first), describe(end))};
    if (high->value - low->value > longest_loop)
      throw Mistake{loop.range->span, fmt::format("a loop of {} rounds is unrolled: at most {}", high->value - low->value, longest_loop),
                    "use `scan` for long recurrences"};
    for (std::int64_t k = low->value; k < high->value; ++k) items.emplace_back(Dimension(k));
  } else {
    Value over = evaluate(*loop.range, scope);
    if (is<Unknown>(over)) {
      bool returns = false;
      scope.names[loop.variable.text] = Unknown{};
      forget(loop.body, scope, returns);
      throw Unreported{};
    }
    const auto* list = get_if<List>(over);
    if (!list)
      throw Mistake{loop.range->span, fmt::format("`for` runs over `0..n`, a list or an array of layers, not {}", describe(over)),
                    is<ShapedArray>(over) ? "run over the leading axis of an array by `scan`" : ""};
    items = *list->items;
  }
  for (Value& item : items) {
    if (flow.ended) return;
    scope.names[loop.variable.text] = item;
    run(loop.body, scope, flow);
  }
}

}  // namespace heed
