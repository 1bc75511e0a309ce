// Arithmetic of symbolic sizes.
#include "ir/language/size.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <tuple>

#include "input_error.h"

namespace heed {
namespace {

using Factors = std::vector<std::pair<std::string, int>>;

Rational reduced(std::int64_t numerator, std::int64_t denominator) {
  std::int64_t divisor = std::gcd(numerator, denominator);
  if (denominator < 0) divisor = -divisor;
  return divisor == 0 ? Rational{0, 1} : Rational{numerator / divisor, denominator / divisor};
}
[[noreturn]] void too_large() { throw InputError("a size is larger than 64 bits hold"); }
std::int64_t multiply(std::int64_t a, std::int64_t b) {
  std::int64_t result;
  if (__builtin_mul_overflow(a, b, &result)) too_large();
  return result;
}
std::int64_t add(std::int64_t a, std::int64_t b) {
  std::int64_t result;
  if (__builtin_add_overflow(a, b, &result)) too_large();
  return result;
}
Rational plus(Rational a, Rational b) {
  return reduced(add(multiply(a.numerator, b.denominator), multiply(b.numerator, a.denominator)), multiply(a.denominator, b.denominator));
}
Rational times(Rational a, Rational b) { return reduced(multiply(a.numerator, b.numerator), multiply(a.denominator, b.denominator)); }

Factors merged(const Factors& a, const Factors& b, int sign) {
  std::map<std::string, int> powers(a.begin(), a.end());
  for (const auto& [symbol, power] : b)
    if ((powers[symbol] += sign * power) == 0) powers.erase(symbol);
  return Factors(powers.begin(), powers.end());
}

std::vector<Size::Term> collected(const std::vector<Size::Term>& terms) {
  std::map<Factors, Rational> sums;
  for (const auto& term : terms) {
    auto [place, added] = sums.try_emplace(term.factors, term.coefficient);
    if (!added) place->second = plus(place->second, term.coefficient);
  }
  std::vector<Size::Term> result;
  for (auto& [factors, coefficient] : sums)
    if (coefficient.numerator != 0) result.push_back({factors, coefficient});
  return result;
}

int degree(const Size::Term& term) {
  int total = 0;
  for (const auto& factor : term.factors) total += factor.second;
  return total;
}

// The largest term in an order in which the largest term of a product is the product of the largest terms.
const Size::Term& leading_term(const std::vector<Size::Term>& terms) {
  return *std::max_element(terms.begin(), terms.end(), [](const Size::Term& a, const Size::Term& b) {
    if (degree(a) != degree(b)) return degree(a) < degree(b);
    for (std::size_t k = 0; k < std::min(a.factors.size(), b.factors.size()); ++k) {
      if (a.factors[k].first != b.factors[k].first) return a.factors[k].first > b.factors[k].first;
      if (a.factors[k].second != b.factors[k].second) return a.factors[k].second < b.factors[k].second;
    }
    return false;
  });
}

std::string term_text(const Size::Term& term) {  // of the absolute value
  std::string above, below;
  std::int64_t weight = std::abs(term.coefficient.numerator);
  if (weight != 1) above = std::to_string(weight);
  if (term.coefficient.denominator != 1) below = fmt::format("/{}", term.coefficient.denominator);
  for (const auto& [symbol, power] : term.factors) {
    bool is_quotient = symbol.find(' ') != std::string::npos && symbol.back() != ')';
    std::string text = is_quotient ? "(" + symbol + ")" : symbol;
    if (std::abs(power) != 1) text += fmt::format("**{}", std::abs(power));
    if (power > 0)
      above += (above.empty() ? "" : "*") + text;
    else
      below += "/" + text;
  }
  return (above.empty() ? "1" : above) + below;
}

std::string operand_text(const Size& size) {
  std::string text = size.text();
  return text.find_first_of(" */") == std::string::npos ? text : "(" + text + ")";
}

}  // namespace

Size::Size(std::int64_t constant) {
  if (constant != 0) terms_.push_back({{}, {constant, 1}});
}

Size::Size(std::vector<Term> terms) : terms_(collected(terms)) {}

Size Size::symbol(std::string name) { return Size(std::vector<Term>{{{{std::move(name), 1}}, {1, 1}}}); }

std::optional<std::int64_t> Size::constant() const {
  if (terms_.empty()) return 0;
  if (terms_.size() > 1 || !terms_[0].factors.empty() || terms_[0].coefficient.denominator != 1) return std::nullopt;
  return terms_[0].coefficient.numerator;
}

std::string Size::text() const {
  std::vector<const Term*> order;
  for (const Term& term : terms_) order.push_back(&term);
  auto rank = [](const Term* term) { return std::tuple(-degree(*term), term->coefficient.numerator < 0, term); };
  std::sort(order.begin(), order.end(), [&](const Term* a, const Term* b) { return rank(a) < rank(b); });
  if (order.empty()) return "0";
  if (*this == symbol(terms_[0].factors.empty() ? "" : terms_[0].factors[0].first)) return terms_[0].factors[0].first;
  std::string result;
  for (const Term* term : order) {
    bool negative = term->coefficient.numerator < 0;
    result += result.empty() ? (negative ? "-" : "") : (negative ? " - " : " + ");
    result += term_text(*term);
  }
  return result;
}

Size operator+(const Size& a, const Size& b) {
  std::vector<Size::Term> terms = a.terms_;
  terms.insert(terms.end(), b.terms_.begin(), b.terms_.end());
  return Size(std::move(terms));
}

Size operator-(const Size& a, const Size& b) { return a + Size(-1) * b; }

Size operator*(const Size& a, const Size& b) {
  std::vector<Size::Term> terms;
  for (const auto& x : a.terms_)
    for (const auto& y : b.terms_) terms.push_back({merged(x.factors, y.factors, 1), times(x.coefficient, y.coefficient)});
  return Size(std::move(terms));
}

// By one term: symbols get negative powers, so that what is divided and multiplied again is the same.
Size exact_quotient(const Size& a, const Size& b) {
  const Size::Term& leading = leading_term(b.terms_);
  Rational inverse = reduced(leading.coefficient.denominator, leading.coefficient.numerator);
  std::vector<Size::Term> quotient;
  if (b.terms_.size() == 1) {
    for (const Size::Term& term : a.terms_)
      quotient.push_back({merged(term.factors, leading.factors, -1), times(term.coefficient, inverse)});
    return Size(std::move(quotient));
  }
  // By repeated division of leading terms, where that ends.
  Size rest = a;
  for (int step = 0; step < 16 && !rest.terms_.empty(); ++step) {
    const Size::Term& term = leading_term(rest.terms_);
    Size::Term part{merged(term.factors, leading.factors, -1), times(term.coefficient, inverse)};
    if (std::any_of(part.factors.begin(), part.factors.end(), [](const auto& factor) { return factor.second < 0; })) break;
    rest = rest - Size(std::vector<Size::Term>{part}) * b;
    quotient.push_back(std::move(part));
  }
  if (rest.terms_.empty()) return Size(std::move(quotient));
  return Size::symbol(operand_text(a) + " / " + operand_text(b));
}

Size floored_quotient(const Size& a, const Size& b) {
  auto x = a.constant(), y = b.constant();
  if (x && y) return Size(*x / *y - (*x % *y != 0 && (*x < 0) != (*y < 0)));
  Size exact = exact_quotient(a, b);
  bool whole = std::all_of(exact.terms().begin(), exact.terms().end(), [](const Size::Term& term) {
    bool polynomial = std::all_of(term.factors.begin(), term.factors.end(),
                                  [](const auto& factor) { return factor.second > 0 && factor.first.find(" / ") == std::string::npos; });
    return polynomial && term.coefficient.denominator == 1;
  });
  return whole ? exact : Size::symbol(operand_text(a) + " // " + operand_text(b));
}

Size named_function(std::string_view name, const Size& a, const Size& b) {
  return Size::symbol(fmt::format("{}({}, {})", name, a.text(), b.text()));
}

Dimension operator+(const Dimension& a, const Dimension& b) { return {a.size + b.size, add(a.value, b.value)}; }
Dimension operator-(const Dimension& a, const Dimension& b) { return {a.size - b.size, add(a.value, multiply(-1, b.value))}; }
Dimension operator*(const Dimension& a, const Dimension& b) { return {a.size * b.size, multiply(a.value, b.value)}; }

std::int64_t count_of(const std::vector<Dimension>& shape) {
  std::int64_t result = 1;
  for (const Dimension& dimension : shape) result = multiply(result, std::max<std::int64_t>(dimension.value, 1));
  multiply(result, 8);  // bytes, too
  for (const Dimension& dimension : shape)
    if (dimension.value == 0) return 0;
  return result;
}

std::string text_of(const std::vector<Dimension>& shape) {
  std::string result = "[";
  for (const Dimension& dimension : shape) result += (result.size() > 1 ? ", " : "") + dimension.size.text();
  return result + "]";
}

}  // namespace heed
