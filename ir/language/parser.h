// The parser's state, shared by its parts: expressions, statements, and the top level. Nothing outside the parser includes this.
#pragma once
#include <algorithm>
#include <functional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "ir/language/syntax.h"

namespace heed::syntax {

// Thrown at a mistake, already reported; caught by the list of statements or items, which goes on after it.
struct Mistake {};

class Parser {
 public:
  Parser(const SourceFile& source, std::vector<Token>& tokens, Diagnostics& diagnostics);

  void read(File& file);  // items and lost names

 private:
  // --- words (parser.cpp)
  const Token& current() const { return *words_[at_]; }
  const Token& ahead(std::size_t count) const { return *words_[std::min(at_ + count, words_.size() - 1)]; }
  const Token& previous() const { return *words_[at_ == 0 ? 0 : at_ - 1]; }
  bool is(std::string_view text) const { return is(current(), text); }
  static bool is(const Token& token, std::string_view text);  // a symbol or a name
  bool is_name() const { return current().kind == Token::Kind::name; }
  bool at_line_end() const { return current().kind == Token::Kind::newline || current().kind == Token::Kind::end; }
  bool begins_line() const { return at_ == 0 || words_[at_ - 1]->kind == Token::Kind::newline; }
  Token& take(Token::Role role = Token::Role::plain);
  bool accept(std::string_view text, Token::Role role = Token::Role::plain);
  void expect(std::string_view text, std::string_view after, Token::Role role = Token::Role::plain);
  Name expect_name(std::string_view what);
  Name expect_path(std::string_view what);  // with dots
  void expect_line_end(std::string_view after);
  void skip_newlines();
  std::size_t closing(std::size_t opening) const;  // the word that closes the bracket or brace; the last word if none does
  // Operators of words [first, last) outside inner brackets stand close: of a dimension products alone, of a slice all.
  void tighten(std::size_t first, std::size_t last, bool sums);

  // --- mistakes (parser.cpp)
  void report(Span span, std::string message, std::string help = "");
  [[noreturn]] void fail(Span span, std::string message, std::string help = "");
  [[noreturn]] void fail_here(std::string_view expected, std::string help = "");  // "expected …, found …"
  std::string found() const;
  Span from(const Span& first) const;  // to the end of the last taken word, on the line of `first`
  void recover(std::size_t begun);     // goes on after the line, and after the block that it opens
  struct Level {                       // of recursion; a mistake where it is too deep
    explicit Level(Parser& parser);
    ~Level() { --parser.levels_; }
    Parser& parser;
  };

  // What stands in brackets, with commas between; line ends mean nothing inside. `each` takes one of them.
  template <typename Each>
  void bracketed(std::string_view close, Token::Role role, Each each);

  // --- expressions (expression_parser.cpp)
  ExpressionPtr make(const Span& first, decltype(Expression::node) node);
  ExpressionPtr expression();
  ExpressionPtr binary(int strength);
  ExpressionPtr negation();
  ExpressionPtr comparison();
  ExpressionPtr prefix();
  ExpressionPtr power();
  ExpressionPtr postfix();
  ExpressionPtr primary();
  ExpressionPtr number();
  ExpressionPtr string();
  ExpressionPtr word();
  ExpressionPtr list();
  std::vector<Argument> arguments();
  std::vector<Subscript> subscripts(bool name_axes);
  Subscript subscript(bool name_axes);
  Type type();
  Dimension dimension();

  // --- statements (statement_parser.cpp)
  Block block(std::string of);
  void lines(const std::string& of, bool of_train, const std::function<void()>& each);  // between braces
  Statement statement();
  Statement finish(const Span& first, decltype(Statement::node) node);
  Param param();
  State state();
  Instance instance();
  Assignment assignment();
  Target target();
  For for_loop();
  If choice();
  ExpressionPtr value();  // what may stand on the right of `=`: also a scan or a region
  ExpressionPtr scan();
  ExpressionPtr region();
  std::vector<ExpressionPtr> values();
  bool is_assignment() const;

  // --- top level (parser.cpp)
  bool begins_item(bool in_train) const;
  Item item();
  Import import();
  Let let();
  Function function(Function::Kind kind);
  void report_redeclared(const Block& block, std::set<std::string>& declared);
  std::vector<Parameter> parameters();
  void results(Function& function);
  Train train();
  std::string doc_above(const Token& first) const;

  const SourceFile& source_;
  std::vector<Token>& tokens_;
  std::vector<Token*> words_;   // tokens without comments
  std::vector<int> line_ends_;  // column after the last word of each line
  Diagnostics& diagnostics_;
  std::size_t at_ = 0;
  int brackets_ = 0, levels_ = 0, mistakes_ = 0, recoveries_ = 0;
  bool unclosed_ = false;  // a block was cut off by the next item, and that was reported
};

template <typename Each>
void Parser::bracketed(std::string_view close, Token::Role role, Each each) {
  const Span opening = current().span;
  const std::string open(current().text);
  {
    struct Inside {
      explicit Inside(int& depth) : depth(depth) { ++depth; }
      ~Inside() { --depth; }
      int& depth;
    } inside(brackets_);
    take(role);
    while (!is(close)) {
      if (current().kind == Token::Kind::end) fail(opening, "`" + open + "` is never closed");
      each();
      if (is(close)) break;
      if (!is(",")) {
        if (at_line_end() || begins_line() || is("}") || is("{"))
          fail(opening, "`" + open + "` is never closed", "close it with `" + std::string(close) + "`");
        fail_here("`,` or `" + std::string(close) + "`");
      }
      take();
    }
  }
  take();
}

}  // namespace heed::syntax
