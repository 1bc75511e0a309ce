// How values depend on what is subtracted in an exponent.
#pragma once
#include <unordered_map>
#include <vector>

#include "ir/graph.h"

namespace heed {

// How a value depends on r: x exp(-power r[at]) with shift 0, or x - shift r[at] with power 0. A zero is of every power, minus infinity of
// every shift.
struct Degree {
  enum class Kind { value, zero, minus_infinity, unlike } kind = Kind::value;
  double power = 0, shift = 0;
  std::vector<Expr> at{};

  bool is_free() const { return kind != Kind::unlike && power == 0 && shift == 0; }
};

// Follows a shift r through the arrays that depend on it.
class Degrees {
 public:
  explicit Degrees(ArrayRef shift) : shift_(shift) {}

  // False if the array depends on the shift in another way than the rules know. Arrays that it reads come first.
  bool enter(ArrayRef array, const std::vector<ArrayRef>& reads);
  bool is_free(ArrayRef array) const { return array != shift_ && !of_.contains(array); }
  // Of an array that was entered.
  Degree of(ArrayRef array) const;

 private:
  Degree of_node(Expr node, const std::unordered_map<Expr, Degree>& nodes) const;
  Degree of_read(Expr node, const std::vector<Degree>& indices) const;

  ArrayRef shift_;
  std::unordered_map<ArrayRef, Degree> of_;
};

}  // namespace heed
