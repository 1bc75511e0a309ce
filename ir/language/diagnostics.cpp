// Collects mistakes in the order of the text, and prints them for a person.
#include "ir/language/diagnostics.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>
#include <tuple>

namespace heed {
namespace {

auto place(const Diagnostic& diagnostic) {
  std::string_view file = diagnostic.span.file ? std::string_view(diagnostic.span.file->name) : std::string_view();
  return std::tuple(file, diagnostic.span.line, diagnostic.span.column);
}

bool same(const Diagnostic& a, const Diagnostic& b) { return a.severity == b.severity && place(a) == place(b) && a.message == b.message; }

void insert(std::vector<Diagnostic>& all, Diagnostic diagnostic) {
  auto [first, last] =
      std::equal_range(all.begin(), all.end(), diagnostic, [](const Diagnostic& a, const Diagnostic& b) { return place(a) < place(b); });
  if (std::none_of(first, last, [&](const Diagnostic& other) { return same(other, diagnostic); })) all.insert(last, std::move(diagnostic));
}

std::string_view line_of(const SourceFile& file, int line) {
  std::string_view text = file.text;
  for (int k = 1; k < line; ++k) {
    std::size_t end = text.find('\n');
    if (end == std::string_view::npos) return {};
    text.remove_prefix(end + 1);
  }
  text = text.substr(0, text.find('\n'));
  if (text.ends_with('\r')) text.remove_suffix(1);
  return text;
}

bool continues_character(char byte) { return (static_cast<unsigned char>(byte) & 0xC0) == 0x80; }

// Bytes that would move a terminal's cursor are shown as `?`.
std::string printable(std::string_view text) {
  std::string result(text);
  for (char& byte : result)
    if ((static_cast<unsigned char>(byte) < 0x20 && byte != '\t') || byte == 0x7f) byte = '?';
  return result;
}

// The source line and a line of carets under the span. Of a very long line only the part around the span is shown.
std::string excerpt(const Span& span) {
  constexpr std::size_t widest = 160;
  std::string_view line = line_of(*span.file, span.line);
  std::size_t first = std::min(static_cast<std::size_t>(std::max(span.column - 1, 0)), line.size());
  std::size_t length = std::clamp<std::size_t>(std::max(span.length, 1), 1, std::max<std::size_t>(line.size() - first, 1));
  std::string_view before_cut, after_cut;
  if (line.size() > widest) {
    std::size_t begin = first > 60 ? first - 60 : 0;
    while (begin > 0 && continues_character(line[begin])) --begin;
    std::size_t end = std::min(begin + widest, line.size());
    while (end < line.size() && continues_character(line[end])) ++end;
    if (begin > 0) before_cut = "…";
    if (end < line.size()) after_cut = "…";
    line = line.substr(begin, end - begin);
    first -= begin;
    length = std::min(length, std::max<std::size_t>(line.size() - first, 1));
  }
  std::string under = before_cut.empty() ? "" : " ";
  for (char byte : line.substr(0, first))
    if (!continues_character(byte)) under += byte == '\t' ? '\t' : ' ';
  for (char byte : first < line.size() ? line.substr(first, length) : std::string_view("^"))
    if (!continues_character(byte)) under += '^';
  return fmt::format("{:4} | {}{}{}\n     | {}\n", span.line, before_cut, printable(line), after_cut, under);
}

}  // namespace

void Diagnostics::error(Span span, std::string message, std::string help) {
  insert(all_, {Diagnostic::Severity::error, span, std::move(message), std::move(help)});
}

void Diagnostics::warning(Span span, std::string message, std::string help) {
  insert(all_, {Diagnostic::Severity::warning, span, std::move(message), std::move(help)});
}

void Diagnostics::add(const Diagnostics& others) {
  for (const Diagnostic& each : others.all_) insert(all_, each);
  owners_.insert(owners_.end(), others.owners_.begin(), others.owners_.end());
}

bool Diagnostics::has_errors() const {
  return std::any_of(all_.begin(), all_.end(), [](const Diagnostic& one) { return one.severity == Diagnostic::Severity::error; });
}

std::string Diagnostics::text(bool colour) const {
  std::string result;
  for (const Diagnostic& one : all_) {
    bool is_error = one.severity == Diagnostic::Severity::error;
    const char *mark = "", *bold = "", *plain = "";
    if (colour) mark = is_error ? "\033[1;31m" : "\033[1;33m", bold = "\033[1m", plain = "\033[0m";
    const char* severity = is_error ? "error" : "warning";
    if (!one.span.file) {
      result += fmt::format("{}{}:{} {}{}{}\n", mark, severity, plain, bold, one.message, plain);
    } else {
      result += fmt::format("{}{}:{}:{}:{} {}{}:{} {}{}{}\n", bold, one.span.file->name, one.span.line, one.span.column, plain, mark,
                            severity, plain, bold, printable(one.message), plain);
      if (one.span.line > 0) result += excerpt(one.span);
    }
    if (!one.help.empty()) result += fmt::format("     = help: {}\n", printable(one.help));
  }
  return result;
}

}  // namespace heed
