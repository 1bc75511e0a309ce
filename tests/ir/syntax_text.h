// A syntax tree as text, so that tests can compare trees: fully bracketed, without places.
#pragma once
#include <string>

#include "ir/language/syntax.h"

namespace heed::syntax {

std::string describe(const Expression& expression);
std::string describe(const Type& type);
std::string describe(const Statement& statement);
std::string describe(const Item& item);
std::string describe(const File& file);  // an item a line

}  // namespace heed::syntax
