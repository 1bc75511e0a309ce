// Which values are larger than zero by what they are made of.
#pragma once
#include <unordered_map>

#include "ir/graph.h"

namespace heed {

// Algebra: inputs are taken as finite, and rounding to zero is not seen. Remembers what it found of arrays.
class Signs {
 public:
  bool is_positive(Expr x);
  bool is_finite(Expr x);

 private:
  bool is_not_negative(Expr x);
  template <class Question>
  bool of_array(ArrayRef array, std::unordered_map<ArrayRef, bool>& known, Question question);
  std::unordered_map<ArrayRef, bool> positive_, finite_, not_negative_;
};

}  // namespace heed
