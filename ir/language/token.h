// The words of a model file. Comments and line ends are tokens, too, so that the formatter can put the text together again.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "ir/language/diagnostics.h"

namespace heed::syntax {

struct Token {
  enum class Kind : std::uint8_t {
    name,  // also the words that begin statements: which of them are meant follows from the place
    number,
    string,   // with its quotes
    symbol,   // operators, brackets, punctuation
    comment,  // with its `#`, without the line end
    newline,  // also inside brackets, where it ends nothing
    end,
    broken,  // bytes that are no word (already diagnosed)
  };
  // What the parser found it to be: decides the space around it.
  enum class Role : std::uint8_t {
    plain,
    prefix,  // a sign or `not`
    binary,  // an operator between operands, `=`, `->`
    tight,   // an operator in a dimension of a type (`2*width`), a slice's colon, `..`
    call,    // an opening bracket that follows its function, array or type
    block,   // a brace around statements
  };
  Kind kind;
  Role role = Role::plain;
  std::string_view text;  // into the source
  Span span;
};

inline constexpr int most_mistakes = 100;  // of one file that the lexer reports, and the parser

// Ends with one token `end`. Never throws, whatever the bytes.
std::vector<Token> tokenize(const SourceFile& source, Diagnostics& diagnostics);

}  // namespace heed::syntax
