// Expressions as text of the flat form. Operands that may stand in any order are ordered by their text: it does not depend on the order
// in which nodes were made, so what was read back prints as before.
#include "ir/print_expression.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "ir/algebra.h"
#include "ir/arena.h"
#include "ir/function.h"
#include "ir/print.h"

namespace heed {
namespace {

constexpr int conjunction = 2, inversion = 3, compared = 3, added = 4, multiplied = 5, prefixed = 6, raised = 7, whole = 8;
constexpr std::size_t longest_repeat = 20;  // shared parts no longer than this are written again

std::string whole_text(std::int64_t value) {
  if (value == std::numeric_limits<std::int64_t>::min()) return fmt::format("-{} - 1", std::numeric_limits<std::int64_t>::max());
  return fmt::format("{}", value);
}

std::string exponent_text(double value) {
  bool is_whole = value == std::floor(value) && std::abs(value) < 1e9;
  return is_whole ? fmt::format("{}", static_cast<std::int64_t>(value)) : text_of(value);
}

}  // namespace

std::string text_of(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  std::string text = fmt::format("{}", value);
  return text.find_first_of(".e") == std::string::npos ? text + ".0" : text;
}

std::string ExpressionPrinter::next_name() {
  constexpr std::string_view letters = "ijklmnopqrstuvwxyzabcdefgh";
  for (int round = 0;; ++round)
    for (char letter : letters) {
      std::string name = round ? fmt::format("{}{}", letter, round) : std::string(1, letter);
      if (!taken_.contains(name) && in_use_.insert(name).second) return name;
    }
}

std::string ExpressionPrinter::bind(AxisRef axis) { return axis_names_[axis] = next_name(); }

std::string ExpressionPrinter::text(Expr expression) { return body(expression, {}); }

// The body of a reduction over `axes`, or of an array. Parts of it that are used twice and depend on these axes get a name here:
// with(t * t, t = exp(x[i])).
std::string ExpressionPrinter::body(Expr expression, const std::vector<AxisRef>& axes) {
  std::vector<Expr> order = nodes_of(expression);
  std::unordered_map<Expr, int> uses;
  for (Expr node : order)
    for (Expr operand : node->operands) ++uses[operand];
  // A name is given where all axes of a part are bound and not deeper: parts with an axis of a reduction inside are named there.
  // What may read outside its array stays under its guard.
  auto belongs = [&](Expr node) {
    if (!unsafe_axes(node).empty()) return false;
    bool bound = std::ranges::all_of(node->free, [&](AxisRef axis) { return axis_names_.contains(axis); });
    return bound && (axes.empty() || std::ranges::any_of(axes, [&](AxisRef axis) { return contains(node->free, axis); }));
  };
  std::vector<std::pair<std::string, std::string>> named;
  std::vector<Expr> mine;
  std::vector<Expr> candidates;
  for (Expr node : order)
    if (node != expression && uses[node] > 1 && !node->operands.empty() && !shared_.contains(node) && belongs(node) &&
        print(node).text.size() > longest_repeat)
      candidates.push_back(node);
  while (!candidates.empty()) {  // What is in another comes first; else by text.
    auto is_in_another = [&](Expr node) {
      std::vector<Expr> inside = nodes_of(node);
      return std::ranges::any_of(candidates, [&](Expr other) { return other != node && std::ranges::find(inside, other) != inside.end(); });
    };
    std::pair<std::string, Expr> first{"", nullptr};
    for (Expr node : candidates) {
      if (is_in_another(node)) continue;
      std::string part = print(node).text;
      if (!first.second || part < first.first) first = {part, node};
    }
    std::erase(candidates, first.second);
    if (first.first.size() <= longest_repeat) continue;  // short by the names in it
    named.emplace_back(next_name(), first.first);
    shared_[first.second] = named.back().first;
    mine.push_back(first.second);
  }
  std::string result = print(expression).text;
  for (Expr node : mine) shared_.erase(node);
  for (const auto& [name, part] : named) in_use_.erase(name);
  if (named.empty()) return result;
  std::string text = "with(" + result;
  for (const auto& [name, part] : named) text += fmt::format(", {} = {}", name, part);
  return text + ")";
}

ExpressionPrinter::Text ExpressionPrinter::print(Expr x) {
  if (auto found = shared_.find(x); found != shared_.end()) return {found->second, whole};
  return print_anew(x);
}

std::string ExpressionPrinter::at(Expr x, int strength) {
  Text text = print(x);
  return text.strength >= strength ? text.text : "(" + text.text + ")";
}

std::string ExpressionPrinter::arguments(const std::vector<Expr>& operands) {
  std::string text;
  for (Expr operand : operands) text += (text.empty() ? "" : ", ") + print(operand).text;
  return text;
}

ExpressionPrinter::Text ExpressionPrinter::print_anew(Expr x) {
  switch (x->op) {
    case Op::constant: {
      if (x->dtype == DType::boolean) return {x->integer ? "true" : "false", whole};
      std::string text = is_floating(x->dtype) ? text_of(x->real) : whole_text(x->integer);
      return {text, text.find(" - ") != std::string::npos ? added : text[0] == '-' ? prefixed : whole};
    }
    case Op::axis: {
      auto found = axis_names_.find(x->axes[0]);
      if (found != axis_names_.end()) return {found->second, whole};
      return {fmt::format("{}{}",
                          x->axes[0]->kind == AxisKind::position ? "p"
                          : x->axes[0]->kind == AxisKind::bound  ? "r"
                                                                 : "f",
                          x->axes[0]->key),
              whole};
    }
    case Op::linear:
      return linear(x);
    case Op::product:
      return product(x);
    case Op::function: {
      std::vector<std::string> texts;
      for (Expr operand : x->operands) texts.push_back(print(operand).text);
      if (x->function == &functions::maximum && !is_constant(x->operands[1])) std::ranges::sort(texts);
      return {fmt::format("{}({})", x->function->name, fmt::join(texts, ", ")), whole};
    }
    case Op::cast:
      return {fmt::format("{}({})", name_of(x->to), arguments(x->operands)), whole};
    case Op::quotient:
      return {fmt::format("{} // {}", at(x->operands[0], multiplied), x->integer), multiplied};
    case Op::remainder:
      return {fmt::format("{} % {}", at(x->operands[0], multiplied), x->integer), multiplied};
    case Op::at_least_zero:
      return comparison(x->operands[0], ">=", "<=");
    case Op::is_zero:
      return comparison(x->operands[0], "==", "==");
    case Op::at_least:
      return {fmt::format("{} >= {}", at(x->operands[0], added), at(x->operands[1], added)), compared};
    case Op::greater:
      return {fmt::format("{} > {}", at(x->operands[0], added), at(x->operands[1], added)), compared};
    case Op::equal:
      return {fmt::format("{} == {}", at(x->operands[0], added), at(x->operands[1], added)), compared};
    case Op::both: {
      std::vector<std::string> texts;
      for (Expr operand : x->operands) texts.push_back(at(operand, inversion));
      std::ranges::sort(texts);
      return {fmt::format("{}", fmt::join(texts, " and ")), conjunction};
    }
    case Op::negation: {
      Expr inner = x->operands[0];
      if (inner->op == Op::is_zero && !shared_.contains(inner)) return comparison(inner->operands[0], "!=", "!=");
      return {"not " + at(inner, inversion), inversion};
    }
    case Op::select:
      return {fmt::format("where({})", arguments(x->operands)), whole};
    case Op::reduction:
      return reduction(x);
    case Op::read: {
      std::string name = array_name_(x->array);
      return {x->operands.empty() ? name : fmt::format("{}[{}]", name, arguments(x->operands)), whole};
    }
  }
  return {};
}

ExpressionPrinter::Text ExpressionPrinter::reduction(Expr x) {
  std::vector<std::pair<AxisRef, std::string>> hidden;
  std::string axes;
  for (AxisRef axis : x->axes) {
    if (auto found = axis_names_.find(axis); found != axis_names_.end()) hidden.emplace_back(axis, found->second);
    axes += (axes.empty() ? "" : ", ") + fmt::format("{}: {}", bind(axis), axis->size);
  }
  std::string text = fmt::format("{}[{}]({})", record_of(x->reduction).name, axes, body(x->operands[0], x->axes));
  for (AxisRef axis : x->axes) {
    in_use_.erase(axis_names_[axis]);
    axis_names_.erase(axis);
  }
  for (auto& [axis, name] : hidden) axis_names_[axis] = name;
  return {text, whole};
}

// Positive ones first, then what holds a reduction, then by text.
ExpressionPrinter::Text ExpressionPrinter::sum(std::vector<Summand> summands) {
  std::ranges::sort(summands, [](const Summand& a, const Summand& b) {
    return std::tuple(a.negative, !a.complex, a.text) < std::tuple(b.negative, !b.complex, b.text);
  });
  std::string text;
  for (const Summand& summand : summands)
    text += (text.empty() ? summand.negative ? "-" : "" : summand.negative ? " - " : " + ") + summand.text;
  return {text, summands.size() > 1 ? added : summands[0].negative ? prefixed : multiplied};
}

ExpressionPrinter::Text ExpressionPrinter::linear(Expr x) {
  if (!is_floating(x->dtype)) {
    std::vector<std::pair<std::int64_t, Expr>> terms;
    for (std::size_t k = 0; k < x->operands.size(); ++k) terms.emplace_back(x->integers[k], x->operands[k]);
    std::vector<Summand> parts = summands(terms);
    Text text = sum(parts);
    if (x->integer == 0) return text;
    return {fmt::format("{} {} {}", text.text, x->integer < 0 ? "-" : "+", whole_text(x->integer).substr(x->integer < 0)), added};
  }
  std::vector<Summand> parts;
  for (std::size_t k = 0; k < x->operands.size(); ++k) {
    double weight = x->weights[k];
    bool negative = std::signbit(weight);
    // `0.5 * ((a + 1.0) * b)`: read from the left, the weight would go into the sum, and so with a guard.
    Expr operand = x->operands[k];
    bool has_sum = operand->op == Op::product &&
                   std::ranges::any_of(operand->operands, [](Expr factor) { return factor->op == Op::linear || factor->op == Op::select; });
    std::string rest = at(operand, has_sum && weight != 1 ? prefixed : multiplied);
    std::string text = std::abs(weight) == 1 ? rest : fmt::format("{} * {}", text_of(std::abs(weight)), rest);
    parts.push_back({negative, text, x->operands[k]->has_reduction});
  }
  if (x->real == 0) return sum(parts);
  bool all_negative = std::ranges::all_of(parts, &Summand::negative);
  Text text = sum(parts);
  std::string constant = text_of(std::abs(x->real));
  if (all_negative && x->real > 0) return {fmt::format("{} - {}", constant, text.text.substr(1)), added};
  return {fmt::format("{} {} {}", text.text, x->real < 0 ? "-" : "+", constant), added};
}

std::vector<ExpressionPrinter::Summand> ExpressionPrinter::summands(const std::vector<std::pair<std::int64_t, Expr>>& terms) {
  std::vector<Summand> parts;
  for (auto [weight, x] : terms) {
    bool least = weight == std::numeric_limits<std::int64_t>::min();
    bool negative = weight < 0 && !least;
    std::int64_t size = negative ? -weight : weight;
    std::string number = least ? "(" + whole_text(weight) + ")" : whole_text(size);
    // `8 * (i // 4)`, `-(i // 4)`: else it would be a quotient of the product, or of the opposite.
    std::string text = size == 1 ? at(x, negative ? prefixed : multiplied) : fmt::format("{} * {}", number, at(x, prefixed));
    parts.push_back({negative, text, x->has_reduction});
  }
  return parts;
}

ExpressionPrinter::Text ExpressionPrinter::product(Expr x) {
  std::vector<std::pair<bool, std::string>> above, below;  // (has no reduction, text)
  for (std::size_t k = 0; k < x->operands.size(); ++k) {
    double power = x->weights[k];
    Expr factor = x->operands[k];
    if (power == 1)
      above.emplace_back(!factor->has_reduction, at(factor, prefixed));
    else if (power == -1)
      below.emplace_back(!factor->has_reduction, at(factor, prefixed));
    else
      above.emplace_back(!factor->has_reduction, fmt::format("{} ** {}", at(factor, whole), exponent_text(power)));
  }
  std::ranges::sort(above);
  std::ranges::sort(below);
  if (x->operands.size() == 1 && !above.empty()) return {above[0].second, raised};
  std::string text = above.empty() ? "1.0" : "";
  for (const auto& [plain, factor] : above) text += (text.empty() ? "" : " * ") + factor;
  for (const auto& [plain, factor] : below) text += " / " + factor;
  return {text, multiplied};
}

// `x >= 0` with what is subtracted on the other side.
ExpressionPrinter::Text ExpressionPrinter::comparison(Expr integer, std::string_view positive, std::string_view flipped) {
  LinearForm form = linear_form(integer);
  std::vector<std::pair<std::int64_t, Expr>> left, right;
  for (const IntegerTerm& term : form.terms) (term.weight > 0 ? left : right).emplace_back(std::abs(term.weight), term.x);
  auto with_constant = [&](const std::vector<std::pair<std::int64_t, Expr>>& terms, std::int64_t constant) {
    if (terms.empty()) return whole_text(constant);
    std::string text = sum(summands(terms)).text;
    if (constant == 0) return text;
    return fmt::format("{} {} {}", text, constant < 0 ? "-" : "+", whole_text(constant).substr(constant < 0));
  };
  if (left.empty()) return {fmt::format("{} {} {}", with_constant(right, 0), flipped, whole_text(form.constant)), compared};
  return {fmt::format("{} {} {}", with_constant(left, 0), positive, with_constant(right, -form.constant)), compared};
}

std::string print(Expr expression) {
  std::set<std::string> none;
  return ExpressionPrinter([](ArrayRef array) { return array->name.empty() ? fmt::format("a{}", array->id) : array->name; }, none)
      .text(expression);
}

}  // namespace heed
