// Writes the standard library's page. In the library's comments `# --- Title` begins a section, and lines that are set in are code.
#include "ir/language/library_page.h"

#include <fmt/format.h>

#include <algorithm>
#include <sstream>
#include <stdexcept>
#include <vector>

#include "ir/language/syntax.h"
#include "ir/stdlib.h"

namespace heed {
namespace {

constexpr std::string_view section_mark = "# --- ";

// From the name to the brace of the body.
std::string signature(const syntax::Function& function, std::string_view line) {
  std::size_t begin = static_cast<std::size_t>(function.name.span.column - 1);
  std::string text(line.substr(begin, line.find(" {") - begin));
  return function.kind == syntax::Function::Kind::optimizer ? text.substr(0, text.find(")(") + 1) : text;
}

std::string description(const std::string& doc) {
  std::string text, code;
  std::istringstream lines(doc);
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("  "))
      code += line.substr(2) + "\n";
    else
      text += line + "\n";
  }
  return code.empty() ? text : fmt::format("{}```\n{}```\n", text, code);
}

// The first sentence is the title.
std::string heading(std::string_view text) {
  std::size_t end = text.find(". ");
  if (end == std::string_view::npos) return fmt::format("\n### {}\n", text);
  return fmt::format("\n### {}\n{}\n", text.substr(0, end), text.substr(end + 2));
}

std::string page_of(const StdlibFile& file) {
  SourceFile source{std::string(file.name), std::string(file.source)};
  Diagnostics diagnostics;
  syntax::File tree = syntax::parse(source, diagnostics);
  if (diagnostics.has_errors()) throw std::logic_error("the standard library does not parse:\n" + diagnostics.text(false));
  std::vector<std::string_view> lines;
  for (std::string_view rest = source.text; !rest.empty(); rest.remove_prefix(std::min(rest.find('\n'), rest.size() - 1) + 1))
    lines.push_back(rest.substr(0, rest.find('\n')));
  std::string page = fmt::format("## {}\n{}\n", file.name, tree.doc);
  std::size_t line = 0;
  for (const syntax::Item& item : tree.items) {
    const auto* function = std::get_if<syntax::Function>(&item.node);
    if (!function) continue;
    for (; line < static_cast<std::size_t>(item.span.line); ++line)
      if (lines[line].starts_with(section_mark)) page += heading(lines[line].substr(section_mark.size()));
    page += fmt::format("\n**`{}`**\n{}", signature(*function, lines[line - 1]), description(item.doc));
  }
  return page;
}

}  // namespace

std::string library_page() {
  std::string page =
      "# The standard library\nWritten by the tests from the comments in stdlib/. In examples `==` holds at every position.\n";
  for (bool is_prelude : {true, false})  // what every file sees comes first
    for (const StdlibFile& file : stdlib_files())
      if ((file.name == "prelude") == is_prelude) page += "\n" + page_of(file);
  return page;
}

}  // namespace heed
