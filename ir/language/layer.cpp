// What layers own: parameters, states and inner layers, found again by name at every further call.
#include <fmt/format.h>

#include "ir/language/elaborator.h"

namespace heed {
namespace {

constexpr std::int64_t most_layers = 10000;

std::string path_in(const Instance& instance, const std::string& name) { return instance.path.empty() ? name : instance.path + "." + name; }

std::vector<std::int64_t> values_of(const std::vector<Dimension>& shape) {
  std::vector<std::int64_t> result;
  for (const Dimension& dimension : shape) result.push_back(dimension.value);
  return result;
}

Instance& owner(const Scope& scope, const syntax::Name& name, const char* what) {
  for (const Scope* s = &scope; s; s = s->outer) {
    if (s->in_scan)
      throw Mistake{name.span, fmt::format("a {} cannot be declared in the body of a scan", what), "declare it before the scan"};
    if (s->instance) return *s->instance;
  }
  throw Mistake{name.span, fmt::format("a {} belongs to a layer or model, not to a function", what), "make the function a `layer`"};
}

// Parameters and states that an initial value reads are what they begin as.
ArrayRef from_initial_values(ArrayRef initial, const std::vector<GraphInput>& inputs) {
  std::unordered_map<ArrayRef, ArrayRef> table;
  for (const GraphInput& input : inputs)
    if (input.initial) table.emplace(input.array, input.initial);
  for (ArrayRef array : in_order(std::vector{initial})) {
    if (array->kind != Array::Kind::definition) continue;
    Expr body = replace_arrays(array->body, table);
    if (body != array->body) table[array] = define(positions(array), body, array->dtype, array->name);
  }
  auto found = table.find(initial);
  return found == table.end() ? initial : found->second;
}

// Initial values are computed before the first step: nothing but the seed is known then.
void refuse_inputs(ArrayRef initial, const std::string& path, Span span) {
  for (ArrayRef array : in_order(std::vector{initial}))
    if (array->kind == Array::Kind::input && array->name != "seed")
      throw Mistake{span, fmt::format("the initial value of `{}` depends on `{}`, which is known only when it runs", path, array->name)};
}

}  // namespace

// Computed before the first step: the place of random numbers is the parameter's path.
ArrayRef Elaborator::initial_value(const syntax::Expression* expression, const syntax::Type* type, const ShapedArray& filled,
                                   const std::string& path, Scope& scope) {
  Temporarily place(builder.place, path);
  Temporarily fills(builder.filled, std::optional(filled));
  Temporarily outside(builder.turns, std::vector<Builder::Turn>{});  // where a layer is first called in a scan's body
  auto constant = [&](const Value& number, Span span) {
    Scalar scalar = scalar_of(builder, number, filled.dtype(), span);
    return builder.define(filled.shape, filled.dtype(), [&](std::span<const Expr>) { return scalar.expression; }).array;
  };
  if (!expression) return constant(filled.dtype() == DType::boolean ? Value(false) : Value(Dimension(0)), {});
  std::vector<syntax::AxisBinding> axes;  // of the flat form
  bool named = type && !type->dimensions.empty();
  for (std::size_t k = 0; named && k < type->dimensions.size(); ++k) {
    named = type->dimensions[k].axis.has_value();
    if (named) axes.push_back({*type->dimensions[k].axis, type->dimensions[k].size.get()});
  }
  if (named || (type && type->dimensions.empty() && is_flat(*expression, scope))) {
    Temporarily flat(flat_, true);
    return define_at_axes(axes, filled.dtype(), *expression, scope).array;
  }
  Value value = evaluate(*expression, scope);
  if (is<OperationValue>(value) || is<Callable>(value)) value = call(value, {}, expression->span);
  if (has_unknown(value)) throw Unreported{};
  if (is_compile_time_scalar(value)) return constant(value, expression->span);
  ShapedArray result = is<Scalar>(value) ? settle(value, expression->span) : array_of(builder, value, expression->span, filled.dtype());
  Mistake mismatch{expression->span, fmt::format("`{}` is {}, but its initial value is {}", path, describe(filled), describe(result)), ""};
  if (result.dtype() != filled.dtype()) {
    mismatch.help = fmt::format("convert it: `{}({})`", name_of(filled.dtype()), source_text(expression->span));
    throw mismatch;
  }
  if (result.shape == filled.shape) return result.array;
  if (result.shape.size() > filled.shape.size()) throw mismatch;
  for (std::size_t k = 0; k < result.shape.size(); ++k) {
    const Dimension& size = result.shape[result.shape.size() - 1 - k];
    if (!(size == Dimension(1)) && !(size == filled.shape[filled.shape.size() - 1 - k])) throw mismatch;
  }
  return builder
      .define(filled.shape, filled.dtype(),
              [&](std::span<const Expr> positions) { return at(result, broadcast_positions(result.shape, positions, builder.arena())); })
      .array;
}

void Elaborator::declare_parameter(const syntax::Param& param, Scope& scope) {
  Instance& instance = owner(scope, param.name, "parameter");
  std::vector<Dimension> shape = shape_of(param.type, scope, false);
  auto known = instance.parameters.find(param.name.text);
  if (known == instance.parameters.end()) {
    std::string path = path_in(instance, param.name.text);
    for (const GraphInput& other : builder.graph.inputs)
      if (other.array->name == path) throw Mistake{param.name.span, fmt::format("`{}` is declared twice", path)};
    mark_origin(param.name.span, "param");
    ShapedArray array{input(builder.arena(), path, values_of(shape), param.type.dtype), shape};
    known = instance.parameters.emplace(param.name.text, array).first;
    std::size_t place = builder.graph.inputs.size();
    builder.graph.inputs.push_back({GraphInput::Role::parameter, array.array});
    ArrayRef initial = initial_value(param.initial.get(), &param.type, array, path, scope);
    initial = from_initial_values(initial, builder.graph.inputs);
    refuse_inputs(initial, path, param.initial ? param.initial->span : param.name.span);
    builder.graph.inputs[place].initial = initial;
  } else if (!(known->second.shape == shape)) {
    throw Mistake{param.name.span, fmt::format("`{}` is {} in one call and {} in another", path_in(instance, param.name.text),
                                               text_of(known->second.shape), text_of(shape))};
  }
  scope.names[param.name.text] = known->second;
}

void Elaborator::declare_state(const syntax::State& state, Scope& scope) {
  Instance& instance = owner(scope, state.name, "state");
  auto known = instance.states.find(state.name.text);
  if (known == instance.states.end()) {
    std::string path = path_in(instance, state.name.text);
    for (const GraphInput& other : builder.graph.inputs)
      if (other.array->name == path) throw Mistake{state.name.span, fmt::format("`{}` is declared twice", path)};
    mark_origin(state.name.span, "state");
    ShapedArray array;
    ArrayRef initial = nullptr;
    if (state.type) {
      std::vector<Dimension> shape = shape_of(*state.type, scope, false);
      array = {input(builder.arena(), path, values_of(shape), state.type->dtype), shape};
      initial = initial_value(state.initial.get(), &*state.type, array, path, scope);
    } else {
      if (!state.initial)
        throw Mistake{state.name.span, fmt::format("the state `{}` has neither a type nor an initial value", state.name.text)};
      Temporarily place(builder.place, path);
      Temporarily outside(builder.turns, std::vector<Builder::Turn>{});
      Value value = evaluate(*state.initial, scope);
      ShapedArray start = array_of(builder, value, state.initial->span);
      array = {input(builder.arena(), path, values_of(start.shape), start.dtype()), start.shape};
      initial = start.array;
    }
    initial = from_initial_values(initial, builder.graph.inputs);
    refuse_inputs(initial, path, state.initial ? state.initial->span : state.name.span);
    builder.graph.inputs.push_back({GraphInput::Role::state, array.array, initial});
    known = instance.states.emplace(state.name.text, Instance::State{array, array}).first;
    for (const Scope* s = &scope; s; s = s->outer)
      if (s->instance) {
        states.emplace_back(s->instance, state.name.text);
        break;
      }
  }
  scope.names[state.name.text] = known->second.current;
}

// In the flat form of a training step.
void Elaborator::set_parameter(const syntax::Target& target, const Value& value, Span span) {
  const ShapedArray& declared = root->parameters.at(target.name.text);
  ShapedArray next = array_of(builder, value, span, declared.dtype());
  if (next.dtype() != declared.dtype() || !(next.shape == declared.shape))
    throw Mistake{span, fmt::format("the parameter `{}` is {}, but it is set to {}", target.name.text, describe(declared), describe(next))};
  builder.graph.outputs.push_back({declared.array->name, next.array, declared.array});
}

void Elaborator::set_state(const syntax::Target& target, const Value& value, Scope& scope, Span span) {
  Instance* instance = nullptr;
  for (const Scope* s = &scope; s && !instance; s = s->outer) instance = s->instance.get();
  auto state = instance ? instance->states.find(target.name.text) : std::map<std::string, Instance::State>::iterator{};
  if (instance == root.get() && instance && instance->parameters.contains(target.name.text)) return set_parameter(target, value, span);
  if (!instance || state == instance->states.end())
    throw Mistake{target.name.span, fmt::format("`:=` sets a state, but `{}` is none", target.name.text),
                  fmt::format("declare it: `state {}: f32[…] = …`, or bind a name by `=`", target.name.text)};
  if (scan_depth_ > 0)
    throw Mistake{target.name.span, "a state cannot be set in the body of a scan", "carry the value and set the state after the scan"};
  const ShapedArray& declared = state->second.input;
  ShapedArray next = is<Scalar>(value)  ? settle(value, span)
                     : is_number(value) ? builder.constant(value, declared.dtype())
                                        : array_of(builder, value, span, declared.dtype());
  if (next.dtype() != declared.dtype() || !(next.shape == declared.shape))
    throw Mistake{span, fmt::format("the state `{}` is {}, but it is set to {}", target.name.text, describe(declared), describe(next))};
  state->second.current = next;
  state->second.is_set = true;
  scope.names[target.name.text] = next;
}

void Elaborator::declare_instance(const syntax::Instance& declared, Scope& scope) {
  Instance& parent = owner(scope, declared.name, "layer");
  auto known = parent.children.find(declared.name.text);
  if (known != parent.children.end()) {
    scope.names[declared.name.text] = known->second;
    return;
  }
  auto made = [&](const std::string& path) {
    Value maker = evaluate(*declared.maker, scope);
    if (is<Unknown>(maker)) throw Unreported{};
    if (const auto* callable = get_if<Callable>(maker); callable && callable->definition->kind == syntax::Function::Kind::layer)
      maker = make(*callable, {}, declared.maker->span);
    const auto* layer = get_if<Maker>(maker);
    if (!layer || layer->callable.definition->kind != syntax::Function::Kind::layer)
      throw Mistake{declared.maker->span, fmt::format("a layer is wanted here, not {}", describe(maker))};
    auto instance = std::make_shared<Instance>();
    instance->maker = *layer;
    instance->path = path;
    return Value(InstanceValue{instance});
  };
  std::string path = path_in(parent, declared.name.text);
  Value value;
  if (declared.count) {
    Dimension count = dimension_of(*declared.count, scope);
    if (count.value < 0 || count.value > most_layers)
      throw Mistake{declared.count->span, fmt::format("an array of {} layers: at least 0, at most {}", count.value, most_layers)};
    std::vector<Value> items;
    for (std::int64_t k = 0; k < count.value; ++k) items.push_back(made(fmt::format("{}.{}", path, k)));
    value = list_of(std::move(items));
  } else {
    value = made(path);
  }
  parent.children.emplace(declared.name.text, value);
  scope.names[declared.name.text] = value;
}

// A parameter may be read before the layer is first called, if its shape follows from the settings.
Value Elaborator::member_of_instance(const std::shared_ptr<Instance>& instance, const syntax::Name& name) {
  if (auto found = instance->parameters.find(name.text); found != instance->parameters.end()) return found->second;
  if (auto found = instance->states.find(name.text); found != instance->states.end()) return found->second.current;
  if (auto found = instance->children.find(name.text); found != instance->children.end()) return found->second;
  const Callable& callable = instance->maker.callable;
  Scope scope{callable.module, nullptr, *instance->maker.settings, instance};
  std::vector<std::string> known;
  for (const syntax::Statement& statement : callable.definition->body) {
    if (const auto* param = std::get_if<syntax::Param>(&statement.node)) {
      known.push_back(param->name.text);
      if (param->name.text == name.text) {
        declare_parameter(*param, scope);
        return scope.names[name.text];
      }
    } else if (const auto* inner = std::get_if<syntax::Instance>(&statement.node)) {
      known.push_back(inner->name.text);
      if (inner->name.text == name.text) {
        declare_instance(*inner, scope);
        return scope.names[name.text];
      }
    }
  }
  throw Mistake{name.span, fmt::format("the layer `{}` has no `{}`", callable.definition->name.text, name.text),
                did_you_mean(name.text, known)};
}

}  // namespace heed
