// Statements and blocks. After a mistake the list of statements goes on with the next line.
#include <fmt/format.h>

#include "ir/language/parser.h"

namespace heed::syntax {

using Role = Token::Role;

void Parser::lines(const std::string& of, bool of_train, const std::function<void()>& each) {
  Level level(*this);
  const Span opening = current().span;
  expect("{", "to begin a block", Role::block);
  auto unclosed = [&](std::string_view before) {
    if (!unclosed_)
      report(opening, fmt::format("the block{} is not closed before {}", of.empty() ? "" : fmt::format(" of `{}`", of), before),
             "close it with `}`");
    unclosed_ = true;
  };
  for (skip_newlines(); !is("}"); skip_newlines()) {
    if (current().kind == Token::Kind::end) return unclosed("the end of the file");
    if (begins_item(of_train)) return unclosed(fmt::format("`{} {}`", current().text, ahead(1).text));
    std::size_t begun = at_;
    try {
      each();
    } catch (const Mistake&) {
      recover(begun);
    }
    if (unclosed_) return;
  }
  take(Role::block);
}

Block Parser::block(std::string of) {
  Block result;
  lines(of, false, [&] { result.push_back(statement()); });
  return result;
}

Statement Parser::finish(const Span& first, decltype(Statement::node) node) {
  Span span = first;
  span.length = std::max(line_ends_[static_cast<std::size_t>(first.line)] - first.column, 1);
  return {span, std::move(node)};
}

Statement Parser::statement() {
  const Span first = current().span;
  auto ended = [&](auto node, std::string_view what) {
    expect_line_end(what);
    return finish(first, std::move(node));
  };
  bool names = ahead(1).kind == Token::Kind::name;
  if (is("param") && names) return ended(param(), "the parameter");
  if (is("state") && names) return ended(state(), "the state");
  if (is("layer") && names) return ended(instance(), "the layer");
  if (is("for")) return ended(for_loop(), "the block");
  if (is("if")) return ended(choice(), "the block");
  if (is("else")) fail(first, "`else` follows no `if`");
  if (is("return") || is("yield")) {
    bool returns = is("return");
    take();
    std::vector<ExpressionPtr> given = values();
    if (returns) return ended(Return{std::move(given)}, "what is returned");
    return ended(Yield{std::move(given)}, "what is yielded");
  }
  if (names && (is("let") || is("fn") || is("model") || is("train") || is("import") || is("optimizer")))
    fail(first, fmt::format("`{}` stands at the top of a file", current().text), is("let") ? "inside a block write `name = value`" : "");
  if (is_name() && is_assignment()) return ended(assignment(), "the value");
  ExpressionPtr unused = expression();
  if (!at_line_end() && !is("}")) fail_here("`=` after a name, or the end of the line");
  fail(unused->span, "this value is not used", "give it a name: `y = …`");
}

Param Parser::param() {
  take();
  Param result;
  result.name = expect_path("the name of a parameter");
  if (!accept(":")) fail_here(fmt::format("`:` and the type of `{}`", result.name.text));
  result.type = type();
  if (accept("=", Role::binary)) result.initial = value();
  return result;
}

State Parser::state() {
  take();
  State result;
  result.name = expect_path("the name of a state");
  if (accept(":")) result.type = type();
  if (accept("=", Role::binary))
    result.initial = value();
  else if (!result.type)
    fail_here(fmt::format("`:` and a type, or `=` and a value for the state `{}`", result.name.text));
  return result;
}

Instance Parser::instance() {
  take();
  Instance result;
  result.name = expect_path("the name of a layer");
  if (is("("))
    fail(result.name.span, "a layer is defined at the top of a file",
         fmt::format("to make one here: `layer name = {}(…)`", result.name.text));
  if (is("[")) {
    bracketed("]", Role::call, [&] {
      if (result.count) fail_here("`]` after the number of layers");
      result.count = expression();
    });
    if (!result.count) fail(from(result.name.span), "there is nothing between the brackets", "say how many layers: `layer blocks[6] = …`");
  }
  expect("=", fmt::format("after `{}`", result.name.text), Role::binary);
  result.maker = expression();
  return result;
}

bool Parser::is_assignment() const {
  if (ahead(1).text == ":") return true;
  int depth = 0;
  for (std::size_t k = at_; k < words_.size(); ++k) {
    const Token& token = *words_[k];
    if (token.kind == Token::Kind::end || (token.kind == Token::Kind::newline && depth == 0)) return false;
    if (token.kind != Token::Kind::symbol) continue;
    if (token.text == "{" || token.text == "}") return false;
    if (token.text == "(" || token.text == "[") ++depth;
    if (token.text == ")" || token.text == "]") --depth;
    if (depth == 0 && (token.text == "=" || token.text == ":=")) return true;
  }
  return false;
}

Assignment Parser::assignment() {
  Assignment result;
  do result.targets.push_back(target());
  while (accept(","));
  const std::string name = result.targets.back().name.text;
  const Token& op = current();
  if (is(ahead(1), "=") && op.kind == Token::Kind::symbol && op.text != "]" && op.text != ")")
    fail(op.span, fmt::format("there is no `{}=`", op.text), fmt::format("write `{} = {} {} …`", name, name, op.text));
  result.update = is(":=");
  if (!result.update && !is("=")) fail_here(fmt::format("`=` after `{}`", name), "only a name can stand on the left of `=`");
  take(Role::binary);
  if (result.update)
    for (const Target& target : result.targets)
      if (target.type || !target.subscripts.empty())
        fail(target.name.span, fmt::format("`:=` sets the whole of the state `{}`", target.name.text));
  result.value = value();
  return result;
}

Target Parser::target() {
  Target result;
  result.name = expect_path("a name");
  if (is("[")) {
    Span first = current().span;
    result.subscripts = subscripts(true);
    if (!axis_bindings(result.subscripts))
      fail(from(first), fmt::format("`{}[…]` defines a value at named axes", result.name.text),
           "write names, or names with sizes: `y[b, n: N - K + 1] = …`; a part of a value cannot be set");
    if (is(":")) fail_here("`=`", "a definition has axes in its brackets or in its type, not both");
  } else if (accept(":")) {
    result.type = type();
  } else if (is("(")) {
    fail(result.name.span, fmt::format("a call of `{}` cannot be set", result.name.text), "only a name can stand on the left of `=`");
  }
  return result;
}

For Parser::for_loop() {
  take();
  For result;
  result.variable = expect_name("a name after `for`");
  expect("in", fmt::format("after `{}`", result.variable.text));
  Span first = current().span;
  std::size_t begin = at_;
  result.range = expression();
  if (accept("..", Role::tight)) {
    ExpressionPtr end = expression();
    tighten(begin, at_, true);
    result.range = make(first, Range{std::move(result.range), std::move(end)});
  }
  if (!is("{")) fail_here("`{` after what `for` runs over");
  Level level(*this);
  result.body = block("for");
  return result;
}

If Parser::choice() {
  Level level(*this);
  take();
  If result;
  result.condition = expression();
  if (is("=")) fail_here("`{` after the condition", "to compare write `==`");
  if (!is("{")) fail_here("`{` after the condition");
  result.then = block("if");
  std::size_t after = at_;
  skip_newlines();
  if (!is("else")) {
    at_ = after;
    return result;
  }
  take();
  if (is("if")) {
    Span first = current().span;
    result.otherwise.push_back(finish(first, choice()));
    return result;
  }
  if (!is("{")) fail_here("`{` or `if` after `else`");
  result.otherwise = block("else");
  return result;
}

ExpressionPtr Parser::value() {
  if ((is("scan") || is("reverse_scan")) && is(ahead(1), "(")) return scan();
  if (is("region") && is(ahead(1), "(") && is(*words_[std::min(closing(at_ + 1) + 1, words_.size() - 1)], "{")) return region();
  return expression();
}

ExpressionPtr Parser::scan() {
  Level level(*this);
  Span first = current().span;
  std::string word(current().text);
  Scan result;
  result.reverse = word == "reverse_scan";
  take();
  bracketed(")", Role::call, [&] {
    Name name = expect_name("a name");
    if (accept("=", Role::binary)) {
      result.carried.push_back({std::move(name), expression()});
    } else if (accept("in")) {
      if (!result.carried.empty()) report(name.span, "what the scan runs over comes before what it carries");
      Span begin = current().span;
      std::size_t begin_word = at_;
      ExpressionPtr over = expression();
      if (accept("..", Role::tight)) {
        ExpressionPtr end = expression();
        tighten(begin_word, at_, true);
        over = make(begin, Range{std::move(over), std::move(end)});
      }
      result.elements.push_back({std::move(name), std::move(over)});
    } else {
      fail_here(fmt::format("`in` or `=` after `{}`", name.text));
    }
  });
  if (!is("{")) fail_here(fmt::format("`{{` and the body of the {}", word));
  result.body = block(word);
  return make(first, std::move(result));
}

ExpressionPtr Parser::region() {
  Level level(*this);
  Span first = take().span;
  Region result;
  bracketed(")", Role::call, [&] { result.inputs.push_back(expression()); });
  result.body = block("region");
  return make(first, std::move(result));
}

std::vector<ExpressionPtr> Parser::values() {
  std::vector<ExpressionPtr> result;
  if (at_line_end() || is("}")) return result;
  do result.push_back(value());
  while (accept(","));
  return result;
}

}  // namespace heed::syntax
