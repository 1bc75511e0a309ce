// Reads files and what they import, and collects the names of their top levels.
#include "ir/language/module.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>

#include "ir/language/value.h"
#include "ir/stdlib.h"

namespace heed {
namespace {

using ModulePtr = std::shared_ptr<const Module>;
using Loaded = std::map<std::string, ModulePtr>;  // by path; null while it is being read

ModulePtr library_module(const std::string& name);

struct Loader {
  Diagnostics& diagnostics;
  Loaded loaded;

  std::size_t error_count() const {
    return static_cast<std::size_t>(std::count_if(diagnostics.all().begin(), diagnostics.all().end(),
                                                  [](const Diagnostic& each) { return each.severity == Diagnostic::Severity::error; }));
  }

  ModulePtr from_text(std::string name, std::string text, bool is_library) {
    auto module = std::make_shared<Module>();
    module->source = {std::move(name), std::move(text)};
    diagnostics.keep(module);
    module->is_library = is_library;
    std::size_t slash = module->source.name.rfind('/');
    if (!is_library && slash != std::string::npos) module->folder = module->source.name.substr(0, slash + 1);
    std::size_t known = error_count();
    module->file = syntax::parse(module->source, diagnostics);
    if (!is_library || module->source.name != "prelude") module->prelude = library_module("prelude");
    module->lost.insert(module->file.lost.begin(), module->file.lost.end());
    for (const syntax::Item& item : module->file.items) add(*module, item);
    if (error_count() == known) return module;
    if (!is_library) check_rest(*module, diagnostics);
    return nullptr;
  }

  ModulePtr from_file(const std::string& path, Span span) {
    std::error_code ignored;
    std::string key = std::filesystem::weakly_canonical(path, ignored).string();
    auto [place, is_new] = loaded.try_emplace(key, nullptr);
    if (!is_new) {
      if (!place->second) diagnostics.error(span, fmt::format("`{}` imports itself", path));
      return place->second;
    }
    std::ifstream file(path, std::ios::binary);
    if (!file || std::filesystem::is_directory(path, ignored)) {
      diagnostics.error(span, fmt::format("cannot read `{}`: {}", path, file ? "it is a folder" : std::strerror(errno)));
      return nullptr;
    }
    std::ostringstream text;
    text << file.rdbuf();
    if (std::size_t zero = text.view().find('\0'); zero != std::string_view::npos) {
      diagnostics.error(span, fmt::format("`{}` is no model file in UTF-8: its byte {} is 0", path, zero));
      return nullptr;
    }
    ModulePtr module = from_text(path, text.str(), false);
    loaded[key] = module;
    return module;
  }

  void define(const syntax::Name& name, bool is_new) {
    if (!is_new) diagnostics.error(name.span, fmt::format("`{}` is defined twice", name.text));
  }

  void add(Module& module, const syntax::Item& item) {
    auto is_free = [&](const std::string& name) {
      return !module.functions.contains(name) && !module.lets.contains(name) && !module.imports.contains(name);
    };
    if (const auto* import = std::get_if<syntax::Import>(&item.node)) {
      define(import->alias, is_free(import->alias.text));
      ModulePtr target = import->is_file ? from_file(module.folder + import->source, import->alias.span) : library_module(import->source);
      if (!target && !import->is_file) {
        std::vector<std::string> names;
        for (const StdlibFile& file : stdlib_files()) names.emplace_back(file.name);
        diagnostics.error(import->alias.span,
                          fmt::format("the standard library has no `{}`: it has {}", import->source, list_in_words(names)),
                          fmt::format("import a file by its path: `import \"{}.heed\" as {}`", import->source, import->alias.text));
      }
      if (target)
        module.imports[import->alias.text] = target;
      else
        module.lost.insert(import->alias.text);
    } else if (const auto* let = std::get_if<syntax::Let>(&item.node)) {
      for (const syntax::Binding& binding : let->bindings) {
        define(binding.name, is_free(binding.name.text));
        module.lets[binding.name.text] = &binding;
      }
    } else if (const auto* function = std::get_if<syntax::Function>(&item.node)) {
      define(function->name, is_free(function->name.text));
      if (item.mistaken) {
        module.lost.insert(function->name.text);
        return;
      }
      module.functions[function->name.text] = function;
    } else if (const auto* train = std::get_if<syntax::Train>(&item.node)) {
      if (item.mistaken) return;
      if (!module.trains.emplace(train->model.text, train).second)
        diagnostics.error(train->model.span, fmt::format("`{}` has two train blocks", train->model.text));
    }
  }
};

// The library's sources are heed's own: a mistake in one is a fault, not the user's.
ModulePtr library_module(const std::string& name) {
  static std::map<std::string, ModulePtr> modules;
  if (auto found = modules.find(name); found != modules.end()) return found->second;
  for (const StdlibFile& file : stdlib_files()) {
    if (file.name != name) continue;
    Diagnostics diagnostics;
    ModulePtr module = Loader{diagnostics, {}}.from_text(name, std::string(file.source), true);
    if (!module) throw std::logic_error("the standard library does not parse:\n" + diagnostics.text(false));
    return modules[name] = module;
  }
  return nullptr;
}

}  // namespace

std::shared_ptr<const Module> load_module(const std::string& path, Diagnostics& diagnostics) {
  return Loader{diagnostics, {}}.from_file(path, {});
}

std::shared_ptr<const Module> parse_module(std::string name, std::string text, Diagnostics& diagnostics) {
  return Loader{diagnostics, {}}.from_text(std::move(name), std::move(text), false);
}

std::vector<std::string> top_level_names(const Module& module) {
  std::vector<std::string> names;
  for (const auto& entry : module.functions) names.push_back(entry.first);
  for (const auto& entry : module.lets) names.push_back(entry.first);
  for (const auto& entry : module.imports) names.push_back(entry.first);
  return names;
}

std::string list_in_words(const std::vector<std::string>& names) {
  std::string result;
  for (std::size_t k = 0; k < names.size(); ++k) result += (k == 0 ? "`" : k + 1 == names.size() ? " and `" : ", `") + names[k] + "`";
  return result;
}

}  // namespace heed
