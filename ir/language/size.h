// Sizes with symbols: sums of products of powers of B, T, width, … with rational coefficients, in a normal form, so that equal sizes
// compare equal. A quotient by a sum, and one that rounds, is a symbol of its own.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace heed {

struct Rational {
  std::int64_t numerator = 0, denominator = 1;  // in lowest terms, denominator > 0
  bool operator==(const Rational&) const = default;
};

class Size {
 public:
  struct Term {
    std::vector<std::pair<std::string, int>> factors;  // symbol and power, by symbol; a quotient's symbol is its text
    Rational coefficient;
    bool operator==(const Term&) const = default;
  };

  Size() = default;
  Size(std::int64_t constant);
  static Size symbol(std::string name);

  bool operator==(const Size&) const = default;
  std::optional<std::int64_t> constant() const;  // none if a symbol is in it, or if it is not whole
  const std::vector<Term>& terms() const { return terms_; }
  std::string text() const;  // `2*width`, `N - K + 1`

  friend Size operator+(const Size& a, const Size& b);
  friend Size operator-(const Size& a, const Size& b);
  friend Size operator*(const Size& a, const Size& b);

 private:
  friend Size exact_quotient(const Size& a, const Size& b);
  explicit Size(std::vector<Term> terms);
  std::vector<Term> terms_;  // by factors; no coefficient is 0
};

Size exact_quotient(const Size& a, const Size& b);                         // b is not 0
Size floored_quotient(const Size& a, const Size& b);                       // b is not 0
Size named_function(std::string_view name, const Size& a, const Size& b);  // `max(a, b)`: a symbol of its own

// A size and what it is in this run (or nominally).
struct Dimension {
  Size size;
  std::int64_t value = 0;
  Dimension() = default;
  Dimension(std::int64_t constant) : size(constant), value(constant) {}
  Dimension(Size size, std::int64_t value) : size(std::move(size)), value(value) {}
  bool operator==(const Dimension& other) const { return size == other.size; }  // as formulas, never just as numbers
};
// Arithmetic throws InputError where 64 bits do not hold the result.
Dimension operator+(const Dimension& a, const Dimension& b);
Dimension operator-(const Dimension& a, const Dimension& b);
Dimension operator*(const Dimension& a, const Dimension& b);
std::int64_t count_of(const std::vector<Dimension>& shape);  // elements
std::string text_of(const std::vector<Dimension>& shape);    // "[B, T, 64]"

}  // namespace heed
