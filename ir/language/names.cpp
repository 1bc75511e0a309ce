// Names that are bound and never mentioned. By name alone, so that a branch not taken counts as well.
#include "ir/language/names.h"

#include <fmt/format.h>

#include <map>
#include <set>

namespace heed {
namespace {

// Collects the names that expressions mention, and those that statements bind.
struct Names {
  std::set<std::string> mentioned;
  std::map<std::string, Span> bound;

  void read(const syntax::Expression* expression) {
    if (!expression) return;
    std::visit([&](const auto& node) { read_node(node); }, expression->node);
  }
  void read(const syntax::ExpressionPtr& expression) { read(expression.get()); }
  template <typename T>
  void read_all(const std::vector<T>& list) {
    for (const auto& each : list) read(each);
  }
  void read(const syntax::Type& type) {
    for (const syntax::Dimension& dimension : type.dimensions) read(dimension.size);
  }
  void read(const syntax::Binding& binding) { read(binding.value); }
  void read(const syntax::Subscript& subscript) {
    read(subscript.index);
    read(subscript.start);
    read(subscript.stop);
    read(subscript.step);
  }

  template <typename T>
  void read_node(const T&) {}
  void read_node(const syntax::Reference& node) { mentioned.insert(node.name); }
  void read_node(const syntax::Member& node) {
    if (const auto* object = std::get_if<syntax::Reference>(&node.object->node))
      mentioned.insert(object->name + "." + node.name.text);  // a path of the flat form
    read(node.object);
  }
  void read_node(const syntax::Unary& node) { read(node.operand); }
  void read_node(const syntax::Binary& node) { read(node.left), read(node.right); }
  void read_node(const syntax::Comparison& node) { read_all(node.operands); }
  void read_node(const syntax::Call& node) {
    read(node.callee);
    for (const syntax::Argument& argument : node.arguments) read(argument.value);
  }
  void read_node(const syntax::Index& node) { read(node.object), read_all(node.subscripts); }
  void read_node(const syntax::List& node) { read_all(node.items); }
  void read_node(const syntax::Range& node) { read(node.first), read(node.end); }
  void read_node(const syntax::Scan& node) {
    read_all(node.elements);
    read_all(node.carried);
    run(node.body);
    for (const syntax::Binding& binding : node.carried) mentioned.insert(binding.name.text);  // read by the next round
  }
  void read_node(const syntax::Region& node) { read_all(node.inputs), run(node.body); }

  void bind(const syntax::Name& name) { bound.emplace(name.text, name.span); }
  void run(const syntax::Block& block) {
    for (const syntax::Statement& statement : block) std::visit([&](const auto& node) { run_node(node); }, statement.node);
  }
  void run_node(const syntax::Param& node) { bind(node.name), read(node.type), read(node.initial); }
  void run_node(const syntax::State& node) {
    bind(node.name);
    if (node.type) read(*node.type);
    read(node.initial);
  }
  void run_node(const syntax::Instance& node) { bind(node.name), read(node.count), read(node.maker); }
  void run_node(const syntax::Assignment& node) {
    for (const syntax::Target& target : node.targets) {
      if (node.update || target.name.text.find('.') != std::string::npos) mentioned.insert(target.name.text);
      if (node.targets.size() == 1) bind(target.name);  // of several results some may be of no interest
      if (target.type) read(*target.type);
      read_all(target.subscripts);
    }
    read(node.value);
  }
  void run_node(const syntax::For& node) { read(node.range), run(node.body); }
  void run_node(const syntax::If& node) { read(node.condition), run(node.then), run(node.otherwise); }
  void run_node(const syntax::Return& node) { read_all(node.values); }
  void run_node(const syntax::Yield& node) { read_all(node.values); }
};

void read_function(const syntax::Function& function, Names& names) {
  for (const auto* list : {&function.settings, &function.inputs})
    for (const syntax::Parameter& parameter : *list) {
      if (parameter.type) names.read(*parameter.type);
      names.read(parameter.fallback);
    }
  for (const syntax::Result& result : function.results) names.read(result.type);
  names.run(function.body);
}

}  // namespace

void warn_of_unused_names(const syntax::Function& function, Diagnostics& diagnostics) {
  Names names;
  read_function(function, names);
  for (const auto& [name, span] : names.bound)
    if (!names.mentioned.contains(name) && name[0] != '_') diagnostics.warning(span, fmt::format("`{}` is never used", name));
}

void warn_of_unused_lets(const Module& module, Diagnostics& diagnostics) {
  Names names;
  for (const syntax::Item& item : module.file.items) {
    if (const auto* function = std::get_if<syntax::Function>(&item.node)) read_function(*function, names);
    if (const auto* let = std::get_if<syntax::Let>(&item.node)) names.read_all(let->bindings);
    if (const auto* train = std::get_if<syntax::Train>(&item.node))
      for (const syntax::TrainEntry& entry : train->entries) names.read(entry.value);
  }
  bool is_imported_by_others = module.functions.empty() && module.trains.empty();  // a file of constants
  for (const auto& [name, binding] : module.lets)
    if (!names.mentioned.contains(name) && !is_imported_by_others)
      diagnostics.warning(binding->name.span, fmt::format("`{}` is never used", name));
  for (const syntax::Item& item : module.file.items)
    if (const auto* import = std::get_if<syntax::Import>(&item.node); import && !names.mentioned.contains(import->alias.text))
      diagnostics.warning(import->alias.span, fmt::format("the import `{}` is never used", import->alias.text));
}

}  // namespace heed
