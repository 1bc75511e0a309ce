// The top level of a file, and what all parts of the parser stand on.
#include "ir/language/parser.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace heed::syntax {
namespace {

constexpr int most_levels = 200;

constexpr std::array<std::string_view, 13> reserved = {"for", "if",   "else",  "return", "yield", "and", "or",
                                                       "not", "true", "false", "none",   "None",  "inf"};

// How definitions begin elsewhere.
constexpr std::array<std::pair<std::string_view, std::string_view>, 8> foreign_items = {{{"def", "fn"},
                                                                                         {"func", "fn"},
                                                                                         {"function", "fn"},
                                                                                         {"class", "layer"},
                                                                                         {"module", "layer"},
                                                                                         {"const", "let"},
                                                                                         {"var", "let"},
                                                                                         {"from", "import"}}};

std::string mend_of_item(std::string_view word) {
  for (auto [theirs, ours] : foreign_items)
    if (word == theirs) return fmt::format("write `{}`", ours);
  return "";
}

bool is_reserved(std::string_view name) { return std::find(reserved.begin(), reserved.end(), name) != reserved.end(); }

}  // namespace

Parser::Parser(const SourceFile& source, std::vector<Token>& tokens, Diagnostics& diagnostics)
    : source_(source), tokens_(tokens), diagnostics_(diagnostics) {
  for (Token& token : tokens_) {
    if (token.kind == Token::Kind::comment) continue;
    words_.push_back(&token);
    line_ends_.resize(static_cast<std::size_t>(token.span.line) + 1, 1);
    if (token.kind != Token::Kind::newline) line_ends_.back() = token.span.column + token.span.length;
  }
}

bool Parser::is(const Token& token, std::string_view text) {
  return (token.kind == Token::Kind::symbol || token.kind == Token::Kind::name) && token.text == text;
}

Token& Parser::take(Token::Role role) {
  Token& token = *words_[at_];
  token.role = role;
  if (at_ + 1 < words_.size()) ++at_;
  if (brackets_ > 0) skip_newlines();
  return token;
}

bool Parser::accept(std::string_view text, Token::Role role) {
  if (!is(text)) return false;
  take(role);
  return true;
}

void Parser::expect(std::string_view text, std::string_view after, Token::Role role) {
  if (!accept(text, role)) fail_here(fmt::format("`{}` {}", text, after));
}

Name Parser::expect_name(std::string_view what) {
  if (!is_name()) fail_here(what);
  if (is_reserved(current().text)) fail(current().span, fmt::format("`{}` is a word of the language and cannot be a name", current().text));
  const Token& token = take();
  return {std::string(token.text), token.span};
}

Name Parser::expect_path(std::string_view what) {
  Name name = expect_name(what);
  while (is(".")) {
    take(Token::Role::tight);
    if (!is_name()) fail_here("a name after `.`");
    name.text += fmt::format(".{}", take().text);
  }
  name.span = from(name.span);
  return name;
}

void Parser::expect_line_end(std::string_view after) {
  if (at_line_end() || is("}") || unclosed_) return;
  if (is("="))
    fail_here(fmt::format("the end of the line after {}", after), "`=` sets a name at the beginning of a line; to compare write `==`");
  fail_here(fmt::format("the end of the line after {}", after));
}

void Parser::skip_newlines() {
  while (current().kind == Token::Kind::newline) ++at_;
}

std::size_t Parser::closing(std::size_t opening) const {
  int depth = 0;
  for (std::size_t k = opening; k < words_.size(); ++k) {
    std::string_view text = words_[k]->kind == Token::Kind::symbol ? words_[k]->text : "";
    if (text == "(" || text == "[" || text == "{") ++depth;
    if ((text == ")" || text == "]" || text == "}") && --depth == 0) return k;
  }
  return words_.size() - 1;
}

void Parser::tighten(std::size_t first, std::size_t last, bool sums) {
  int depth = 0;
  for (std::size_t k = first; k < last; ++k) {
    std::string_view text = words_[k]->text;
    if (text == "(" || text == "[") ++depth;
    if (text == ")" || text == "]") --depth;
    bool is_sum = text == "+" || text == "-";
    bool is_product = text == "*" || text == "/" || text == "//" || text == "%" || text == "**" || text == "@";
    if (depth == 0 && words_[k]->role == Token::Role::binary && (is_product || (sums && is_sum))) words_[k]->role = Token::Role::tight;
  }
}

void Parser::report(Span span, std::string message, std::string help) {
  diagnostics_.error(span, std::move(message), std::move(help));
  if (++mistakes_ >= most_mistakes) at_ = words_.size() - 1;
}

void Parser::fail(Span span, std::string message, std::string help) {
  report(span, std::move(message), std::move(help));
  throw Mistake();
}

void Parser::fail_here(std::string_view expected, std::string help) {
  if (current().kind == Token::Kind::broken) throw Mistake();  // the lexer has reported it
  Span span = current().span;
  if (current().kind == Token::Kind::newline || current().kind == Token::Kind::end) span.length = 1;
  fail(span, fmt::format("expected {}, found {}", expected, found()), std::move(help));
}

std::string Parser::found() const {
  if (current().kind == Token::Kind::newline) return "the end of the line";
  if (current().kind == Token::Kind::end) return "the end of the file";
  if (current().kind == Token::Kind::string) return "a string";
  return fmt::format("`{}`", current().text);
}

Span Parser::from(const Span& first) const {
  Span span = first;
  std::size_t last = at_;  // line ends that were skipped after the last word do not count
  while (last > 0 && words_[last - 1]->kind == Token::Kind::newline) --last;
  if (last == 0) return span;
  const Span& end = words_[last - 1]->span;
  int column = end.line == first.line ? end.column + end.length : line_ends_[static_cast<std::size_t>(first.line)];
  span.length = std::max(column - first.column, 1);
  return span;
}

void Parser::recover(std::size_t begun) {
  ++recoveries_;
  // The mistake was that the line before had ended: this one is a new statement.
  if (at_ > begun && begins_line()) return;
  while (!at_line_end() && !is("}")) {
    try {
      if (is("{"))
        block("");
      else
        ++at_;
    } catch (const Mistake&) {
      if (is("{")) ++at_;
    }
  }
  if (at_ == begun && at_ + 1 < words_.size()) ++at_;
}

Parser::Level::Level(Parser& parser) : parser(parser) {
  if (++parser.levels_ <= most_levels) return;
  --parser.levels_;
  parser.fail(parser.current().span, fmt::format("this nests deeper than {} levels", most_levels), "give a part of it a name");
}

bool Parser::begins_item(bool in_train) const {
  if (!begins_line() || current().span.column != 1) return false;  // a word that begins an item is a name elsewhere
  if (ahead(1).kind != Token::Kind::name) return is("import") && ahead(1).kind == Token::Kind::string;
  if (is("fn") || is("model") || is("train") || is("import") || is("let")) return true;
  return !in_train && (is("layer") || is("optimizer")) && is(ahead(2), "(");
}

void Parser::read(File& file) {
  for (skip_newlines(); current().kind != Token::Kind::end; skip_newlines()) {
    std::size_t begun = at_;
    levels_ = brackets_ = 0;
    unclosed_ = false;
    int before = mistakes_ + recoveries_;
    try {
      if (is("}")) {
        take();
        fail(previous().span, "`}` closes nothing");
      }
      Item next = item();
      next.mistaken = mistakes_ + recoveries_ > before;
      file.items.push_back(std::move(next));
      if (!unclosed_) expect_line_end("this definition");
    } catch (const Mistake&) {
      recover(begun);
      for (std::size_t k = begun + 1; k < at_ && words_[k]->kind != Token::Kind::newline && !is(*words_[k], "(") && !is(*words_[k], "{");
           ++k)
        if (words_[k]->kind == Token::Kind::name && (k == begun + 1 || is(*words_[k - 1], ","))) file.lost.emplace_back(words_[k]->text);
    }
  }
}

Item Parser::item() {
  const Token& first = current();
  Item item;
  item.doc = doc_above(first);
  if (is("import"))
    item.node = import();
  else if (is("let"))
    item.node = let();
  else if (is("fn"))
    item.node = function(Function::Kind::function);
  else if (is("layer"))
    item.node = function(Function::Kind::layer);
  else if (is("model"))
    item.node = function(Function::Kind::model);
  else if (is("optimizer"))
    item.node = function(Function::Kind::optimizer);
  else if (is("train"))
    item.node = train();
  else
    fail_here("`import`, `let`, `fn`, `layer`, `model`, `optimizer` or `train`", mend_of_item(current().text));
  item.span = first.span;
  item.span.length = std::max(line_ends_[static_cast<std::size_t>(first.span.line)] - first.span.column, 1);
  return item;
}

Import Parser::import() {
  take();
  Import result;
  if (current().kind == Token::Kind::string) {
    const Token& path = take();
    result.is_file = true;
    result.source = path.text.substr(1, path.text.size() - 2);
    std::string stem = result.source.substr(result.source.find_last_of('/') + 1);
    result.alias = {stem.substr(0, stem.find('.')), path.span};
    if (!is("as") && stem.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.") != std::string::npos)
      fail(path.span, fmt::format("`{}` is no name", result.alias.text),
           fmt::format("give it one: `import \"{}\" as blocks`", result.source));
  } else {
    result.alias = expect_name("the name of a library or the path of a file in quotes");
    result.source = result.alias.text;
  }
  if (accept("as")) result.alias = expect_name("a name after `as`");
  return result;
}

Let Parser::let() {
  take();
  Let result;
  do {
    Name name = expect_name("a name");
    expect("=", fmt::format("after `{}`", name.text), Token::Role::binary);
    result.bindings.push_back({std::move(name), expression()});
  } while (accept(","));
  return result;
}

Function Parser::function(Function::Kind kind) {
  std::string what(take().text);
  Function result;
  result.kind = kind;
  result.name = expect_name("a name");
  if (!is("(")) fail_here(fmt::format("`(` after `{}`", result.name.text));
  result.inputs = parameters();
  if (is("(")) {
    if (kind == Function::Kind::function || kind == Function::Kind::model)
      fail(current().span, fmt::format("a {} has one list of inputs", kind == Function::Kind::model ? "model" : "function"),
           "settings belong to layers and optimizers; constants of a model are set by `let`");
    result.settings = std::move(result.inputs);
    result.inputs = parameters();
  }
  if (accept("->", Token::Role::binary)) results(result);
  if (is(":")) fail_here("`->` and the type of the result, or `{`", "the type of the result follows `->`");
  if (!is("{")) fail_here(result.results.empty() ? "`->` and the type of the result, or `{`" : "`{` after the type of the result");
  result.body = block(fmt::format("{} {}", what, result.name.text));
  result.end = previous().span;
  std::set<std::string> declared;
  report_redeclared(result.body, declared);
  return result;
}

// Parameters, states and layers of one body have names of their own; the sides of an `if` may declare the same.
void Parser::report_redeclared(const Block& block, std::set<std::string>& declared) {
  auto declare = [&](const Name& name) {
    if (!declared.insert(name.text).second) diagnostics_.error(name.span, fmt::format("`{}` is declared twice", name.text));
  };
  for (const Statement& statement : block) {
    if (const auto* param = std::get_if<Param>(&statement.node)) declare(param->name);
    if (const auto* state = std::get_if<State>(&statement.node)) declare(state->name);
    if (const auto* instance = std::get_if<Instance>(&statement.node)) declare(instance->name);
    if (const auto* loop = std::get_if<For>(&statement.node)) report_redeclared(loop->body, declared);
    if (const auto* choice = std::get_if<If>(&statement.node)) {
      std::set<std::string> before = declared;
      report_redeclared(choice->then, declared);
      report_redeclared(choice->otherwise, before);
      declared.merge(before);
    }
  }
}

std::vector<Parameter> Parser::parameters() {
  std::vector<Parameter> result;
  bracketed(")", Token::Role::call, [&] {
    Parameter parameter;
    parameter.name = expect_path("a name");
    if (is_name()) fail_here(fmt::format("`:` after `{}`", parameter.name.text));
    if (accept(":")) parameter.type = type();
    if (accept("=", Token::Role::binary))
      parameter.fallback = expression();
    else if (!result.empty() && result.back().fallback)
      report(parameter.name.span,
             fmt::format("`{}` has no value, but `{}` before it has one", parameter.name.text, result.back().name.text),
             "parameters that must be given come first");
    result.push_back(std::move(parameter));
  });
  return result;
}

void Parser::results(Function& function) {
  if (!is("(")) {
    function.results.push_back({std::nullopt, type()});
    return;
  }
  function.several_results = true;
  bracketed(")", Token::Role::plain, [&] {
    Result result;
    if (ahead(1).text == ":" || is(ahead(1), ".") || ahead(1).kind == Token::Kind::name) {
      result.name = expect_path("the name of a result");
      expect(":", fmt::format("after `{}`", result.name->text));
    }
    result.type = type();
    function.results.push_back(std::move(result));
  });
}

Train Parser::train() {
  take();
  Train result;
  result.model = expect_name("the name of a model");
  lines(fmt::format("train {}", result.model.text), true, [&] {
    TrainEntry entry;
    entry.key = expect_name("an entry such as `minimize`, `optimizer`, `data`, `batch` or `epochs`");
    if (is("=")) fail_here(fmt::format("a value after `{}`", entry.key.text), fmt::format("entries have no `=`: `{} …`", entry.key.text));
    if (is_name() && is(ahead(1), "=")) {
      entry.name = expect_name("a name");
      take(Token::Role::binary);
    }
    entry.value = expression();
    std::string key = entry.key.text;
    result.entries.push_back(std::move(entry));
    expect_line_end(fmt::format("the value of `{}`", key));
  });
  return result;
}

std::string Parser::doc_above(const Token& first) const {
  std::size_t at = static_cast<std::size_t>(&first - tokens_.data());
  std::vector<std::string_view> lines;
  // Each line above is a comment alone: its token and a line end.
  while (at >= 2 && tokens_[at - 1].kind == Token::Kind::newline && tokens_[at - 2].kind == Token::Kind::comment &&
         (at == 2 || tokens_[at - 3].kind == Token::Kind::newline)) {
    lines.push_back(tokens_[at - 2].text);
    at -= 2;
  }
  std::string doc;
  for (auto line = lines.rbegin(); line != lines.rend(); ++line) {
    std::string_view text = line->substr(1);
    if (text.starts_with(' ')) text.remove_prefix(1);
    doc += fmt::format("{}{}", doc.empty() && line == lines.rbegin() ? "" : "\n", text);
  }
  return doc;
}

File parse(const SourceFile& source, Diagnostics& diagnostics) {
  File file;
  file.source = &source;
  file.tokens = tokenize(source, diagnostics);
  Parser(source, file.tokens, diagnostics).read(file);
  for (std::size_t k = 0; k + 1 < file.tokens.size() && file.tokens[k].kind == Token::Kind::comment; k += 2) {
    std::string_view text = file.tokens[k].text.substr(1);
    if (text.starts_with(' ')) text.remove_prefix(1);
    file.doc += fmt::format("{}{}", k == 0 ? "" : "\n", text);
  }
  // A comment directly above a definition is about the definition.
  if (!file.items.empty() && file.items[0].doc == file.doc && !std::holds_alternative<Import>(file.items[0].node) &&
      !std::holds_alternative<Let>(file.items[0].node))
    file.doc.clear();
  return file;
}

}  // namespace heed::syntax
