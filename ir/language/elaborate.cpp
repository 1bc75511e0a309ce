// The entry points: which definition is meant, at which sizes; nominal sizes are changed until they suit the file.
#include "ir/language/elaborate.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>

#include "ir/language/attempt.h"
#include "ir/language/elaborator.h"

namespace heed {
namespace {

using Kind = syntax::Function::Kind;

void find_symbols(const syntax::Expression& expression, const Module& module, std::vector<std::string>& found) {
  if (const auto* reference = std::get_if<syntax::Reference>(&expression.node)) {
    const std::string& name = reference->name;
    bool is_symbol = !name.empty() && name[0] >= 'A' && name[0] <= 'Z' && !module.lets.contains(name);
    if (is_symbol && std::find(found.begin(), found.end(), name) == found.end()) found.push_back(name);
  } else if (const auto* binary = std::get_if<syntax::Binary>(&expression.node)) {
    find_symbols(*binary->left, module, found);
    find_symbols(*binary->right, module, found);
  }
}

const syntax::Function* chosen_entry(const Module& module, const std::string& name, Diagnostics& diagnostics) {
  std::vector<const syntax::Function*> models, functions;
  std::vector<std::string> names;
  for (const EntryInfo& entry : entries(module)) {
    const syntax::Function* function = module.functions.at(entry.name);
    names.push_back(entry.name);
    if (entry.name == name) return function;
    if (entry.kind == EntryInfo::Kind::model) models.push_back(function);
    if (entry.kind == EntryInfo::Kind::function) functions.push_back(function);
  }
  const std::string& file = module.source.name;
  if (!name.empty()) {
    std::string help = did_you_mean(name, names);
    diagnostics.error({}, fmt::format("`{}` has no `{}`", file, name),
                      help.empty() && !names.empty() ? "it has " + list_in_words(names) : help);
    return nullptr;
  }
  const auto& candidates = models.empty() ? functions : models;
  if (candidates.size() == 1) return candidates[0];
  if (candidates.empty())
    diagnostics.error({}, fmt::format("`{}` has no model and no function", file));
  else
    diagnostics.error({}, fmt::format("`{}` has {} {}: which one?", file, candidates.size(), models.empty() ? "functions" : "models"),
                      fmt::format("name one of {}: `{}:{}`", list_in_words(names), file, candidates[0]->name.text));
  return nullptr;
}

bool check_sizes(const syntax::Function& function, const Elaborator& elaborator, const Sizes& sizes, Diagnostics& diagnostics) {
  std::vector<std::string> known;
  for (const auto& symbol : elaborator.symbols) known.push_back(symbol.first);
  bool fine = true;
  for (const auto& [name, value] : sizes) {
    if (value < 0) diagnostics.error({}, fmt::format("size {}={}: a size is not negative", name, value)), fine = false;
    if (std::find(known.begin(), known.end(), name) != known.end()) continue;
    diagnostics.error({}, fmt::format("size {}={}: `{}` has no symbol `{}`", name, value, function.name.text, name),
                      known.empty() ? "its sizes are all given" : "it has " + list_in_words(known));
    fine = false;
  }
  return fine;
}

std::optional<Elaborated> build(const Module& module, const ElaborateRequest& request, const syntax::Function& function,
                                const syntax::Train* train, Diagnostics& diagnostics) {
  std::optional<Elaborated> result;
  attempt_sizes(diagnostics, [&](std::int64_t nominal, bool may_change, Diagnostics& found) {
    Elaborator elaborator(module, request.settings, request.sizes, nominal, found);
    elaborator.builder.training = request.training || train;
    elaborator.builder.may_change_nominal = may_change;
    elaborator.check_settings();
    for (const syntax::Parameter& parameter : function.inputs)
      if (!parameter.type && !parameter.fallback)
        found.error(parameter.name.span, fmt::format("`{}` has no type: a graph needs one", parameter.name.text),
                    fmt::format("give it: `{}: f32[B, N]`", parameter.name.text));
    for (const syntax::Parameter& setting : function.settings)
      if (!setting.fallback)
        found.error(setting.name.span,
                    fmt::format("the setting `{}` has no value: `{}` cannot be built alone", setting.name.text, function.name.text),
                    "make an instance of it in a model");
    if (found.has_errors()) return;
    auto results = elaborator.run_entry(function);
    if (!results || found.has_errors()) return;
    if (!check_sizes(function, elaborator, request.sizes, found)) return;
    if (train) elaborator.add_updates(*train, *results);
    if (found.has_errors()) return;
    elaborator.finish(function, *results, train != nullptr);
    result = Elaborated{std::move(elaborator.builder.graph), elaborator.nominal_symbols, std::move(elaborator.regions)};
  });
  return result;
}

}  // namespace

std::vector<EntryInfo> entries(const Module& module) {
  std::vector<EntryInfo> result;
  for (const syntax::Item& item : module.file.items) {
    const auto* function = std::get_if<syntax::Function>(&item.node);
    if (!function || function->kind == Kind::optimizer) continue;
    EntryInfo info{function->name.text,
                   function->kind == Kind::model   ? EntryInfo::Kind::model
                   : function->kind == Kind::layer ? EntryInfo::Kind::layer
                                                   : EntryInfo::Kind::function,
                   {},
                   {},
                   module.trains.contains(function->name.text)};
    for (const syntax::Parameter& input : function->inputs) info.inputs.push_back(input.name.text);
    for (const syntax::Parameter& input : function->inputs)
      if (input.type)
        for (const syntax::Dimension& dimension : input.type->dimensions)
          if (dimension.size) find_symbols(*dimension.size, module, info.symbols);
    result.push_back(std::move(info));
  }
  return result;
}

Sizes sizes_of_shapes(const Module& module, const std::string& entry, const std::map<std::string, std::vector<std::int64_t>>& shapes) {
  Sizes sizes;
  Diagnostics reported_later;
  const syntax::Function* function = chosen_entry(module, entry, reported_later);
  if (!function) return sizes;
  for (const syntax::Parameter& input : function->inputs) {
    auto given = shapes.find(input.name.text);
    if (!input.type || given == shapes.end() || given->second.size() != input.type->dimensions.size()) continue;
    for (std::size_t k = 0; k < given->second.size(); ++k) {
      const auto& size = input.type->dimensions[k].size;
      const auto* symbol = size ? std::get_if<syntax::Reference>(&size->node) : nullptr;
      if (symbol && !module.lets.contains(symbol->name)) sizes.emplace(symbol->name, given->second[k]);
    }
  }
  return sizes;
}

std::optional<Elaborated> elaborate(const Module& module, const ElaborateRequest& request, Diagnostics& diagnostics) {
  const syntax::Function* function = chosen_entry(module, request.entry, diagnostics);
  return function ? build(module, request, *function, nullptr, diagnostics) : std::nullopt;
}

std::optional<Elaborated> elaborate_training(const Module& module, const ElaborateRequest& request, Diagnostics& diagnostics) {
  auto settings = train_block(module, request.entry, request.settings, diagnostics);
  if (!settings) return std::nullopt;
  const syntax::Function& function = *module.functions.at(settings->model);
  ElaborateRequest bound = request;
  // The leading dimension of the data is the batch.
  for (const syntax::Parameter& input : function.inputs) {
    if (!input.type || input.type->dimensions.empty() || !input.type->dimensions[0].size) continue;
    const auto* symbol = std::get_if<syntax::Reference>(&input.type->dimensions[0].size->node);
    if (symbol && !module.lets.contains(symbol->name)) bound.sizes.emplace(symbol->name, settings->batch);
    break;
  }
  return build(module, bound, function, module.trains.at(settings->model), diagnostics);
}

}  // namespace heed
