// Expressions as text of the flat form.
#pragma once
#include <functional>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "ir/graph.h"

namespace heed {

class ExpressionPrinter {
 public:
  // `taken`: names that axes and shared parts must not have.
  ExpressionPrinter(std::function<std::string(ArrayRef)> name_of, const std::set<std::string>& taken)
      : array_name_(std::move(name_of)), taken_(taken) {}

  std::string bind(AxisRef axis);  // gives an axis the next free name
  std::string text(Expr expression);

 private:
  struct Text {
    std::string text;
    int strength;  // how strongly its outermost operator binds
  };
  struct Scope;
  std::string next_name();
  std::string body(Expr expression, const std::vector<AxisRef>& axes);
  Text print(Expr x);
  Text print_anew(Expr x);
  std::string at(Expr x, int strength);
  Text reduction(Expr x);
  Text linear(Expr x);
  Text product(Expr x);
  Text comparison(Expr integer, std::string_view positive, std::string_view flipped);
  std::string arguments(const std::vector<Expr>& operands);
  struct Summand {
    bool negative;
    std::string text;
    bool complex;
  };
  Text sum(std::vector<Summand> summands);
  std::vector<Summand> summands(const std::vector<std::pair<std::int64_t, Expr>>& terms);

  std::function<std::string(ArrayRef)> array_name_;
  const std::set<std::string>& taken_;
  std::unordered_map<AxisRef, std::string> axis_names_;
  std::unordered_map<Expr, std::string> shared_;  // parts that have a name here
  std::set<std::string> in_use_;
};

std::string text_of(double value);  // the shortest text that reads back as it, with a point or an exponent

}  // namespace heed
