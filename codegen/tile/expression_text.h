// Expressions as text in which names and numbers follow from their structure alone: equal computations on different arrays have
// equal texts. Keys of compiled kernels are made of it.
#pragma once
#include <string>
#include <unordered_map>

#include "ir/graph.h"

namespace heed {

class ExpressionText {
 public:
  // Adds an expression, or an axis or array on its own; they are numbered by first appearance.
  void add(Expr x);
  void add(AxisRef axis);
  void add(ArrayRef array);
  void add(std::string_view words) { text_ += words, text_ += '\n'; }
  const std::string& text() const { return text_; }

 private:
  std::size_t number(AxisRef axis);
  std::size_t number(ArrayRef array);
  std::string text_;
  std::unordered_map<Expr, std::size_t> nodes_;
  std::unordered_map<AxisRef, std::size_t> axes_;
  std::unordered_map<ArrayRef, std::size_t> arrays_;
};

}  // namespace heed
