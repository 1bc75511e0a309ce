// Checks a whole file: every definition with its symbols, every train block, and what is written but never used.
#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "ir/language/attempt.h"
#include "ir/language/elaborator.h"
#include "ir/language/names.h"

namespace heed {
namespace {

using Kind = syntax::Function::Kind;

// Where each parameter of the file's own layers is declared.
void find_declarations(const syntax::Block& block, std::map<std::string, Span>& spans) {
  for (const syntax::Statement& statement : block) {
    if (const auto* param = std::get_if<syntax::Param>(&statement.node))
      spans.emplace(param->name.text, param->name.span);
    else if (const auto* instance = std::get_if<syntax::Instance>(&statement.node))
      spans.emplace(instance->name.text, instance->name.span);
    else if (const auto* loop = std::get_if<syntax::For>(&statement.node))
      find_declarations(loop->body, spans);
    else if (const auto* choice = std::get_if<syntax::If>(&statement.node)) {
      find_declarations(choice->then, spans);
      find_declarations(choice->otherwise, spans);
    }
  }
}

std::set<std::string> inputs_read(const Graph& graph) {
  std::set<std::string> names;
  for (ArrayRef array : in_order(graph))
    if (array->kind == Array::Kind::input) names.insert(array->name);
  return names;
}

void warn_of_idle_parameters(const syntax::Function& function, const Graph& graph, const Simplify& simplify, Diagnostics& diagnostics) {
  const std::set<std::string> read = inputs_read(graph), needed = simplify ? inputs_read(simplify(graph)) : read;
  std::map<std::string, Span> spans;
  find_declarations(function.body, spans);
  for (const GraphInput& input : graph.inputs) {
    if (input.role != GraphInput::Role::parameter || needed.contains(input.array->name)) continue;
    auto place = spans.find(input.array->name.substr(0, input.array->name.find('.')));
    diagnostics.warning(place == spans.end() ? function.name.span : place->second,
                        fmt::format("no result depends on the parameter `{}`{}", input.array->name,
                                    read.contains(input.array->name) ? ": what is made of it cancels" : ""));
  }
}

void check_definition(const Module& module, const syntax::Function& function, const Settings& settings, const Simplify& simplify,
                      Diagnostics& diagnostics) {
  attempt_sizes(diagnostics, [&](std::int64_t nominal, bool may_change, Diagnostics& found) {
    Elaborator elaborator(module, settings, {}, nominal, found);
    elaborator.builder.may_change_nominal = may_change;
    auto results = elaborator.run_entry(function);
    if (!results || found.has_errors() || function.kind != Kind::model) return;
    elaborator.finish(function, *results, false);
    warn_of_idle_parameters(function, elaborator.builder.graph, simplify, found);
  });
}

void check_lets(const Module& module, const Settings& settings, Diagnostics& diagnostics) {
  Diagnostics found;
  Elaborator elaborator(module, settings, {}, 64, found);
  elaborator.check_settings();
  Scope scope{&module};
  for (const syntax::Item& item : module.file.items)
    if (const auto* let = std::get_if<syntax::Let>(&item.node))
      for (const syntax::Binding& binding : let->bindings) elaborator.lookup(binding.name.text, scope);
  diagnostics.add(found);
}

}  // namespace

void check_rest(const Module& module, Diagnostics& diagnostics) {
  Diagnostics found;
  check_lets(module, {}, found);
  for (const auto& [name, function] : module.functions) check_definition(module, *function, {}, {}, found);
  for (const auto& [model, train] : module.trains)
    if (!module.lost.contains(model)) train_block(module, model, {}, found);
  for (const Diagnostic& each : found.all())
    if (each.severity == Diagnostic::Severity::error) diagnostics.error(each.span, each.message, each.help);
}

void check_module(const Module& module, const Settings& settings, Diagnostics& diagnostics, const Simplify& simplify) {
  check_lets(module, settings, diagnostics);
  for (const syntax::Item& item : module.file.items)
    if (const auto* function = std::get_if<syntax::Function>(&item.node)) {
      Diagnostics found;
      check_definition(module, *function, settings, simplify, found);
      if (!found.has_errors()) warn_of_unused_names(*function, found);  // what a mistake cut off is no further mistake
      diagnostics.add(found);
    }
  warn_of_unused_lets(module, diagnostics);
  for (const auto& [model, train] : module.trains) {
    Diagnostics found;
    train_block(module, model, settings, found);
    bool fine = !found.has_errors() && !diagnostics.has_errors();
    diagnostics.add(found);
    // The model's own mistakes are known by now; what is new is the optimizer's.
    if (fine) {
      Diagnostics training;
      elaborate_training(module, {.entry = model, .settings = settings}, training);
      diagnostics.add(training);
    }
  }
}

}  // namespace heed
