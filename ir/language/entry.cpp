// From a definition to a graph: inputs of the declared types, settings of the command line, results and updates as outputs.
#include <fmt/format.h>

#include <algorithm>

#include "input_error.h"
#include "ir/language/elaborator.h"
#include "ir/language/train_keys.h"

namespace heed {
namespace {

using Kind = syntax::Function::Kind;

// Sizes of a parameter list's types name these settings: they stand for sizes when a layer is checked by itself.
bool mentions(const syntax::Expression& expression, const std::string& name) {
  if (const auto* reference = std::get_if<syntax::Reference>(&expression.node)) return reference->name == name;
  if (const auto* binary = std::get_if<syntax::Binary>(&expression.node))
    return mentions(*binary->left, name) || mentions(*binary->right, name);
  return false;
}
bool mentions(const syntax::Type& type, const std::string& name) {
  return std::any_of(type.dimensions.begin(), type.dimensions.end(),
                     [&](const syntax::Dimension& d) { return d.size && mentions(*d.size, name); });
}
bool is_size_of(const syntax::Function& function, const std::string& name) {
  for (const syntax::Parameter& input : function.inputs)
    if (input.type && mentions(*input.type, name)) return true;
  for (const syntax::Statement& statement : function.body)
    if (const auto* param = std::get_if<syntax::Param>(&statement.node); param && mentions(param->type, name)) return true;
  return false;
}

}  // namespace

Elaborator::Elaborator(const Module& module, const Settings& settings, const Sizes& sizes, std::int64_t nominal, Diagnostics& diagnostics)
    : diagnostics(diagnostics), module(module), settings_(settings), sizes_(sizes), nominal_(nominal) {}

Dimension Elaborator::entry_symbol(const std::string& name) {
  auto given = sizes_.find(name);
  std::int64_t value = given == sizes_.end() ? nominal_ : given->second;
  symbols.emplace_back(name, value);
  if (given == sizes_.end()) nominal_symbols.push_back(name);
  return {Size::symbol(name), value};
}

std::optional<std::string> Elaborator::setting(const std::string& name) const {
  std::optional<std::string> result;
  for (const auto& [given, text] : settings_)
    if (given == name) result = text;
  return result;
}

// Texts stand for themselves; other values are written as in the file.
Value Elaborator::setting_value(const std::string& name, const std::string& text, const syntax::Expression& usual) {
  if (std::holds_alternative<syntax::String>(usual.node) && (text.empty() || text[0] != '"')) return Text{text, true};
  auto given =
      std::make_shared<std::pair<SourceFile, syntax::File>>(SourceFile{"--set " + name, "let value = " + text + "\n"}, syntax::File{});
  diagnostics.keep(given);
  auto& [source, file] = *given;
  Diagnostics unread;
  file = syntax::parse(source, unread);
  const auto* let = !unread.has_errors() && file.items.size() == 1 ? std::get_if<syntax::Let>(&file.items[0].node) : nullptr;
  if (!let || let->bindings.size() != 1) return Text{text, true};
  Scope scope{&module};
  Value value = evaluate(*let->bindings[0].value, scope);
  if (const auto* quoted = get_if<Text>(value)) return Text{quoted->text, true};
  return value;
}

void Elaborator::check_settings() {
  for (const auto& entry : settings_) {
    const std::string& name = entry.first;
    if (module.lets.contains(name) || std::find(train_keys.begin(), train_keys.end(), name) != train_keys.end()) continue;
    std::vector<std::string> known;
    for (const auto& let : module.lets) known.push_back(let.first);
    known.insert(known.end(), train_keys.begin(), train_keys.end());
    std::string help = did_you_mean(name, known);
    diagnostics.error({}, fmt::format("--set {}={}: `{}` has no setting `{}`", name, entry.second, module.source.name, name),
                      help.empty() ? "it has " + list_in_words(known) : help);
  }
}

Value Elaborator::top_level_let(const Module& owner, const std::string& name) {
  auto key = std::pair(&owner, name);
  if (auto found = lets_.find(key); found != lets_.end()) return found->second;
  const syntax::Binding& binding = *owner.lets.at(name);
  if (!lets_open_.insert(key).second) throw Mistake{binding.name.span, fmt::format("`{}` is made from itself", name)};
  Scope scope{&owner};
  auto given = &owner == &module ? setting(name) : std::nullopt;
  Value value = given ? setting_value(name, *given, *binding.value) : evaluate(*binding.value, scope);
  lets_open_.erase(key);
  return lets_[key] = value;
}

std::optional<Elaborator::Results> Elaborator::run_entry(const syntax::Function& function) {
  Scope scope{&module};
  Callable callable{&function, &module};
  for (const syntax::Parameter& setting : function.settings) {
    Value value = Unknown{};
    if (setting.fallback)
      value = evaluate(*setting.fallback, scope);
    else if (function.kind == Kind::optimizer)
      value = Real{1e-3, ""};
    else if (is_size_of(function, setting.name.text))
      value = entry_symbol(setting.name.text);
    scope.names[setting.name.text] = value;
  }
  if (function.kind != Kind::function) {
    root = std::make_shared<Instance>();
    root->maker = {callable, std::make_shared<const std::map<std::string, Value>>(scope.names)};
    scope.instance = root;
  }
  Results results;
  try {
    for (const syntax::Parameter& parameter : function.inputs) {
      Value value = Unknown{};
      if (parameter.type) {
        std::vector<Dimension> shape = shape_of(*parameter.type, scope, true);
        std::vector<std::int64_t> sizes;
        std::vector<std::string> axes;
        for (const Dimension& dimension : shape) {
          sizes.push_back(dimension.value);
          axes.push_back(dimension.size.constant() ? "" : dimension.size.text());
        }
        builder.arena().set_origin({module.source.name, "", "input", parameter.name.span.line});
        count_of(shape);
        ArrayRef array = input(builder.arena(), parameter.name.text, sizes, parameter.type->dtype);
        builder.graph.inputs.push_back({.role = GraphInput::Role::data, .array = array, .axes = std::move(axes)});
        value = ShapedArray{array, shape};
      } else if (parameter.fallback) {
        value = evaluate(*parameter.fallback, scope);
      } else if (function.kind == Kind::optimizer) {
        value = ShapedArray{input(builder.arena(), parameter.name.text, {nominal_}, DType::f32), {entry_symbol("N")}};
      }
      scope.names[parameter.name.text] = value;
    }
    builder.may_change_nominal &= !nominal_symbols.empty();
    Value value = run_body(callable, scope, function.name.span);
    if (has_unknown(value)) return std::nullopt;
    const auto* list = get_if<List>(value);
    std::vector<Value> values = list && function.results.size() != 1 ? *list->items : std::vector<Value>{value};
    for (std::size_t k = 0; k < values.size(); ++k) {
      bool named = k < function.results.size() && function.results[k].name;
      std::string name = named ? function.results[k].name->text : values.size() == 1 ? "out" : fmt::format("out{}", k);
      results.emplace_back(name, array_of(builder, values[k], function.name.span));
    }
  } catch (const Mistake& mistake) {
    report(mistake, function.name.span);
    return std::nullopt;
  } catch (const InputError& error) {
    report({{}, error.what(), ""}, function.name.span);
    return std::nullopt;
  } catch (const Unreported&) {
    return std::nullopt;
  }
  return results;
}

void Elaborator::finish(const syntax::Function& function, const Results& results, bool scalars_only) {
  Graph& graph = builder.graph;
  graph.name = function.name.text;
  graph.is_function = function.kind == Kind::function;
  std::vector<GraphOutput> outputs;
  for (const auto& [name, array] : results)
    if (!scalars_only || array.shape.empty()) outputs.push_back({name, array.array});
  outputs.insert(outputs.end(), graph.outputs.begin(), graph.outputs.end());  // updates that training added
  for (const auto& [instance, name] : states) {
    const Instance::State& state = instance->states.at(name);
    if (state.is_set) outputs.push_back({state.input.array->name, state.current.array, state.input.array});
  }
  graph.outputs = std::move(outputs);
  std::vector<GraphInput> inputs;
  for (auto role :
       {GraphInput::Role::data, GraphInput::Role::parameter, GraphInput::Role::state, GraphInput::Role::seed, GraphInput::Role::step})
    for (const GraphInput& each : graph.inputs)
      if (each.role == role) inputs.push_back(each);
  graph.inputs = std::move(inputs);
  graph.sizes = symbols;
}

}  // namespace heed
