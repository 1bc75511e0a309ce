// From bytes to words.
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "ir/language/token.h"

namespace heed::syntax {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool is_word(char c) { return is_letter(c) || is_digit(c); }

// Longer ones first: the first that fits is taken.
constexpr std::array<std::string_view, 28> symbols = {"...", "..", "//", "**", "==", "!=", "<=", ">=", "->", ":=", "+", "-", "*", "/",
                                                      "%",   "@",  "=",  "<",  ">",  "(",  ")",  "[",  "]",  "{",  "}", ",", ":", "."};

// What people write who come from other languages, and what it is here.
struct Foreign {
  std::string_view text, mend;
};
constexpr std::array<Foreign, 6> foreign = {{{"&&", "write `and`"},
                                             {"||", "write `or`"},
                                             {"!", "write `not`"},
                                             {";", "a statement ends at the end of its line"},
                                             {"^", "a power is written `**`"},
                                             {"'", "strings are written in double quotes"}}};

class Lexer {
 public:
  Lexer(const SourceFile& source, Diagnostics& diagnostics) : source_(source), text_(source.text), diagnostics_(diagnostics) {}

  std::vector<Token> run() {
    if (text_.starts_with("\xEF\xBB\xBF")) advance(3);  // a byte order mark
    while (at_ < text_.size()) next();
    add(Token::Kind::end, 0);
    return std::move(tokens_);
  }

 private:
  char peek(std::size_t ahead = 0) const { return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0'; }
  std::string_view rest() const { return text_.substr(at_); }
  void advance(std::size_t bytes) { at_ += bytes, column_ += static_cast<int>(bytes); }
  Span span(std::size_t length) const { return {&source_, line_, column_, static_cast<int>(length)}; }

  void add(Token::Kind kind, std::size_t length) {
    tokens_.push_back({kind, Token::Role::plain, text_.substr(at_, length), span(length)});
    advance(length);
  }

  // A file that is no model file at all is not worth a message for every byte.
  void report(Span span, std::string message, std::string help = "") {
    if (++mistakes_ <= most_mistakes) diagnostics_.error(span, std::move(message), std::move(help));
  }

  template <typename Predicate>
  std::size_t length_while(Predicate predicate, std::size_t from = 0) const {
    std::size_t length = from;
    while (at_ + length < text_.size() && predicate(text_[at_ + length])) ++length;
    return length;
  }

  // Whether the token before this place touches it.
  bool follows(std::string_view symbol) const {
    return !tokens_.empty() && tokens_.back().text == symbol && tokens_.back().text.data() + symbol.size() == text_.data() + at_;
  }

  void next() {
    char c = peek();
    if (c == '\n' || rest().starts_with("\r\n")) {
      add(Token::Kind::newline, c == '\n' ? 1 : 2);
      ++line_, column_ = 1;
    } else if (c == ' ' || c == '\t' || c == '\r') {
      advance(1);
    } else if (c == '#') {
      std::size_t length = length_while([](char byte) { return byte != '\n'; });
      if (text_[at_ + length - 1] == '\r') --length;
      add(Token::Kind::comment, length);
    } else if (is_letter(c) || (is_digit(c) && follows("."))) {  // `3` in `h.3.attn` is a name
      add(Token::Kind::name, length_while(is_word));
    } else if (is_digit(c) || (c == '.' && is_digit(peek(1)) && !follows_operand())) {
      number();
    } else if (c == '"') {
      string();
    } else if (auto symbol = std::find_if(symbols.begin(), symbols.end(), [&](std::string_view s) { return rest().starts_with(s); });
               symbol != symbols.end()) {
      add(Token::Kind::symbol, symbol->size());
    } else {
      broken();
    }
  }

  bool follows_operand() const {
    if (tokens_.empty() || tokens_.back().text.data() + tokens_.back().text.size() != text_.data() + at_) return false;
    const Token& last = tokens_.back();
    return last.kind == Token::Kind::name || last.kind == Token::Kind::number || last.text == ")" || last.text == "]" || last.text == ".";
  }

  void number() {
    auto digits = [](char c) { return is_digit(c) || c == '_'; };
    std::size_t length = length_while(digits);
    if (peek(length) == '.' && peek(length + 1) != '.' && !is_letter(peek(length + 1))) length = length_while(digits, length + 1);
    if (peek(length) == 'e' || peek(length) == 'E') {
      std::size_t sign = peek(length + 1) == '+' || peek(length + 1) == '-' ? 1 : 0;
      if (is_digit(peek(length + 1 + sign))) length = length_while(digits, length + 1 + sign);
    }
    std::size_t whole = length_while(is_word, length);
    if (whole > length) {
      report(span(whole), fmt::format("`{}` is neither a number nor a name", text_.substr(at_, whole)),
             is_letter(peek(length)) ? fmt::format("write `{} * {}`", text_.substr(at_, length), text_.substr(at_ + length, whole - length))
                                     : "");
      add(Token::Kind::broken, whole);
    } else {
      add(Token::Kind::number, length);
    }
  }

  void string() {
    std::size_t length = 1;
    while (at_ + length < text_.size() && peek(length) != '"' && peek(length) != '\n')
      length += peek(length) == '\\' && peek(length + 1) != '\n' ? 2 : 1;
    if (peek(length) == '"' && at_ + length < text_.size()) return add(Token::Kind::string, length + 1);
    length = std::min(length, text_.size() - at_);
    if (text_[at_ + length - 1] == '\r') --length;
    report(span(length), "this string does not end on its line", "close it with `\"`");
    add(Token::Kind::broken, length);
  }

  // A run of bytes that begin no word is one mistake.
  void broken() {
    auto known = std::find_if(foreign.begin(), foreign.end(), [&](const Foreign& f) { return rest().starts_with(f.text); });
    if (known != foreign.end()) {
      std::size_t length = known->text.size();
      if (peek() == '\'') {  // a whole string in single quotes
        std::size_t end = length_while([](char c) { return c != '\'' && c != '\n'; }, 1);
        if (peek(end) == '\'') length = end + 1;
      }
      report(span(length), fmt::format("`{}` is not part of the language", known->text), std::string(known->mend));
      return add(Token::Kind::broken, length);
    }
    auto is_foreign = [](char c) {
      return static_cast<unsigned char>(c) >= 0x80 || (static_cast<unsigned char>(c) < 0x20 && c != '\t' && c != '\n' && c != '\r');
    };
    std::size_t length = std::max<std::size_t>(length_while(is_foreign), 1);
    std::string_view bytes = text_.substr(at_, length);
    bool control = std::any_of(bytes.begin(), bytes.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20; });
    report(span(length), control ? fmt::format("the byte {} is not part of the language", static_cast<unsigned char>(bytes[0]))
                                 : fmt::format("`{}` is not part of the language", bytes));
    add(Token::Kind::broken, length);
  }

  const SourceFile& source_;
  std::string_view text_;
  Diagnostics& diagnostics_;
  std::vector<Token> tokens_;
  std::size_t at_ = 0;
  int line_ = 1, column_ = 1, mistakes_ = 0;
};

}  // namespace

std::vector<Token> tokenize(const SourceFile& source, Diagnostics& diagnostics) { return Lexer(source, diagnostics).run(); }

}  // namespace heed::syntax
