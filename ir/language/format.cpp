// Puts the words of a file together again. What stands between two words follows from what the parser found them to be.
#include "ir/language/format.h"

#include <algorithm>
#include <unordered_map>
#include <vector>

#include "ir/language/syntax.h"

namespace heed {
namespace {

using syntax::Token;
using Kind = Token::Kind;
using Role = Token::Role;

struct Line {
  std::string text;     // with its indentation
  std::string comment;  // after the text
  int gap = 0;          // spaces before the comment, as the author wrote it
  int column = 0;       // of the comment, as the author wrote it
};

std::size_t width(std::string_view text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

bool opens(const Token& token) { return token.kind == Kind::symbol && (token.text == "(" || token.text == "["); }
bool closes(const Token& token) { return token.kind == Kind::symbol && (token.text == ")" || token.text == "]"); }
bool is_block(const Token& token, std::string_view brace) { return token.role == Role::block && token.text == brace; }

bool spaced(const Token& left, const Token& right) {
  if (opens(left) || closes(right)) return false;
  if (right.text == ",") return false;
  if (left.text == ",") return true;
  if (left.role == Role::tight || right.role == Role::tight || right.role == Role::call) return false;
  if (right.text == ":") return false;
  if (left.role == Role::prefix && left.kind == Kind::symbol) return false;
  return !(is_block(left, "{") && is_block(right, "}"));
}

class Layout {
 public:
  explicit Layout(const std::vector<Token>& tokens) : tokens_(tokens) {
    std::vector<std::size_t> open;
    for (std::size_t k = 0; k < tokens_.size(); ++k) {
      if (is_block(tokens_[k], "{")) open.push_back(k);
      if (!is_block(tokens_[k], "}") || open.empty()) continue;
      partner_[k] = open.back(), partner_[open.back()] = k;
      open.pop_back();
    }
  }

  std::string run() {
    for (std::size_t k = 0; k < tokens_.size(); ++k) place(k);
    end_line();
    while (!lines_.empty() && is_blank(lines_.back())) lines_.pop_back();
    place_comments();
    std::string text;
    for (const Line& line : lines_) text += line.text + line.comment + "\n";
    return text;
  }

 private:
  static bool is_blank(const Line& line) { return line.text.empty() && line.comment.empty(); }

  // A block is written on one line if the author did.
  bool is_broken_block(std::size_t brace) const {
    auto partner = partner_.find(brace);
    return partner != partner_.end() && tokens_[partner->second].span.line != tokens_[brace].span.line;
  }

  void place(std::size_t k) {
    const Token& token = tokens_[k];
    if (token.kind == Kind::end) return;
    if (token.kind == Kind::newline) {
      if (!begun_) add_blank();
      return end_line();
    }
    if (is_block(token, "}")) {
      if (is_broken_block(k)) end_line();
      --depth_;
      if (!begun_ && !lines_.empty() && is_blank(lines_.back())) lines_.pop_back();
    }
    if (token.kind == Kind::comment) {
      add_comment(token);
    } else {
      if (!begun_)
        begin_line(token);
      else if (last_ && spaced(*last_, token))
        line_.text += ' ';
      line_.text += token.text;
      last_ = &token;
      if (opens(token)) brackets_.push_back({indentation_, breaks_after(k) ? indentation_ + 2 : width(line_.text)});
      if (closes(token) && !brackets_.empty()) brackets_.pop_back();
    }
    if (is_block(token, "{")) {
      ++depth_;
      if (is_broken_block(k) && !breaks_after(k)) end_line();
    }
  }

  bool breaks_after(std::size_t k) const {
    return k + 1 < tokens_.size() && (tokens_[k + 1].kind == Kind::newline || tokens_[k + 1].kind == Kind::comment);
  }

  void begin_line(const Token& first) {
    indentation_ = 2 * depth_;
    if (!brackets_.empty()) indentation_ = closes(first) ? brackets_.back().line : brackets_.back().inside;
    line_.text.assign(indentation_, ' ');
    begun_ = true;
  }

  void add_comment(const Token& token) {
    std::string text(token.text);
    while (text.back() == ' ' || text.back() == '\t' || text.back() == '\r') text.pop_back();
    if (!begun_) {
      begin_line(token);
      line_.text += text;
      return;
    }
    const char* begin = token.text.data();
    line_.gap = 0;
    while (begin[-line_.gap - 1] == ' ' || begin[-line_.gap - 1] == '\t') ++line_.gap;
    line_.column = token.span.column;
    line_.comment = text;
  }

  void end_line() {
    if (begun_) lines_.push_back(std::move(line_));
    line_ = {};
    begun_ = false;
    last_ = nullptr;
  }

  // At most one, and none at the beginning of the file or of a block.
  void add_blank() {
    if (lines_.empty() || is_blank(lines_.back()) || (lines_.back().text.ends_with('{') && brackets_.empty())) return;
    lines_.push_back({});
  }

  // Comments of neighbouring lines that stood in one column stay in one column.
  void place_comments() {
    for (std::size_t first = 0; first < lines_.size(); ++first) {
      if (lines_[first].comment.empty()) continue;
      std::size_t last = first, widest = 0;
      int gap = lines_[first].gap;
      for (; last < lines_.size() && !lines_[last].comment.empty() && lines_[last].column == lines_[first].column; ++last) {
        widest = std::max(widest, width(lines_[last].text));
        gap = std::min(gap, lines_[last].gap);
      }
      std::size_t column = widest + static_cast<std::size_t>(std::max(gap, 2));
      for (std::size_t k = first; k < last; ++k) lines_[k].text.append(column - width(lines_[k].text), ' ');
      first = last - 1;
    }
  }

  struct Bracket {
    std::size_t line;    // indentation of the line that opens it
    std::size_t inside;  // of lines within it
  };
  const std::vector<Token>& tokens_;
  std::unordered_map<std::size_t, std::size_t> partner_;  // of braces
  std::vector<Line> lines_;
  Line line_;
  std::vector<Bracket> brackets_;
  const Token* last_ = nullptr;
  std::size_t depth_ = 0, indentation_ = 0;
  bool begun_ = false;
};

}  // namespace

std::string format(const SourceFile& source, Diagnostics& diagnostics) {
  Diagnostics own;
  syntax::File file = syntax::parse(source, own);
  for (const Diagnostic& one : own.all()) diagnostics.error(one.span, one.message, one.help);
  if (own.has_errors()) return source.text;
  return Layout(file.tokens).run();
}

}  // namespace heed
